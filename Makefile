# make demo   the whole method on phantoms, from nothing (about eight minutes on two cores)
# make test   the tests; SLOW=0 leaves out those that train networks
# make panel        the panel in a window outside Slicer, for development
# make screenshots  its pictures, drawn without a screen
# All make their own environment in .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SLOW ?= 1
PYTEST_ARGS ?=
# A worker for each core takes a module at a time, in the order that Testing/conftest.py gives them.
PARALLEL := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: demo test panel screenshots lint types format bench clean
.DEFAULT_GOAL := test

$(STAMP): pyproject.toml requirements-dev.txt tools/environment.sh tools/qt_libraries.sh
	PYTHON=$(PYTHON) sh tools/environment.sh $(VENV)
	touch $@

demo: $(STAMP)
	$(BIN)/ctinvariance demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) $(if $(filter 0,$(SLOW)),-m "not slow") $(PYTEST_ARGS)

panel: $(STAMP)
	PYTHONPATH=Testing $(BIN)/python -m bench.window

screenshots: $(STAMP)
	$(BIN)/python Testing/bench/screenshots.py

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYTHONPATH=CTInvariance $(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python benchmarks/flow.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/scanning.py
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/patches.py

clean:
	rm -rf $(VENV) demo build *.egg-info
