# make demo | make test: each sets up what it needs on a fresh machine.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install demo test slow check format

$(VENV)/.installed: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --constraint constraints.txt --editable ".[dev,yolo,captions]"
	$(BIN)/python -m reidkit.leaderboard.warm
	touch $@

install: $(VENV)/.installed

demo: install
	$(BIN)/reidkit demo

# one process a core, each computing on one thread; a file's tests stay together, as they share fixtures
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

slow: install
	$(BIN)/python -m pytest -m slow

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
