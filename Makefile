# What to run. The work itself is in packaging/prepare.py, siax and the tests.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; \
	done)
VENV := .venv/bin

# Make's own error for want of a Python would name a line of this file.
PREPARE = @test -n "$(PYTHON)" || { echo 'error: Python 3.11 or newer is needed: install it, or' \
	'name it: make PYTHON=/path/to/python3' >&2; exit 1; }; $(PYTHON) -B packaging/prepare.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test proof-a proof-b proof-c proof-d proof-e leaktest fuzz coverage call-states bench lint \
	types clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## set up everything to run the bridge: .venv/bin/siax
	$(PREPARE) run
	@echo 'Ready: $(VENV)/siax'

demo: ## run a whole call, phone to far end (HOLD=1 leaves the bridge up for a softphone)
	$(PREPARE) run
	@$(VENV)/siax demo $(if $(filter-out 0,$(HOLD)),--hold)

test: ## run all tests, real Asterisk included (ARGS="-k name" goes to pytest)
	$(PREPARE) test
	@$(VENV)/python -m tests.suite $(ARGS)

proof-a: ## run the tests of issue A at their full sizes, resumable
	$(PREPARE) test
	@$(VENV)/python tests/proof.py a

proof-b: ## run the tests of issue B at their full sizes, resumable
	$(PREPARE) test
	@$(VENV)/python tests/proof.py b

proof-c: ## run the tests of issue C at their full sizes, resumable
	$(PREPARE) test
	@$(VENV)/python tests/proof.py c

proof-d: ## run the tests of issue D at their full sizes, resumable
	$(PREPARE) test
	@$(VENV)/python tests/proof.py d

proof-e: ## run the tests of issue E at their full sizes, resumable
	$(PREPARE) test
	@$(VENV)/python tests/proof.py e

leaktest: ## try to tell dialed numbers apart on a recorded link: 1,000 calls and two controls
	$(PREPARE) test
	@$(VENV)/python -m tests.leak.run $(ARGS)

fuzz: ## attack the IAX2 engine with 10 minutes of hostile inputs (FUZZ_S=60 for a minute)
	$(PREPARE) develop
	@$(VENV)/python -m tests.fuzz.run --seconds $(or $(FUZZ_S),600) $(ARGS)

coverage: ## hold line and branch coverage of the IAX2 engine at 100 %
	$(PREPARE) test
	@$(VENV)/python -m tests.lab.engine_coverage

call-states: ## write docs/call-states.md from the table of states
	$(PREPARE) develop
	@$(VENV)/python -m tests.lab.call_states

bench: ## measure the bridge against Asterisk as the gateway, and draw the pictures in build/bench
	$(PREPARE) test
	@$(VENV)/python tests/bench/run.py --json build/bench/performance.json --pictures build/bench $(ARGS)

lint: ## check style, format and layers
	$(PREPARE) develop
	@$(VENV)/ruff check --quiet
	@$(VENV)/ruff format --quiet --check
	@report=$$($(VENV)/lint-imports) || { echo "$$report"; exit 1; }

types: ## check types
	$(PREPARE) develop
	@$(VENV)/mypy --no-error-summary --explicit-package-bases bridge tests
	@cd packaging && ../$(VENV)/mypy --strict --no-error-summary prepare.py
	@cd packaging && MYPYPATH=.:pjsua2 ../$(VENV)/mypy --strict --no-error-summary pjsua2/build.py
	@cd packaging && MYPYPATH=.:relay ../$(VENV)/mypy --strict --no-error-summary relay/build.py

clean: ## remove what was made here (the cache outside the tree and proofs' results stay)
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
