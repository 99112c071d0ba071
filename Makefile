# The two commands: `make run` and `make test`. Options go through ARGS, e.g. make run ARGS="--port 0".
PYTHON ?= python3
IN_VENV = .venv/bin/python
PYTEST = $(IN_VENV) -m pytest
UV = $(firstword $(wildcard .venv/bin/uv) $(shell command -v uv 2>/dev/null) .venv/bin/uv)
COMPILE = pip compile --quiet --universal --generate-hashes --no-header \
	--python-version 3.11
ARGS ?=
# Test processes, each with servers of its own; 0: none but pytest's own, for --pdb and -s.
WORKERS ?= 2

.PHONY: run test test-slow test-faults test-browser bench lint check wheel lock environment environment-dev

run: environment
	@$(IN_VENV) manage.py run_stack $(ARGS)

test: environment-dev
	$(PYTEST) -n $(WORKERS) --dist loadfile $(ARGS)

test-slow: environment-dev
	$(PYTEST) -m slow $(ARGS)

test-faults: environment-dev
	$(PYTEST) -m faults $(ARGS)

test-browser:
	@$(PYTHON) bootstrap.py --browser
	$(PYTEST) -m browser $(ARGS)

# All of them, or NAME=one; SIZE=full takes its time.
bench: environment-dev
	$(IN_VENV) -m benchmarks $(NAME) $(if $(SIZE),--size $(SIZE))

lint: environment-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(IN_VENV) tools/prose.py . -v
	$(IN_VENV) manage.py makemigrations --check --dry-run \
		--settings config.settings_without_databases

check: lint test

# Two wheels in dist/: the product, and the client alone.
wheel: environment-dev
	$(IN_VENV) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . ./packaging/client

lock: environment-dev
	test -x "$(UV)" || $(IN_VENV) -m pip install --quiet uv
	$(UV) $(COMPILE) requirements.in -o requirements.txt
	$(UV) $(COMPILE) requirements-dev.in -o requirements-dev.txt

environment:
	@$(PYTHON) bootstrap.py

environment-dev:
	@$(PYTHON) bootstrap.py --dev
