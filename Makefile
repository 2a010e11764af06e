# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
PORT ?= 8000
WCB_PYTHON ?=
VENV ?= .venv
RUN = $(or $(WCB_PYTHON),$(VENV)/bin/python)
export PORT
export WCB_PYTHON
export WCB_VENV = $(VENV)

.PHONY: demo test lint machine bench shots snapshots mails environment python

demo: python
	@$(PYTHON) example_project/demo.py

test: environment
	@$(RUN) -m tests $(ARGS)

lint: environment
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(dir $(RUN))lint-imports
	$(RUN) -m django makemigrations --check --dry-run --settings tests.settings

# Ten times as many lives of a bill as the suite runs.
machine: environment
	WCB_MACHINE_EXAMPLES=$(or $(EXAMPLES),2000) $(RUN) -m pytest -s -q tests/bills/test_life_machine.py

# Ratios of one run on this machine.
bench: environment
	@$(RUN) -m benchmarks.webhook
	@$(RUN) -m benchmarks.outbox

shots: environment
	@$(RUN) -m tests.shots $(ARGS)

# What the mails say, word for word, and what they look like.
snapshots: environment
	WCB_RENEW_SNAPSHOTS=1 $(RUN) -m pytest -q tests/mail/test_snapshots.py

mails: environment
	@$(RUN) -m tests.mail.pictures $(ARGS)

environment: python
	@$(PYTHON) example_project/environment.py dev

python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: apt install python3 python3-venv, or name yours: make PYTHON=..."; exit 1; }
