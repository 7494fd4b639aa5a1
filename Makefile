# `make` lists the targets. Everything Python runs from .venv, which the first target makes.
.DEFAULT_GOAL := help
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PLATFORMS ?= linux/amd64,linux/arm64
PLAN ?= full

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/pip:
	@python3 -m venv $(VENV) || { echo 'python3 cannot make a virtual environment: apt-get install python3-venv' >&2; exit 1; }

# The lock is complete, so nothing is resolved: the package index of the day cannot change what is installed.
$(VENV)/ready: requirements.txt pyproject.toml | $(BIN)/pip
	@echo 'installing the pinned Python packages into $(VENV)'
	@$(PIP) install --quiet --no-compile --require-hashes --no-deps -r requirements.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@$(PIP) check >$(VENV)/checked || { cat $(VENV)/checked; echo 'remove $(VENV), then run make setup again' >&2; exit 1; }
	@touch $@

.PHONY: setup
setup: $(VENV)/ready ## make the Python environment

.PHONY: build
build: setup ## build, publish and try sample_app for PLATFORMS
	@$(BIN)/python examples/first_run.py $(PLATFORMS)

.PHONY: test
test: setup coverage e2e ## every test: without an engine, then on a real one

.PHONY: unit
unit: setup ## the tests that need no engine
	@$(BIN)/python -m pytest tests/unit

.PHONY: coverage
coverage: setup ## the same, and every line of the pure core has to be run by them
	@$(BIN)/python -m pytest tests/unit --cov

.PHONY: e2e
e2e: setup ## the tests on a real engine and a real registry
	@$(BIN)/python -m pytest tests/e2e --durations=25

.PHONY: emulated
emulated: setup ## the compiler itself under QEMU: each platform's own, and an arm64 machine that crosses to amd64
	@$(BIN)/python -m pytest tests/e2e/test_emulated.py --emulated

.PHONY: long
long: setup ## the end-to-end tests that take too long for every change: pages, CI systems, cosign, musl
	@$(BIN)/python -m pytest tests/e2e --documents --systems --peers --musl -m 'documents or systems or peers or musl'

.PHONY: zoo
zoo: setup ## build and start a crate of each native library (CRATES="ring or openssl"), record what came of it
	@$(BIN)/python -m pytest tests/e2e/test_natives.py --zoo -m zoo -k '$(CRATES)'; $(BIN)/python tests/e2e/zoo.py

.PHONY: targets
targets: setup ## build and start a program for every row of the target table, with glibc and with musl
	@$(BIN)/python -m pytest tests/e2e/test_targets.py --zoo

.PHONY: programs
programs: setup ## build and start programs of other people (CRATES="dufs or bat"), record what came of it
	@$(BIN)/python -m pytest tests/e2e/test_programs.py --programs -k '$(CRATES)'; $(BIN)/python tests/e2e/programs.py

.PHONY: lint
lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/e2e tests/callers --collect-only -qq >.collected 2>&1 || { cat .collected; exit 1; }

.PHONY: docs
docs: setup ## renew the pages that are made from the code
	@PYTHONPATH=. $(BIN)/python docs/generate.py

.PHONY: examples
examples: setup ## type-check the callers in Go and TypeScript against bindings made for this module
	@$(BIN)/python -m pytest tests/callers

.PHONY: schema
schema: setup ## renew tests/data/schema.txt, the interface that other modules rely on
	@PYTHONPATH=. $(BIN)/python tests/unit/schema.py

.PHONY: requirements
requirements: setup ## renew the pinned requirements
	@$(PIP) install --quiet uv
	@$(BIN)/python tools/requirements.py

.PHONY: bench
bench: setup ## measure this project beside its peers, some hours; PLAN=workspace is a part, ARGS="--rounds 1" too
	@$(BIN)/python -m bench run $(PLAN) $(ARGS)

.PHONY: bench-short
bench-short: setup ## the same in ten minutes, after the preparations
	@$(BIN)/python -m bench run short $(ARGS)

.PHONY: bench-docs
bench-docs: setup ## renew the tables and charts of docs/benchmarks.md from bench/results
	@$(BIN)/python -m bench report --docs docs bench/results/*.json
