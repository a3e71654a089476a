"""The command line: ``singlab lab | demo | doctor | warm | run | boot | collectors | bench | grade``.

Each command says in one message what went wrong and what to do, and then exits with a code other than 0.
"""

from __future__ import annotations

import json as json_
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer
from rich.console import Console
from rich.table import Table

from singlab import __version__

app = typer.Typer(
    help="Run, break and measure a Singularity-style operating system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_out = Console()
_err = Console(stderr=True)

#: Where a server looks for a free port when none was asked for.
_FIRST_PORT, _PORTS = 8888, 40


def fail(message: str) -> NoReturn:
    """Print one message and end the command with code 1."""
    _err.print(f"[bold red]singlab:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def run() -> None:
    """Run the command line; errors that a user can cause become one message."""
    from singlab.kernel.image import SealError
    from singlab.sing.errors import SipError

    try:
        app()
    except (SipError, SealError) as error:
        _err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        _err.print(f"singlab: {error.strerror}: {error.filename}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def _version(value: bool) -> None:
    if value:
        print(f"singlab {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Run, break and measure a Singularity-style operating system."""


# ---- lab -----------------------------------------------------------------------------------------------------


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on a port of this computer."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(wanted: int | None) -> int:
    """Return the port asked for, or the first free one; ends the command if there is none."""
    if wanted is not None:
        if not 0 <= wanted <= 65535:
            fail(f"{wanted} is not a port; ports go from 1 to 65535.")
        if wanted and not port_is_free(wanted):
            fail(
                f"port {wanted} is in use by another program. Choose another one with --port, "
                "or leave --port out to take the next free one."
            )
        return wanted
    for port in range(_FIRST_PORT, _FIRST_PORT + _PORTS):
        if port_is_free(port):
            return port
    fail(f"no free port between {_FIRST_PORT} and {_FIRST_PORT + _PORTS - 1}; name one with --port.")


def has_browser() -> bool:
    """Return whether this computer can open a web browser."""
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def lab_environment() -> dict[str, str]:
    """Return the environment for JupyterLab: the user's own, plus settings that keep it off the network."""
    from singlab.lectures import PACKAGE

    paths = [str(PACKAGE / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}


@app.command()
def lab(
    folder: Annotated[Optional[Path], typer.Argument(help="Where to work; lectures are laid out there.")] = None,  # noqa: UP045
    port: Annotated[Optional[int], typer.Option(help="Port of the server on this computer.")] = None,  # noqa: UP045
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open the lectures in JupyterLab."""
    import subprocess

    from singlab.lectures import FIRST_LECTURE, working_folder

    if browser and not has_browser():
        fail("no web browser was found on this computer. Run: singlab lab --no-browser, and open the address it prints.")
    chosen = choose_port(port)
    where = working_folder(folder)
    command = [
        sys.executable, "-m", "jupyterlab", str(where), f"--port={chosen}", "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port_retries=0", f"--LabApp.default_url=/lab/tree/{FIRST_LECTURE.as_posix()}",
    ]  # fmt: skip
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    _out.print(f"Lectures are in [bold]{where}[/]. Press Ctrl-C twice to end.")
    if os.name == "posix":
        sys.stdout.flush()
        os.execve(sys.executable, command, lab_environment())  # signals go to the server itself
    raise typer.Exit(subprocess.call(command, env=lab_environment()))


# ---- demo, warm, doctor ------------------------------------------------------------------------------------


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("build"),
) -> None:
    """Run lecture 00 without a browser; write its HTML and its plots."""
    from singlab.demo import run_demo

    for path in run_demo(out):
        _out.print(f"wrote [bold]{path}[/]", soft_wrap=True)


@app.command()
def warm() -> None:
    """Compile everything once for this computer, so that nothing waits later."""
    from singlab.warmup import warm_up

    seconds = warm_up()
    _out.print("ready" + (f" after {seconds:.0f} s" if seconds > 2 else ""))


@app.command()
def doctor() -> None:
    """Look at this computer and say what is missing."""
    from singlab.doctor import checkup

    table = Table("", "what", "found", "what to do", box=None, header_style="dim")
    findings = checkup()
    for finding in findings:
        sign = {"good": "[green]✓[/]", "note": "[yellow]·[/]", "bad": "[red]✗[/]"}[finding.verdict]
        table.add_row(sign, finding.what, finding.found, finding.advice)
    _out.print(table)
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)


# ---- programs from elsewhere ---------------------------------------------------------------------------------


ENGINES = ("interpreter", "translator")
_Engine = Annotated[str, typer.Option(help="interpreter, or translator: native code, compiled at the first run and kept; for long runs.")]
_Harts = Annotated[int, typer.Option(help="Number of harts, 1 to 4. All start at the entry, with their number in a0.")]
_Seed = Annotated[int, typer.Option(help="Decides how harts interleave, and the random bytes.")]


def choose_engine(board, engine: str) -> str | None:
    """Prepare a loaded board for an engine; returns why it cannot be that one, ends the command if there is none of that name."""
    if engine not in ENGINES:
        fail(f"there is no engine {engine!r}; choose {' or '.join(ENGINES)}.")
    if engine == "translator":
        size = sum(count for _, _, count in board.program.code) >> 10
        try:
            with _err.status(f"Translating {size} KB of code; the result is kept"):
                board.translate()
        except ValueError as error:
            return str(error)
    return None


def fallback(board, engine: str, refused: str | None) -> str | None:
    """Return why the interpreter ran instead of the translator, None if it did not."""
    translation = board.machine.translation
    return refused or (translation.reason if engine == "translator" and translation is not None else None)


@app.command("run")
def run_elf(
    program: Annotated[Path, typer.Argument(help="A bare-metal RISC-V program (ELF), linked at 0x80000000.")],
    profile: Annotated[str, typer.Option(help="Timing: athlon64, teaching or modern.")] = "athlon64",
    ram: Annotated[str, typer.Option(help="Size of RAM.")] = "128M",
    limit: Annotated[Optional[int], typer.Option(help="Stop after so many cycles.")] = None,  # noqa: UP045
    engine: _Engine = "interpreter",
    harts: _Harts = 1,
    seed: _Seed = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a bare-metal program; ends with its exit code."""
    from singlab.machine import Board, ElfError

    def show(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    try:
        board = Board(profile=profile, ram=ram, output=None if json else show, harts=harts, seed=seed)
        board.load(program)
    except (ElfError, ValueError) as error:
        fail(str(error))
    refused = choose_engine(board, engine)
    ended = board.run(cycles=limit)
    why = fallback(board, engine, refused)
    counters = board.machine.counters()
    if json:
        found = {
            "program": str(program), "profile": board.machine.profile.name, "engine": engine, "fallback": why, "reason": ended.reason, "exit_code": ended.code,
            "instructions": counters.pop("instructions"), "cycles": counters.pop("cycles"), "counters": counters,
            "output": board.printed.decode("utf-8", "replace"),
        }  # fmt: skip
        if harts > 1:
            found["harts"] = [board.machine.counters(hart) for hart in range(harts)]
        print(json_.dumps(found, indent=1))
    else:
        if why is not None:
            _err.print(f"singlab: interpreted: {why}", markup=False, highlight=False, soft_wrap=True)
        _err.print(f"{ended.message}; {counters['instructions']:,} instructions, {counters['cycles']:,} cycles", highlight=False)
    if ended.reason != "exit":
        raise typer.Exit(124 if ended.reason == "limit" else 70)
    raise typer.Exit(min(ended.code or 0, 255))


@app.command("boot")
def boot_elf(
    kernel: Annotated[Path, typer.Argument(help="A kernel or a firmware (ELF) that starts in machine mode, linked at 0x80000000.")],
    firmware: Annotated[Optional[Path], typer.Option(help="A firmware (ELF) that starts the kernel, as OpenSBI's fw_jump.")] = None,  # noqa: UP045
    disk: Annotated[Optional[Path], typer.Option(help="Disk image, in virtio slot 0.")] = None,  # noqa: UP045
    save: Annotated[bool, typer.Option("--save", help="Write to the disk image; else the guest writes to a copy in memory.")] = False,
    ram: Annotated[str, typer.Option(help="Size of RAM.")] = "128M",
    profile: Annotated[str, typer.Option(help="Timing: athlon64, teaching or modern.")] = "athlon64",
    args: Annotated[str, typer.Option(help="Command line for the kernel.")] = "",
    virtio: Annotated[str, typer.Option(help="Register layout of the devices: legacy (version 1) or modern (version 2).")] = "legacy",
    net: Annotated[bool, typer.Option("--net", help="Add a network card; what it sends comes back.")] = False,
    limit: Annotated[Optional[int], typer.Option(help="Stop after so many cycles.")] = None,  # noqa: UP045
    engine: _Engine = "interpreter",
    harts: _Harts = 1,
    seed: _Seed = 0,
) -> None:
    """Boot a kernel on this terminal; Ctrl-A X ends it. Ends with the guest's exit code."""
    from singlab.machine import Board, ElfError
    from singlab.terminal import boot

    def show(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    if save and disk is None:
        fail("--save keeps what is written to a disk, and there is none; name one with --disk.")
    try:
        board = Board(profile=profile, ram=ram, output=show, disk=disk, writable=save, net="loopback" if net else None, virtio=virtio, harts=harts, seed=seed)
        board.load(kernel, args, firmware)
    except (ElfError, ValueError) as error:
        fail(str(error))
    refused = choose_engine(board, engine)

    def say(line: str) -> None:
        _err.print(f"singlab: {line}", style="dim", markup=False, highlight=False, soft_wrap=True)

    try:
        code = boot(board, say, limit)
        if (why := fallback(board, engine, refused)) is not None:
            say(f"interpreted: {why}")
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; Python's last flush must not fail
        code = 141
    raise typer.Exit(code)


# ---- bench -----------------------------------------------------------------------------------------------------


@app.command()
def bench(
    area: Annotated[str, typer.Argument(help="What to measure: all, start, machine, kernel, sing or gc.")] = "all",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Optional[Path], typer.Option(help="Draw the rows into this file.")] = None,  # noqa: UP045
) -> None:
    """Measure the lab itself."""
    from singlab.bench import AREAS, draw, run_area, table

    if area not in AREAS:
        fail(f"there is no area {area!r}; choose one of {', '.join(AREAS)}.")
    result = run_area(area, progress=not json)
    if json:
        print(json_.dumps(result, indent=1))
    else:
        _out.print(table(result))
    if plot is not None:
        draw(result, plot)


# ---- collectors ------------------------------------------------------------------------------------------------


@app.command()
def collectors(
    size: Annotated[str, typer.Option(help="Size of the workloads: small, teaching or large.")] = "teaching",
    seed: Annotated[int, typer.Option(help="What the workloads' random choices begin with.")] = 1,
    workers: Annotated[Optional[int], typer.Option(min=1, help="Processes of this computer; one a processor by default.")] = None,  # noqa: UP045
    cluster: Annotated[str, typer.Option(help="Address of a Dask scheduler, whose workers do it instead.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Optional[Path], typer.Option(help="Draw the matrix into this file.")] = None,  # noqa: UP045
) -> None:
    """Run every workload under every collector."""
    from singlab.experiments.collector_costs import matrix
    from singlab.experiments.workloads import SIZES

    if size not in SIZES:
        fail(f"there is no size {size!r}; the sizes are {', '.join(SIZES)}.")
    client = None
    if cluster:
        from distributed import Client

        try:
            client = Client(cluster, timeout=10)
        except (OSError, ValueError) as error:
            fail(f"no Dask scheduler answers at {cluster}: {error}")
    found = matrix(size, seed=seed, client=client, workers=workers, progress=not json)
    if json:
        print(found.frame().to_json(orient="records", indent=1))
    else:
        print(found)
    if plot is not None:
        found.plot().savefig(plot, dpi=150)


# ---- grade -----------------------------------------------------------------------------------------------------


@app.command()
def grade(
    notebooks: Annotated[list[Path], typer.Argument(help="Notebooks with answers.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a notebook.")] = False,
) -> None:
    """Grade exercises; a student's Python is never run."""
    from singlab.grading import GradingError, grade_notebook
    from singlab.grading.report import as_text

    failed = False
    for path in notebooks:
        try:
            report = grade_notebook(path)
        except GradingError as error:
            failed = True
            if json:
                print(json_.dumps({"notebook": str(path), "error": str(error)}))
            else:
                _err.print(f"singlab: {error}", markup=False, highlight=False, soft_wrap=True)
            continue
        if json:
            print(json_.dumps(report.as_dict()))
        else:
            _out.print(as_text(report), markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)
