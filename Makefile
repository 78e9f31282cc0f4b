# What to run. The work itself is in packaging/prepare.py, siax and the tests.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; \
	done)
VENV := .venv/bin

# Make's own error for want of a Python would name a line of this file.
PREPARE = @test -n "$(PYTHON)" || { echo 'error: Python 3.11 or newer is needed: install it, or' \
	'name it: make PYTHON=/path/to/python3' >&2; exit 1; }; $(PYTHON) -B packaging/prepare.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test proof-a bench lint types clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## set up everything to run the bridge: .venv/bin/siax
	$(PREPARE) run
	@echo 'Ready: $(VENV)/siax'

demo: ## run a whole call, phone to far end (HOLD=1 leaves the bridge up for a softphone)
	$(PREPARE) run
	@$(VENV)/siax demo $(if $(filter-out 0,$(HOLD)),--hold)

test: ## run all tests, real Asterisk included (ARGS="-k name" goes to pytest)
	$(PREPARE) test
	@$(VENV)/python -m pytest --ignore=tests/bench $(ARGS)

proof-a: ## run the tests of issue A at their full sizes, resumable
	$(PREPARE) test
	@$(VENV)/python tests/proof.py a

bench: ## measure the bridge against Asterisk as the gateway
	$(PREPARE) test
	@$(VENV)/python tests/bench/run.py $(ARGS)

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

clean: ## remove what was made here (the cache outside the tree and proofs' results stay)
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
