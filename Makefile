# `make help` lists the targets. ARGS are options of the command, e.g. make run ARGS="--port 0".
PYTHON ?= python3
IN_VENV = .venv/bin/python
PYTEST = $(IN_VENV) -m pytest
UV = $(firstword $(wildcard .venv/bin/uv) $(shell command -v uv 2>/dev/null) .venv/bin/uv)
COMPILE = pip compile --quiet --universal --generate-hashes --no-header \
	--python-version 3.11
ARGS ?=
# Number of test processes, each with its own servers; 0: tests run in pytest's process, for --pdb and -s.
WORKERS ?= 2

.PHONY: help run test test-slow test-faults test-browser bench lint check wheel lock environment environment-dev

run: environment ## run Yapit on this machine until Ctrl-C; ARGS: options of run_stack
	@$(IN_VENV) manage.py run_stack $(ARGS)

test: environment-dev ## the test suite
	$(PYTEST) -n $(WORKERS) --dist loadfile $(ARGS)

test-slow: environment-dev ## tests that take minutes
	$(PYTEST) -m slow $(ARGS)

test-faults: environment-dev ## the drill: processes are killed under load
	$(PYTEST) -m faults $(ARGS)

test-browser: ## tests of the pages in Chromium
	@$(PYTHON) bootstrap.py --browser
	$(PYTEST) -m browser $(ARGS)

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 18

bench: environment-dev ## benchmarks; NAME=one of them, SIZE=full for more rounds
	$(IN_VENV) -m benchmarks $(NAME) $(if $(SIZE),--size $(SIZE))

lint: environment-dev ## formatting, types, imports, prose, missing migrations
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(IN_VENV) tools/prose.py . -v
	$(IN_VENV) manage.py makemigrations --check --dry-run \
		--settings config.settings_without_databases

check: lint test ## lint and test

wheel: environment-dev ## wheels of the product and of the client, in dist/
	$(IN_VENV) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . ./packaging/client

lock: environment-dev ## lock the dependencies of requirements*.in
	test -x "$(UV)" || $(IN_VENV) -m pip install --quiet uv
	$(UV) $(COMPILE) requirements.in -o requirements.txt
	$(UV) $(COMPILE) requirements-dev.in -o requirements-dev.txt

environment: ## install the locked dependencies into .venv
	@$(PYTHON) bootstrap.py

environment-dev: ## the same with development dependencies
	@$(PYTHON) bootstrap.py --dev
