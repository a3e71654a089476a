# make lab    open the lectures        make demo   run lecture 00 without a browser, results in build/
# make test   run all tests            make bench  measure the lab itself

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready

.PHONY: lab test test-slow demo bench exercises clean

lab: $(READY)
	@$(BIN)/singlab warm
	@$(BIN)/singlab lab $(ARGS)

test: $(READY)
	@$(BIN)/singlab warm
	@$(BIN)/python -m pytest -n 2 --dist loadscope --max-worker-restart 1 -m "not slow" $(ARGS)

test-slow: $(READY)
	@$(BIN)/singlab warm
	@$(BIN)/python -m pytest -m slow -o faulthandler_timeout=0 $(ARGS)

demo: $(READY)
	@$(BIN)/singlab warm
	@$(BIN)/singlab demo

bench: $(READY)
	@$(BIN)/singlab bench

exercises: $(READY)
	@$(BIN)/python -m singlab.grading.convert

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("singlab needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ". Install a newer Python, or name one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about a minute)..."
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[course,test]'
	@touch $@

clean:
	rm -rf build dist .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
