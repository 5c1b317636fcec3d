# Everything a developer does, and all that CI does. Each target sets up what it needs in .venv.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
WITH_RABBITMQ := $(BIN)/python -m tests.rabbitmq --install --
RABBITMQ4 := .rabbitmq4
PYTHON313 := .python313
OLDEST := .oldest
TESTS_OF_RABBITMQ4 := $(wildcard tests/behaviour tests/clients tests/faults tests/unit/testing/test_rabbitmq.py tests/rabbitmq)
COVERAGE := build/coverage
TESTS_OF_PYTHON313 := $(addprefix tests/,architecture behaviour clients fuzz typing unit)
FOLDERS := src tests bench examples website release

# Hundreds of processes start here; none should compile its modules anew, as this variable has them do.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-rabbitmq test test-oldest-dependencies test-python313 test-rabbitmq4 soak chaos simulate simulate-mutants fuzz lint format docs docs-serve release-build release-check bench bench-quick setup clean

help:  ## Say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.ready  ## Show it working, on the embedded broker, or on the one in LEVERET_URL
	@$(BIN)/leveret demo

demo-rabbitmq: $(VENV)/.ready  ## The same on a real RabbitMQ, found or started
	@$(WITH_RABBITMQ) $(BIN)/leveret demo

test: lint $(VENV)/.tests-compiled  ## Lint, types, layers and all tests; no room below its floor of branch coverage
	@$(BIN)/python -m tests.rabbitmq --check --install
	@$(BIN)/python -m tests.programs
	@rm -rf $(COVERAGE)
	@# In the order of tests/conftest.py: coverage.py ends at the first test that is not measured.
	$(BIN)/coverage run -m pytest -n auto --dist loadgroup --no-loadscope-reorder
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage json --quiet
	@$(BIN)/python -m tests.coverage_floors $(COVERAGE)/coverage.json

test-rabbitmq4: $(VENV)/.ready-test  ## The tests of brokers on RabbitMQ 4, in a folder with a Debian of its own (Linux); TESTS=... chooses
	@scripts/rabbitmq4-chroot $(RABBITMQ4)
	env -u LEVERET_URL LEVERET_RABBITMQ_ROOT=$(RABBITMQ4) \
	    $(BIN)/pytest -n auto --dist loadgroup -k 'not embedded' $(or $(TESTS),$(TESTS_OF_RABBITMQ4))

test-python313: $(VENV)/.ready-test  ## The tests that need neither other servers, a browser nor npm, on Python 3.13 in the same folder; TESTS=... chooses
	@scripts/rabbitmq4-chroot $(RABBITMQ4)
	@scripts/python313-venv $(BIN)/pip $(RABBITMQ4) $(PYTHON313)
	scripts/run-in-chroot $(RABBITMQ4) env -u LEVERET_URL \
	    $(PYTHON313)/bin/python -m pytest -n auto --dist loadgroup \
	    --ignore tests/behaviour/test_console_in_browser.py --ignore tests/clients/test_amqplib.py \
	    $(or $(TESTS),$(TESTS_OF_PYTHON313))

test-oldest-dependencies:  ## The tests without a RabbitMQ, with the oldest packages that pyproject.toml allows
	@scripts/make-venv $(OLDEST)
	@$(OLDEST)/bin/pip install --quiet --disable-pip-version-check uv
	@$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct \
	    --editable '.[arrow,cli,redis,postgres]'
	@$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --group test
	@# The oldest typer calls what a newer click, which it takes, deprecates.
	$(OLDEST)/bin/python -m pytest -n auto --dist loadgroup -m 'not rabbitmq' \
	    -W "ignore:'click:DeprecationWarning" \
	    tests/behaviour tests/once $(filter-out tests/unit/testing,$(wildcard tests/unit/*))

soak: $(VENV)/.ready-test  ## Load with random faults for MINUTES (1); nothing may be lost, hang, run twice or grow
	@$(BIN)/python -m tests.rabbitmq --check --install
	@$(BIN)/python -m tests.faults.chaos --minutes $(or $(MINUTES),1) --flat $(if $(SEED),--seed $(SEED))

chaos: $(VENV)/.ready-test  ## The same for MINUTES (1), one line of JSON last: calls, faults, and broken promises
	@$(BIN)/python -m tests.rabbitmq --check --install
	@$(BIN)/python -m tests.faults.chaos --minutes $(or $(MINUTES),1) $(if $(SEED),--seed $(SEED))

simulate: $(VENV)/.ready-test  ## CALLS (1,000,000) simulated calls under every kind of fault; SEED=n repeats a run, TRACE=file writes it
	@$(BIN)/python -m tests.simulation $(if $(CALLS),--calls $(CALLS)) $(if $(SEED),--seed $(SEED)) \
	    $(if $(FAULTS),--faults $(FAULTS)) $(if $(TRACE),--trace $(TRACE)) $(if $(ONLY),--only $(ONLY))

simulate-mutants: $(VENV)/.ready-test  ## Break the product on purpose; the simulator must notice each time, within two minutes of the processor
	@$(BIN)/python -m tests.simulation.mutants

fuzz: $(VENV)/.ready-test  ## Fuzz every decoder, guided by coverage, for MINUTES (10) in all
	$(BIN)/python -m tests.fuzz.atheris_run all -minutes=$(or $(MINUTES),10)

lint: $(VENV)/.ready-test  ## Lint, format check, types and layers
	$(BIN)/ruff check $(FOLDERS)
	$(BIN)/ruff format --check $(FOLDERS)
	@# The two type checkers at the same time: each keeps one processor busy for half a minute.
	$(BIN)/mypy & mypy=$$!; PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright src; pyright=$$?; \
	    wait $$mypy && exit $$pyright
	$(BIN)/lint-imports

format: $(VENV)/.ready-test  ## Format, and fix what ruff can fix
	$(BIN)/ruff check --fix-only $(FOLDERS)
	$(BIN)/ruff format $(FOLDERS)

docs: $(VENV)/.ready-docs  ## Build the site into build/site; dead links, dead anchors, and pages without a place fail
	@$(BIN)/python -m website build

docs-serve: $(VENV)/.ready-docs  ## The same, and show it at http://localhost:8000/
	@$(BIN)/python -m website serve

release-build: $(VENV)/.ready-release  ## Build sdist and wheel into dist/, once, and check what is in them
	@$(BIN)/python -m release build

release-check: $(VENV)/.ready-release  ## The same, workflows, the API, and the behaviour tests of the sdist against the wheel; TESTS=... chooses
	@$(BIN)/python -m release check $(TESTS)

bench: $(VENV)/.ready-bench  ## Measure Leveret and its peers: table, JSON and chart (about 15 min)
	@$(WITH_RABBITMQ) $(BIN)/python -m bench

bench-quick: $(VENV)/.ready-bench  ## The small payload only, one line of JSON last (under 60 s)
	@$(WITH_RABBITMQ) $(BIN)/python -m bench --quick

setup: $(VENV)/.ready-test  ## Only set up .venv, for tests and editors

clean:  ## Remove all that make made
	rm -rf $(VENV) $(OLDEST) $(PYTHON313)* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@# With sudo where sudo made it.
	rm -rf --one-file-system $(RABBITMQ4)* 2>/dev/null || sudo -n rm -rf --one-file-system $(RABBITMQ4)*
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
	@# Not compiled: most of it is never imported, and what is, then.
	@$(PIP) --no-compile --group test
	@$(BIN)/python -m tests.asyncapi_parser
	@$(BIN)/python -m pyright --version > $(VENV)/pyright.log 2>&1 || { cat $(VENV)/pyright.log; exit 1; }
	@touch $@

# Once in a new clone. Else each of pytest's workers would compile all tests, at the same time.
$(VENV)/.tests-compiled: $(VENV)/.ready-test
	@find tests -name 'test_*.py' | sort | \
	    xargs -P 2 -n 200 $(BIN)/pytest -p no:cacheprovider --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready
	@echo "installing what builds the site"
	@$(PIP) --no-compile --group docs
	@touch $@

$(VENV)/.ready-release: $(VENV)/.ready
	@echo "installing what checks a release"
	@$(PIP) --no-compile --group release
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready
	@echo "installing the peers that are measured"
	@$(PIP) --group bench
	@scripts/apt-get-where-allowed gcc libc6-dev librabbitmq-dev
	@touch $@
