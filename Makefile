# `make test` on a fresh clone needs Python 3.11+, git and make; every target creates what it needs.
PYTHON ?= python3
VENV := .venv
# Of benchmarks.space: half a second each.
ROUNDS ?= 2000
BIN := $(VENV)/bin
# Libraries that `make bench` measures us against; what they require contradicts what we do.
PEERS := .venv-peers
INSTALLED := $(VENV)/.installed

.PHONY: setup demo walkthrough lint check test nightly bench docs clean
.DEFAULT_GOAL := setup

setup: $(INSTALLED)

# The torch pin must come through the constraints file, or pip takes gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Barnraise needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,fast,plots,dashboard,dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/coordinator demo

# The ledger alone: what two people may do, and what they are refused.
walkthrough: $(INSTALLED)
	$(BIN)/python -m tests.acceptance.walkthrough

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint
	$(BIN)/pytest -n 2 tests/unit

test: $(INSTALLED)
	$(BIN)/pytest -n 2 -m 'not nightly'

nightly: $(INSTALLED)
	$(BIN)/pytest -m nightly --timeout 3600

docs: $(INSTALLED)
	$(BIN)/python -m docs.generate

$(PEERS)/.installed: benchmarks/peers/requirements.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps byzfl==0.0.11
	@touch $@

bench: $(INSTALLED) $(PEERS)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.queue
	$(BIN)/python -m benchmarks.blobs
	$(BIN)/python -m benchmarks.compute
	$(BIN)/python -m benchmarks.efficiency
	$(BIN)/python -m benchmarks.acceptance
	$(BIN)/python -m benchmarks.learning
	$(BIN)/python -m benchmarks.space --rounds $(ROUNDS)
	$(BIN)/python -m benchmarks.watching
	$(BIN)/python -m benchmarks.chain
	$(BIN)/python -m benchmarks.attacks
	$(BIN)/python -m benchmarks.codecs
	$(BIN)/python -m benchmarks.aggregation

clean:
	rm -rf $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache .hypothesis
