# What a fresh clone needs is Python 3.11, make and git. Everything else goes into .venv/ and .livetower/.
# Start at `make help`.

HOME_DIR := $(or $(LIVETOWER_HOME),$(CURDIR)/.livetower)
export NUMBA_CACHE_DIR ?= $(HOME_DIR)/numba
export HYPOTHESIS_STORAGE_DIRECTORY ?= $(HOME_DIR)/hypothesis

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_VERSION := 26.3

# The first Python 3.11 on PATH, else any Python 3, which then says what is needed; looked for only to set up.
PYTHON = $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && exit; done; command -v python3)

# Of make audit: a tool beside the project, not a package of it.
AUDIT := $(HOME_DIR)/audit
PIP_AUDIT := pip-audit==2.10.1
IGNORED = $(shell sed -n 's/^\([A-Z][A-Z0-9a-z-]*\) .*/--ignore-vuln \1/p' audit-ignored.txt)

# Set-up is done when the stamp of these very contents, in this very place, exists.
CUDA := $(if $(filter 1,$(LIVETOWER_CPU_TORCH)),,-r requirements-cuda.txt)
STAMP := .venv/ready-$(shell { cat requirements.txt $(if $(CUDA),requirements-cuda.txt) pyproject.toml \
	livetower/sandbox/jars.toml; echo '$(CURDIR)'; } | cksum | tr ' ' -)

.PHONY: help setup demo test chaos chaos-long fuzz-long soak check audit down clean
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(STAMP) ## Python packages and jars (done by the others too)

demo: $(STAMP) ## replay MovieLens through a real Kafka and Flink and watch the lists
	@$(BIN)/livetower demo

test: $(STAMP) ## all tests, those on a real Kafka and Flink included
	@$(BIN)/python -m pytest

fuzz-long: $(STAMP) ## a million hostile inputs to every parser and both operators; SEED=n for others
	@PYTHONPATH='$(CURDIR):$(CURDIR)/tests' $(BIN)/python -m fuzz --inputs 1000000 --seed $(or $(SEED),1)

soak: $(STAMP) ## half an hour at 2,000 events/s: does anything grow beyond its bound?
	@$(BIN)/livetower soak

chaos: $(STAMP) ## kill, break and upgrade a running job, and prove that nothing is lost
	@$(BIN)/livetower chaos

chaos-long: $(STAMP) ## the same with 100 faults
	@$(BIN)/livetower chaos --faults 100 --events 250000 --minutes 120

check: $(STAMP) ## lint, format, types, and the handbook into .livetower/site
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m mypy
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir '$(HOME_DIR)/site'

audit: $(STAMP) ## known vulnerabilities of the pinned packages, by pip-audit (needs a network)
	@test -x '$(AUDIT)/bin/pip-audit' || { $(BIN)/python livetower/preflight.py index '$(PIP_AUDIT)' && \
		$(BIN)/python -m venv '$(AUDIT)' && '$(AUDIT)/bin/pip' --disable-pip-version-check install --quiet '$(PIP_AUDIT)'; }
	@'$(AUDIT)/bin/pip-audit' --strict --no-deps --disable-pip --progress-spinner off $(IGNORED) \
		-r requirements.txt $(if $(CUDA),-r requirements-cuda.txt)

down: ## stop what the demo left running
	@if [ -x $(BIN)/livetower ]; then $(BIN)/livetower down --run-dir '$(HOME_DIR)/demo/sandbox'; fi

clean: down ## stop what runs, and remove all but the packages and the jars
	@if [ -x $(BIN)/livetower ]; then $(BIN)/livetower down; fi
	@cd '$(HOME_DIR)' && rm -rf demo soak sandbox numba hypothesis pytest ruff mypy site

$(STAMP):
	@test -n '$(PYTHON)' || { echo "make: Python 3.11 is needed, and no python3 at all is on PATH:" \
		"install it (Debian: apt install python3.11-venv libpython3.11; anywhere: uv python install 3.11)" >&2; exit 1; }
	@$(PYTHON) livetower/preflight.py setup
	@$(PYTHON) -m venv .venv
	@$(BIN)/python livetower/preflight.py index 'pip==$(PIP_VERSION)'
	@$(PIP) install --quiet 'pip==$(PIP_VERSION)'
	@$(PIP) install --quiet --no-deps $$(grep -oE '^(setuptools|wheel)==[^ ]+' requirements.txt)
	@$(PIP) install --no-deps --no-build-isolation -r requirements.txt $(CUDA) || { echo "make: pip stopped, for the reason" \
		"above: connect to a network, or set PIP_INDEX_URL / HTTPS_PROXY, if it was that, and run the same again" >&2; exit 1; }
	@PYTHONWARNINGS=ignore $(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/livetower jars
	@rm -f .venv/ready-* && touch $@
	@echo "Set up: .venv holds the packages, $(HOME_DIR)/jars the jars."
