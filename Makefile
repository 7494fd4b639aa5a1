# `make` lists the targets. Everything Python runs from .venv, which the first target makes.
.DEFAULT_GOAL := help
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PLATFORMS ?= linux/amd64,linux/arm64
PLAN ?= full
SEEDS ?= 1
STEPS ?= 12
# Three tests at a time, since one of them waits now and then.
PAIR := --numprocesses 3 --dist worksteal
# Tests start many processes: Python keeps its bytecode, also where the machine's environment says not to.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@sed -nE 's/^##@ (.*)/\n\1/p; s/^([a-z0-9-]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

##@ Use
$(BIN)/pip:
	@python3 -m venv $(VENV) || { echo 'python3 cannot make a virtual environment: apt-get install python3-venv' >&2; exit 1; }

# The lock is complete, so nothing is resolved: the package index of the day cannot change what is installed.
$(VENV)/ready: requirements.txt pyproject.toml | $(BIN)/pip
	@echo 'installing the pinned Python packages into $(VENV)'
	@$(PIP) install --quiet --no-compile --require-hashes --no-deps -r requirements.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@$(PIP) check >$(VENV)/checked || { cat $(VENV)/checked; echo 'remove $(VENV), then run make setup again' >&2; exit 1; }
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || : # not every file in a package is for this Python
	@touch $@

.PHONY: setup
setup: $(VENV)/ready ## make the Python environment

.PHONY: build
build: setup ## build, publish and try sample_app for PLATFORMS
	@$(BIN)/python examples/first_run.py $(PLATFORMS)

##@ Test
.PHONY: test
test: setup unit cargo quick ## what shows each function, parameter and error once: minutes

.PHONY: test-all
test-all: setup $(if $(FILES),,coverage) ## every test but the suites below that have a record, or FILES="…"; hours; writes tests/data/test-all.json
	@PAIR='$(PAIR)' $(BIN)/python tools/record.py $(FILES)

.PHONY: unit
unit: setup ## the tests that need no engine
	@$(BIN)/python -m pytest tests/unit tests/hostile --numprocesses auto --dist worksteal

.PHONY: cargo
cargo: setup ## compiled state, by this machine's cargo without an engine; SEEDS and STEPS of random edits
	@$(BIN)/python -m pytest tests/cargo -m 'not later' $(PAIR) --durations=5 \
		--seeds "$(SEEDS)" --steps $(STEPS)

.PHONY: cargo-later
cargo-later: setup ## the tests of compiled state that take longer
	@$(BIN)/python -m pytest tests/cargo -m later $(PAIR) --durations=5

.PHONY: coverage
coverage: setup ## the tests that need no engine, with the share of the package that they cover
	@rm -rf .coverage/unit*
	@COVERAGE_FILE=.coverage/unit $(BIN)/coverage run -m pytest tests/unit tests/hostile \
		--numprocesses auto --dist worksteal --durations=10
	@COVERAGE_FILE=.coverage/unit $(BIN)/coverage combine --quiet
	@COVERAGE_FILE=.coverage/unit $(BIN)/coverage report

.PHONY: quick
quick: setup ## the tests on a real engine and a real registry, without what tests/e2e/quick.py leaves for later
	@$(BIN)/python -m pytest tests/e2e --quick $(PAIR) --durations=25

.PHONY: covered
covered: coverage ## the share that unit tests and quick end-to-end tests cover together; commands start four times slower
	@rm -rf .coverage/e2e*
	@COVERAGE_FILE=.coverage/e2e $(BIN)/coverage run -m pytest tests/e2e --quick $(PAIR)
	@COVERAGE_FILE=.coverage/e2e $(BIN)/coverage combine --quiet
	@cd .coverage && ../$(BIN)/coverage combine --quiet --keep --data-file=all unit e2e
	@$(BIN)/coverage report --data-file=.coverage/all --fail-under=95

.PHONY: e2e
e2e: setup ## all tests on a real engine and a real registry, without the suites below
	@$(BIN)/python -m pytest tests/e2e $(PAIR) --durations=25

.PHONY: lint
lint: setup ## ruff, mypy, shellcheck, and that every test can be collected
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@command -v shellcheck >/dev/null || { echo 'shellcheck is missing: apt-get install shellcheck' >&2; exit 1; }
	@shellcheck -x $$(git ls-files '*.sh') $$(git grep -lI '^#!.*sh$$' -- engine .ci)
	@$(BIN)/python -m pytest tests/e2e tests/callers --collect-only -qq >.collected 2>&1 || { cat .collected; exit 1; }

##@ Test suites that take long
.PHONY: emulated
emulated: setup ## the compiler itself under QEMU: each platform's own, and an arm64 machine that crosses to amd64
	@$(BIN)/python -m pytest tests/e2e/test_emulated.py --emulated

.PHONY: long
long: setup ## the end-to-end tests that take too long for every change: pages, CI systems, cosign, musl
	@$(BIN)/python -m pytest tests/e2e $(PAIR) --documents --systems --stores --peers --musl \
		-m 'documents or systems or stores or peers or musl'

.PHONY: zoo
zoo: setup ## build and start a crate of each native library (CRATES="ring or openssl"), record what came of it
	@$(BIN)/python -m pytest tests/e2e/test_natives.py --zoo -m zoo -k '$(CRATES)'; $(BIN)/python tests/e2e/zoo.py

.PHONY: targets
targets: setup ## build and start a program for every row of the target table, each C library; record the results
	@$(BIN)/python -m pytest tests/e2e/test_targets.py --zoo; $(BIN)/python tests/e2e/targets.py

.PHONY: programs
programs: setup ## build and start programs of other people (CRATES="dufs or bat"), record what came of it
	@$(BIN)/python -m pytest tests/e2e/test_programs.py --programs -k '$(CRATES)'; $(BIN)/python tests/e2e/programs.py

.PHONY: newcomer
newcomer: setup ## do what four kinds of new user would, and print the time of each
	@$(BIN)/python -m pytest tests/newcomer -s

.PHONY: examples
examples: setup ## type-check the callers in Go and TypeScript against bindings made for this module
	@$(BIN)/python -m pytest tests/callers

##@ Renew what is made
.PHONY: docs
docs: setup ## renew the pages that are made from the code
	@PYTHONPATH=. $(BIN)/python docs/generate.py

.PHONY: pictures
pictures: setup ## record a real build for docs/screens.md and docs/terminal.svg
	@PYTHONPATH=. $(BIN)/python -m docs.screens
	@PYTHONPATH=. $(BIN)/python docs/generate.py

.PHONY: schema
schema: setup ## renew tests/data/schema.txt, the interface that other modules rely on
	@PYTHONPATH=. $(BIN)/python tests/unit/schema.py

.PHONY: rust
rust: setup ## raise the default Rust (VERSION=1.97), renew the pages and stand-ins made from it, run the unit tests
	@$(BIN)/python tools/raise_rust.py $(VERSION)

.PHONY: requirements
requirements: setup ## renew the pinned requirements
	@$(PIP) install --quiet uv
	@$(BIN)/python tools/requirements.py

.PHONY: next-dagger
next-dagger: setup ## try the module on the newest pre-release of Dagger's SDK, and report
	@$(BIN)/python tools/next_dagger.py

##@ Measure
.PHONY: bench
bench: setup ## measure this project beside its peers, some hours; PLAN=workspace is a part, ARGS="--rounds 1" too
	@$(BIN)/python -m bench run $(PLAN) $(ARGS)

.PHONY: bench-short
bench-short: setup ## the same in ten minutes, after the preparations
	@$(BIN)/python -m bench run short $(ARGS)

.PHONY: bench-docs
bench-docs: setup ## renew the tables and charts of docs/benchmarks.md from bench/results
	@$(BIN)/python -m bench report --docs docs bench/results/*.json
