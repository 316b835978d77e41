# Everything here does its own set-up, in .venv; a second run starts at once.
# Settings come from the environment: PORT=8080 make demo. Another Python than python3: PYTHON=python3.12 make demo

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
# Many tests wait for processes, so one more at a time than there are cores.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(8, 1 + (os.cpu_count() or 1)))')

BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development
PACKAGING := setup.py claudeproxy/_version.py
CLIENTS := $(VENV)/clients
CLIENT_TESTS := $(sort $(wildcard tests/live/test_clients_*.py)) \
	tests/live/test_daemon.py::test_the_javascript_sdk_is_served_by_both_backends
CLIENT_EXTRAS := clients client-aider client-instructor client-llama-index

.PHONY: help demo serve test pythons clients fuzz fidelity lint format types bench soak reference clean
.DEFAULT_GOAL := help

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: $(RUNTIME) ## Serve canned answers: the real CLI and relay, no key, no network
	@LOG_FORMAT="$${LOG_FORMAT:-pretty}" exec $(BIN)/twist claudeproxy --demo

serve: $(RUNTIME) ## Serve for real
	@exec $(BIN)/twist claudeproxy

# The files of the live tests, which take the longest, come first, so that the workers end at about the same time.
test: $(DEVELOPMENT) ## Run all tests
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
		-p tests.progress --override-ini console_output_style=classic --durations 15 --durations-min 5 $(PYTEST_ARGS)

pythons: $(DEVELOPMENT) ## Run the tests on the oldest and the newest Python
	$(BIN)/python .ci/pythons.py

clients: $(DEVELOPMENT) $(CLIENT_EXTRAS:%=$(CLIENTS)/%/.installed) ## Run the tests of real clients (1.6 GB)
	CLIENTS=$(CLIENTS) $(BIN)/pytest $(PYTEST_ARGS) $(CLIENT_TESTS)

fuzz: $(DEVELOPMENT) ## Send tens of thousands of odd requests
	FUZZ_CASES="$${FUZZ_CASES:-20000}" $(BIN)/pytest -s tests/memory/test_fuzz.py tests/live/test_fuzz.py \
		tests/live/test_fuzz_framing.py tests/live/test_fuzz_relayed_streams.py \
		tests/live/test_fuzz_claude_streams.py tests/live/test_claude_broken_streams.py

fidelity: $(DEVELOPMENT) ## Compare what thousands of conversations say with what the model is told
	FIDELITY_CASES="$${FIDELITY_CASES:-2000}" SETTINGS_CASES="$${SETTINGS_CASES:-50}" \
		$(BIN)/pytest -s tests/live/test_fidelity.py tests/live/test_settings_never_leak.py

lint: $(DEVELOPMENT) ## Check style and formatting
	$(BIN)/ruff check --config .ci/ruff.toml .
	$(BIN)/ruff format --config .ci/ruff.toml --check .

format: $(DEVELOPMENT) ## Format the code
	$(BIN)/ruff check --config .ci/ruff.toml --fix .
	$(BIN)/ruff format --config .ci/ruff.toml .

types: $(DEVELOPMENT) ## Check types
	$(BIN)/mypy --config-file tox.ini

bench: $(DEVELOPMENT) ## Measure speed and memory
	$(BIN)/python -m benchmarks

soak: $(DEVELOPMENT) ## Send mixed traffic for five minutes and see what stays
	$(BIN)/python -m benchmarks.soak --seconds "$${SOAK_SECONDS:-300}"

reference: $(DEVELOPMENT) ## Write the reference of the settings from their table
	$(BIN)/python -m claudeproxy.config reference > docs/reference/configuration.md
	$(BIN)/python -m claudeproxy.config sample > docs/reference/claudeproxy.toml

clean: ## Remove what the other targets made
	rm -rf $(VENV) tests/clients/node_modules build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .tox
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name dropin.cache -delete

# Says what is missing before anything is half made. Debian has the module venv, but what it needs is another package.
define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo 'This needs Python 3.11 or later. If it is here under another name: PYTHON=python3.12 make ...' >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo 'This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
@echo 'Installing into $(1); the first time this takes a minute.'
@$(PYTHON) -m venv $(1)
endef

# The installs are editable, so that only a change of what is required makes them anew.
$(RUNTIME): $(PACKAGING)
	$(call environment,$(VENV))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cli]'
	@touch $@

$(DEVELOPMENT): $(PACKAGING)
	$(call environment,$(VENV))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(RUNTIME)

# Some clients exclude others, so each extra has an environment.
$(CLIENTS)/%/.installed: $(PACKAGING)
	$(call environment,$(@D))
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[$*]'
	@touch $@
