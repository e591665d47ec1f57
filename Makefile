# For a machine with git, Python >= 3.11 and Node.js >= 20, and nothing else prepared.
#
#   PYTHON=python3.12          the Python that .venv is made from (default: the first one that is new enough)
#   TORCH_INDEX=URL            one more package index, for PyTorch's own builds: on Linux the usual index gives the CUDA
#                              build (gigabytes); the address of the CPU builds stands on PyTorch's "get started" page
#   CHROMIUM=/path/to/chromium the browser for the tests (default: the first one found; see scripts/chromium.sh)
#   PYTEST_ARGS="-k xrai -x"   for pytest

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH_INDEX ?=
PYTEST_ARGS ?=

# Older kernels that the widget is tested on too, beside the installed one.
KERNELS := 6.29.5 7.3.0

VENV := .venv
BIN := $(VENV)/bin
BUNDLE := saliency_widget/static/widget.js
FRONT_END := $(shell find js/src -type f 2>/dev/null)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.PHONY: help demo lab test test-long pictures check format lock clean chromium

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo $(BUNDLE)  ## see it: runs examples/quickstart.ipynb, leaves a page, a picture and a tour in build/demo
	@$(BIN)/python scripts/demo.py
	@$(BIN)/python scripts/tour.py

lab: $(VENV)/.demo $(BUNDLE)  ## play with it: opens the same notebook in JupyterLab
	JUPYTER_PREFER_ENV_PATH=1 $(BIN)/python -m jupyter lab examples/quickstart.ipynb \
		$(if $(filter 0,$(shell id -u)),--allow-root)

test: chromium check $(VENV)/.kernels  ## everything: types and lint, then vitest, then pytest with a real JupyterLab and Chromium
	npm test
	CHROMIUM="$$(scripts/chromium.sh)" && export CHROMIUM && $(BIN)/python -m pytest $(PYTEST_ARGS)

test-long: chromium $(VENV)/.test $(BUNDLE)  ## the tests that take minutes each, which `make test` leaves out
	CHROMIUM="$$(scripts/chromium.sh)" && export CHROMIUM && $(BIN)/python -m pytest -m long $(PYTEST_ARGS)
	JITTER=1e-6 $(BIN)/python -m pytest -m agreement $(PYTEST_ARGS)

pictures: chromium $(VENV)/.test $(BUNDLE)  ## take anew the pictures that tests compare and docs show
	CHROMIUM="$$(scripts/chromium.sh)" && export CHROMIUM && KEEP_PICTURES=1 $(BIN)/python -m pytest $(PYTEST_ARGS) \
		tests/browser/test_{pictures,panels,tour}.py tests/browser/test_drawer.py::test_what_if_looks

check: $(VENV)/.test $(BUNDLE)  ## types and lint only: tsc, eslint, ruff, mypy
	npm run check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.test  ## write the Python files as `make check` wants them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock:  ## write constraints.txt anew from pyproject.toml
	scripts/lock.sh

clean:  ## remove what was built and cached; .venv and node_modules stay
	rm -rf build dist saliency_widget/static/widget.js saliency_widget/static/widget.css
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.kernels: Makefile | $(VENV)/.test
	@for version in $(KERNELS); do \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
			--target "$(VENV)/kernels/$$version" "ipykernel==$$version"; done
	@touch $@

chromium:
	@scripts/chromium.sh >/dev/null

# Each step leaves a file behind, so that a second `make` does only what has changed.

$(BIN)/python:
	@$(if $(PYTHON),,echo "Python 3.11 or newer is needed, and none was found; name one with make PYTHON=…" >&2; exit 1)
	$(PYTHON) -m venv $(VENV)
	@echo '{}' > $(VENV)/package.json  # or Node takes JupyterLab's scripts for modules, as our package.json says

# hatchling first: the install uses it from the venv, pinned, instead of fetching its own.
$(VENV)/.demo: pyproject.toml constraints.txt hatch_build.py | $(BIN)/python $(BUNDLE)
	@$(PIP) hatchling editables
	@echo "Installing into $(VENV): a minute or two, longer where PyTorch comes with CUDA"
	@$(PIP) --no-build-isolation --editable '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt hatch_build.py | $(BIN)/python $(BUNDLE)
	@$(PIP) hatchling editables
	@echo "Installing into $(VENV): a minute or two, longer where PyTorch comes with CUDA"
	@$(PIP) --no-build-isolation --editable '.[test]'
	@touch $@ $(VENV)/.demo

node_modules/.package-lock.json: package.json package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || \
		{ echo "Node.js 20 or newer is needed, and node says: $$(node --version || true)" >&2; exit 1; }
	npm ci --no-audit --no-fund
	@touch $@

$(BUNDLE): node_modules/.package-lock.json package.json $(FRONT_END)
	npm run build
	@touch $@ $(@:.js=.css)
