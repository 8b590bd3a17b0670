# What a developer does with Engineroom. `make help` lists it.
#
# Everything that is made is made once: each target below is a file that is newer than what it was
# made from. Nothing is installed outside this folder, except that `make test`, run as root,
# installs missing system packages with apt-get.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=constraints.txt \
       PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet
PACKAGING := pyproject.toml hatch_build.py constraints.txt src/engineroom/__init__.py

WEB_SOURCES := $(shell find web \( -name node_modules -o -name tests \) -prune -o -type f -print)
BUNDLE := src/engineroom/server/static/bundle/engineroom.js

# Options for `make tour` (`make tour ARGS="--port 0"`); steps for `make test` (ONLY="unit faults").
ARGS ?=
ONLY ?=

.PHONY: help
help:  ## lists what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: tour
tour: $(BUNDLE) .venv/installed  ## serves examples/tour (ARGS="--port 8080 --open")
	@exec $(BIN)/engineroom serve examples/tour $(ARGS)

.PHONY: test
test: test-setup  ## installs what the tests need, then runs all of them (ONLY="lint unit")
	@$(BIN)/python scripts/run_tests.py $(ONLY)

.PHONY: test-setup
test-setup: system-packages $(BUNDLE) .venv/installed-test tests/conformance/js/node_modules/installed
	@scripts/browser $(BIN)/python

.PHONY: system-packages
system-packages:
	@scripts/system-packages

.PHONY: bundle
bundle: $(BUNDLE)  ## builds the browser bundle

.PHONY: lint
lint: .venv/installed-test  ## ruff: rules and format
	@$(BIN)/python scripts/run_tests.py lint format

.PHONY: types
types: .venv/installed-test  ## mypy, strict
	@$(BIN)/python scripts/run_tests.py types

.PHONY: laws
laws: .venv/installed-test  ## which layer may import which
	@$(BIN)/python scripts/run_tests.py laws

.PHONY: bench
bench: $(BUNDLE) .venv/installed-test  ## all measurements, quickly (ARGS="--full")
	@$(BIN)/python bench/run.py $(ARGS)

.PHONY: screenshots
screenshots: $(BUNDLE) .venv/installed-test  ## takes the README's pictures anew, into docs/images
	@scripts/browser $(BIN)/python
	$(BIN)/python scripts/screenshots.py

.PHONY: constraints
constraints: .venv/made  ## resolves constraints.txt anew
	@scripts/refresh-constraints $(BIN)/python

.PHONY: clean
clean:  ## removes everything that was made
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf web/node_modules tests/conformance/js/node_modules src/engineroom/server/static/bundle

.venv/made:
	@python="$$(scripts/find-python)"
	echo "Making .venv with $$("$$python" --version)"
	"$$python" -m venv .venv
	touch $@

.venv/installed: .venv/made $(PACKAGING)
	@echo "Installing engineroom into .venv"
	$(PIP) --editable .
	touch $@

.venv/installed-test: .venv/installed $(PACKAGING)
	@echo "Installing what the tests need into .venv"
	$(PIP) --editable '.[test]'
	touch $@

web/node_modules/installed: web/package.json web/package-lock.json
	@scripts/check-node
	echo "Installing the browser's packages into web/node_modules"
	(cd web && npm ci --no-audit --no-fund --loglevel=error)
	touch $@

$(BUNDLE): web/node_modules/installed $(WEB_SOURCES)
	@echo "Building the browser bundle"
	(cd web && npm run --silent build)
	touch $@

tests/conformance/js/node_modules/installed: tests/conformance/js/package.json tests/conformance/js/package-lock.json
	@scripts/check-node
	echo "Installing the npm clients into tests/conformance/js/node_modules"
	(cd tests/conformance/js && npm ci --no-audit --no-fund --loglevel=error)
	touch $@
