# What a fresh clone needs is Python 3.11, make and git. Everything else goes into .venv/ and .livetower/.
# Start at `make help`.

HOME_DIR := $(or $(LIVETOWER_HOME),$(CURDIR)/.livetower)
export NUMBA_CACHE_DIR ?= $(HOME_DIR)/numba
export HYPOTHESIS_STORAGE_DIRECTORY ?= $(HOME_DIR)/hypothesis

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_VERSION := 26.3

# The first Python 3.11 on PATH; looked for only when something has to be set up.
PYTHON = $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)

# Set-up is done when the stamp of these very contents, in this very place, exists.
CUDA := $(if $(filter 1,$(LIVETOWER_CPU_TORCH)),,-r requirements-cuda.txt)
STAMP := .venv/ready-$(shell { cat requirements.txt $(if $(CUDA),requirements-cuda.txt) pyproject.toml \
	livetower/sandbox/jars.toml; echo '$(CURDIR)'; } | cksum | tr ' ' -)

# Checked before anything is downloaded. A Python without its shared library cannot be embedded, and Flink embeds it.
define CHECK_PYTHON
import ctypes, importlib.util, os, sys, sysconfig
name = "libpython3.11.so.1.0"
places = [os.path.join(place, name) for place in (sysconfig.get_config_var("LIBDIR") or "", os.path.join(sys.base_prefix, "lib"))]
def loadable():
    try:
        return bool(ctypes.CDLL(name))
    except OSError:
        return False
if importlib.util.find_spec("ensurepip") is None:
    sys.exit(f"make: {sys.executable} comes without venv: install it (Debian: apt install python3.11-venv)")
if not any(map(os.path.exists, places)) and not loadable():
    sys.exit(f"make: {sys.executable} comes without its shared library {name}, which Flink loads to run Python: "
             "install it (Debian: apt install libpython3.11; pyenv: build with --enable-shared)")
endef
export CHECK_PYTHON

.PHONY: help setup demo test check down clean
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP) ## Python packages and jars (done by the others too)

demo: $(STAMP) ## replay MovieLens through a real Kafka and Flink and watch the lists
	@$(BIN)/livetower demo

test: $(STAMP) ## all tests, those on a real Kafka and Flink included
	@$(BIN)/python -m pytest

check: $(STAMP) ## lint, format, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m mypy

down: ## stop what the demo left running
	@if [ -x $(BIN)/livetower ]; then $(BIN)/livetower down --run-dir '$(HOME_DIR)/demo/sandbox'; fi

clean: down ## stop what runs, and remove all but the packages and the jars
	@if [ -x $(BIN)/livetower ]; then $(BIN)/livetower down; fi
	@cd '$(HOME_DIR)' && rm -rf demo sandbox numba hypothesis pytest ruff mypy

$(STAMP):
	@test -n '$(PYTHON)' || { echo "make: Python 3.11 is needed, and no python3.11 or python3 of that version is on PATH:" \
		"install it (Debian: apt install python3.11-venv libpython3.11; anywhere: uv python install 3.11)" >&2; exit 1; }
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@echo "Setting up: $(if $(CUDA),3.6 GB to download and 6.6 GB on disk; three to six minutes on a good line" \
		"(two thirds are CUDA libraries$(comma) which torch from PyPI needs),0.8 GB to download and 2 GB on disk; one to three minutes)"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --quiet 'pip==$(PIP_VERSION)'
	@$(PIP) install --quiet --no-deps $$(grep -oE '^(setuptools|wheel)==[^ ]+' requirements.txt)
	@$(PIP) install --no-deps --no-build-isolation -r requirements.txt $(CUDA)
	@PYTHONWARNINGS=ignore $(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/livetower jars
	@rm -f .venv/ready-* && touch $@
	@echo "Set up: .venv holds the packages, $(HOME_DIR)/jars the jars."

comma := ,
