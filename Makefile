# What a newcomer needs: `make demo`, `make test`. Both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RECORDS ?= 1000

.PHONY: help demo test test-paths torture lint format schema docs bench wheel clean

help:
	@echo "make demo        run all mappings against their own mock into .demo/crmmap.db"
	@echo "make test        run the tests"
	@echo "make test-paths  run them twice more: all by the exact path, then all by the compiled one"
	@echo "make torture     run the tests of the store's promises for hours (see tests/TORTURE.md)"
	@echo "make lint        ruff and mypy"
	@echo "make schema      print the language's JSON Schema into schemas/"
	@echo "make docs        print the reference of the language into docs/"
	@echo "make bench       measure speed and memory, and write bench/RESULTS.md (an hour; ARGS=--quick: minutes)"
	@echo "make wheel       build the wheel into dist/"

$(VENV)/run-installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("crmmap needs Python 3.11 or newer: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/dev-installed: $(VENV)/run-installed pyproject.toml
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

demo: $(VENV)/run-installed
	@rm -rf .demo && mkdir .demo
	$(BIN)/crmmap run mappings/*.yaml --mock --records $(RECORDS) --store sqlite:///.demo/crmmap.db
	@echo "Look into it: sqlite3 .demo/crmmap.db"

test: $(VENV)/dev-installed
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# A run chooses the path for each record; here one path is taken wherever it can be.
test-paths: $(VENV)/dev-installed
	CRMMAP_TEST_PATH=exact $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)
	CRMMAP_TEST_PATH=compiled $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

STEPS ?= 1000
KILLS ?= 100
torture: $(VENV)/dev-installed
	CRMMAP_TORTURE_STEPS=$(STEPS) CRMMAP_TORTURE_KILLS=$(KILLS) $(BIN)/python -m pytest -n 2 \
		tests/test_sequences.py tests/test_kills.py tests/test_seeded_bugs.py $(ARGS)

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: schema
	$(BIN)/python docs/reference.py

schema: $(VENV)/run-installed
	$(BIN)/crmmap schema > schemas/mapping.schema.json

bench: $(VENV)/dev-installed
	$(BIN)/python -m bench $(ARGS)

wheel: $(VENV)/dev-installed
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
