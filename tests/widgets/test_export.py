"""An executed notebook as one page: live views replay in it, and nothing is fetched."""

from __future__ import annotations

import nbformat
import pytest

from singlab.demo import run_demo
from singlab.widgets import export_notebook
from tests.conftest import outside


def test_the_demonstration(tmp_path, watched_page):
    written = run_demo(tmp_path, progress=False)
    names = {path.name for path in written}
    assert names == {"00_tour.ipynb", "00_tour.html", "00_tour_plot_1.png"}
    assert (tmp_path / "00_tour_plot_1.png").read_bytes().startswith(b"\x89PNG")
    with watched_page() as page:
        page.goto((tmp_path / "00_tour.html").as_uri())
        view = page.locator(".singlab-view")
        view.wait_for()
        for _ in range(3):
            view.locator("[data-testid=sl-step]").click()
        page.wait_for_function("() => document.querySelector('[data-testid=sl-sentence]').dataset.position === '3'")
        assert page.locator("text=A tour").count()
        assert page.locator("text=message size: ").count() == 0, "a progress bar was left behind"
        assert page.errors == [] and outside(page.requests) == []


def test_a_notebook_without_views(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# Hello\n\n$x^2$ <b>bold</b>"), nbformat.v4.new_code_cell("1 + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    text = export_notebook(tmp_path / "a.ipynb", tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Hello" in text and 'src="http' not in text and "import(" not in text.split("<body")[0]


def test_a_file_that_is_no_notebook(tmp_path):
    (tmp_path / "a.ipynb").write_text("{}")
    with pytest.raises(Exception, match=r".+"):
        export_notebook(tmp_path / "a.ipynb", tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
