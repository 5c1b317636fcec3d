# Everything a developer does, and all that CI does. Each target sets up what it needs in .venv.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
WITH_RABBITMQ := $(BIN)/python -m leveret.testing.rabbitmq --install --
FOLDERS := src tests bench examples

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-rabbitmq test lint format bench bench-quick setup clean

help:  ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.ready  ## Show it working, on the embedded broker, or on the one in LEVERET_URL
	@$(BIN)/leveret demo

demo-rabbitmq: $(VENV)/.ready  ## The same on a real RabbitMQ, found or started
	@$(WITH_RABBITMQ) $(BIN)/leveret demo

test: lint  ## Lint, types, layers and all tests
	@$(BIN)/python -m leveret.testing.rabbitmq --check --install
	$(BIN)/pytest -n auto --dist loadgroup

lint: $(VENV)/.ready-test  ## Lint, format check, types and layers
	$(BIN)/ruff check $(FOLDERS)
	$(BIN)/ruff format --check $(FOLDERS)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready-test  ## Format, and fix what ruff can fix
	$(BIN)/ruff check --fix-only $(FOLDERS)
	$(BIN)/ruff format $(FOLDERS)

bench: $(VENV)/.ready-bench  ## Measure Leveret and its peers: table, JSON and chart (about 15 min)
	@$(WITH_RABBITMQ) $(BIN)/python -m bench

bench-quick: $(VENV)/.ready-bench  ## The small payload only, one line of JSON last (under 60 s)
	@$(WITH_RABBITMQ) $(BIN)/python -m bench --quick

setup: $(VENV)/.ready-test  ## Only set up .venv, for tests and editors

clean:  ## Remove all that make made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(FOLDERS) -name __pycache__ -type d -prune -exec rm -rf {} +

# --- .venv: one stamp per set of packages, remade when pyproject.toml changes ---------------------

$(VENV)/.made: scripts/make-venv
	@echo "setting up $(VENV)"
	@scripts/make-venv $(VENV)
	@touch $@

$(VENV)/.ready: $(VENV)/.made pyproject.toml
	@echo "installing leveret and what it needs"
	@$(PIP) --editable '.[cli]'
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	@echo "installing the tools of the tests"
	@$(PIP) --group test
	@$(BIN)/python -m pyright --version > $(VENV)/pyright.log 2>&1 || { cat $(VENV)/pyright.log; exit 1; }
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready
	@echo "installing the peers that are measured"
	@$(PIP) --group bench
	@scripts/apt-get-where-allowed gcc libc6-dev librabbitmq-dev
	@touch $@
