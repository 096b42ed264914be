# Every task of the project; CI calls these same targets. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-stack check lint types law contracts contracts-check coverage clean

UV_VERSION := 0.13.9
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$python; break; }; done)
UV := .uv/bin/uv
RUN := .venv/bin
FAULT ?= slow-signer

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.locked ## Make .venv from the lock

.uv/bin/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet uv==$(UV_VERSION)

.venv/.locked: .uv/bin/uv uv.lock pyproject.toml tailwatch/pyproject.toml
	$(UV) sync --frozen --quiet --python $(PYTHON) --no-python-downloads
	@touch $@

demo: setup ## Close the whole loop here, once: make demo FAULT=json-bloat
	$(RUN)/tailwatch demo --fault $(FAULT)

test: setup ## Run every test that needs neither Docker nor a JVM
	$(RUN)/pytest --numprocesses=auto -m "not alone and not bench and not kafka and not docker"
	$(RUN)/pytest -m "alone and not bench and not kafka and not docker"

test-stack: setup ## Run the tests that need Docker
	$(RUN)/pytest -m "docker and not bench"

check: lint types law contracts-check coverage ## Everything CI checks besides the tests

lint: setup ## Style
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

types: setup ## Types
	$(RUN)/mypy
	$(RUN)/pyright

law: setup ## Who may import whom
	$(RUN)/lint-imports

contracts: setup ## Write docs/contracts from the event types
	$(RUN)/python scripts/contracts.py

contracts-check: setup ## Fail when docs/contracts differs from the event types
	$(RUN)/python scripts/contracts.py --check

coverage: setup ## Branch coverage of core and contracts: 100 %
	$(RUN)/coverage erase
	HYPOTHESIS_PROFILE=dev $(RUN)/coverage run -m pytest -q tests/contracts tests/unit
	$(RUN)/coverage combine --quiet
	$(RUN)/coverage report --include="tailwatch/contracts/*,*/core/*" --fail-under=100

clean: ## Delete what was built and set up
	rm -rf .venv .uv build .tailwatch .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
