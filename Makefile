# Needs Python 3.11 to 3.13 (with pip), make and git; everything else is fetched into .uv/ and .venv/.
# What single tests need beyond that (Java and Maven, promtool, Chromium) is named when it is missing: see CONTRIBUTING.md.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$python && break; done)
# An interpreter of another version, if there is one: the same journal must give the same bytes under both.
SECOND ?= $(shell for python in python3.13 python3.12 python3.11 $(wildcard $(HOME)/.pyenv/versions/*/bin/python3); do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) or "%d.%d" % sys.version_info[:2] == sys.argv[1])' \
	"$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')" 2>/dev/null && echo $$python && break; done)
UV := .uv/bin/uv
BIN := .venv/bin
READY := .venv/.project
SECOND_READY := $(if $(SECOND),.second/.locked)
PYTEST := $(if $(SECOND),SECOND_PYTHON=$(CURDIR)/.second/bin/python )$(BIN)/python -m pytest

.PHONY: help setup second-python demo test test-long mutation lint format bench schemas lock clean
.DELETE_ON_ERROR:

help:
	@echo "make demo       an attack on a small exchange, on an embedded broker, in about a minute"
	@echo "make test       lint and every kind of test; test-long adds what takes minutes"
	@echo "make mutation   breaks ledger, marks and decisions place by place, and tells which breaks no test notices"
	@echo "make bench      throughput, latency, memory and recovery on Apache Kafka"
	@echo "make lint | format | schemas | lock | setup | clean"

setup: $(READY)

# uv itself comes from the lock too, with its hashes.
$(UV): requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; none was found (set PYTHON=...)." >&2; exit 1; }
	@rm -rf .uv && mkdir .uv
	@awk '/^[^ ]/ { mine = /^uv==/ } mine' requirements.lock > .uv/uv.lock
	@echo "fetching uv"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes --target .uv -r .uv/uv.lock
	@touch $@

.venv/.locked: requirements.lock $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --no-python-downloads --python $(PYTHON) .venv
	@echo "installing what requirements.lock names"
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@touch $@

# Editable, without dependencies (the lock has them) and without a build environment of its own (hatchling is locked too).
$(READY): .venv/.locked pyproject.toml
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

second-python: $(SECOND_READY)

.second/.locked: requirements.lock $(UV)
	@test -x .second/bin/python || $(UV) venv --quiet --no-python-downloads --python $(SECOND) .second
	@echo "installing the same for $$(.second/bin/python --version)"
	@$(UV) pip sync --quiet --python .second/bin/python --require-hashes requirements.lock
	@touch $@

demo: $(READY)
	@$(BIN)/withdrawal-monitor demo

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(PYTEST) -q tests/architecture

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: lint $(SECOND_READY)
	$(PYTEST) -m "not long" --ignore=tests/architecture

test-long: lint $(SECOND_READY)
	$(PYTEST) --ignore=tests/architecture

mutation: $(READY)
	$(BIN)/python -m tests.mutation

bench: $(READY)
	$(BIN)/python -m tests.bench

schemas: $(READY)
	$(BIN)/python -m monitor.contracts.schema deploy/schemas

lock: $(UV)
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --extra demo --extra study --group dev \
		--output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .second .uv .kafka .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist out *.egg-info
	find detectors monitor streams tests -name __pycache__ -type d -prune -exec rm -rf {} +
