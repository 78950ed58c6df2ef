# make demo | test | lint | bench | secrets | constraints | clean      ARGS="..." is passed on: make demo ARGS=--help
#
# Everything lives in .venv. A stamp in it says what is installed, so that a second run starts at once.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: demo test lint bench secrets constraints clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed-demo
	@$(BIN)/chargewatch demo $(ARGS)

test: $(VENV)/installed-dev
	@$(BIN)/python tests/servers.py --prepare
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	@$(BIN)/chargewatch bench ingest $(ARGS)

# The secrets of docker-compose.yml: random, made once, never overwritten. Compose mounts these files with the mode
# they have here, and each image has a user of its own: so the files can be read, and the folder only by you.
RANDOM_SECRETS := postgres_password influx_password influx_token pepper dashboard_secret_key \
	mqtt_bridge mqtt_dashboard mqtt_alerts mqtt_chargers mqtt_health
secrets:
	@umask 077; mkdir -p secrets; chmod 700 secrets
	@for name in $(RANDOM_SECRETS); do \
		test -s secrets/$$name && continue; \
		head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > secrets/$$name && chmod 444 secrets/$$name; \
	done
	@test -s secrets/records_url || { \
		printf 'postgresql+psycopg://chargewatch:%s@postgres/chargewatch' "$$(cat secrets/postgres_password)" \
		> secrets/records_url && chmod 444 secrets/records_url; }
	@echo "secrets/ is complete. Keep a copy of it: without the pepper no key and no token works any more."

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "chargewatch needs Python 3.11 or newer, and python3 here is:" \
		"$$(python3 --version 2>&1). Name another: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments:" \
		"install its venv module (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into .venv, some minutes the first time ..."
	@$(PIP) install --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into .venv with everything for tests, some minutes the first time ..."
	@$(PIP) install --constraint constraints.txt --editable '.[demo,dev,bench]'
	@touch $@ $(VENV)/installed-demo

# After a change of the dependencies, or to move to newer versions: resolved in an environment of its own.
constraints: | $(BIN)/python
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(PYTHON) -m venv "$$tmp/venv" \
	&& "$$tmp/venv/bin/pip" --disable-pip-version-check --quiet install '.[demo,dev,bench]' \
	&& { echo "# What the tests ran with: pip's constraints, written by \`make constraints\`." \
		"pyproject.toml says what is needed." \
	&& "$$tmp/venv/bin/pip" --disable-pip-version-check freeze | grep -v '^chargewatch'; } > constraints.txt
