PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin
# Made anew when the dependencies change.
READY = $(VENV)/ready

.PHONY: help install demo test test-fast golden keys lint types format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY) ## make the environment and install the package into it

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(READY) ## render the quickstart's clips, train three students, print one table (6 minutes)
	$(BIN)/python experiments/demo.py

test: $(READY) lint types ## lint, types, and the whole test suite
	$(BIN)/python -m pytest -n auto

test-fast: $(READY) ## the tests that take seconds
	$(BIN)/python -m pytest -n auto -m 'not slow'

golden: $(READY) ## write down anew what each method's first steps give
	CMKD_WRITE_GOLDEN=1 $(BIN)/python -m pytest tests/test_experiments.py -k a_method_runs

keys: $(READY) ## write experiments/KEYS.md, what every config key means, from the docstrings
	$(BIN)/cmkd keys --write experiments/KEYS.md

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict on both packages
	$(BIN)/mypy

format: $(READY) ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and caches; runs and data stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
