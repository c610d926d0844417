# `make serve` sets up whatever is missing and starts; `make` lists the rest.
#
# PYTHON            the interpreter to make .venv with (3.11 or newer)
# TORCH_INDEX_URL   a further package index, for example one with CPU-only torch
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP_VERSION := 26.3
# Resolves the lock, for every platform at once.
UV_VERSION := 0.13.9
# Chosen by hand: gigabytes, and not every index has every build of it. Of all packages it alone is
# installed without a hash: a CPU and a CUDA wheel of one version have two.
TORCH_VERSION := 2.13.0
INTEGRATIONS := .make/integrations
PURELIB := import sysconfig; print(sysconfig.get_path('purelib'))
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH_INDEX_URL ?=
INDEX := $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))
JOBS ?= 2
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q -n $(JOBS) --dist worksteal
export CHROMIUM ?= $(shell command -v chromium)

FIND_PYTHON = for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
	then break; fi; python=; done; \
	if [ -z "$$python" ]; then \
	echo "Python 3.11, 3.12 or 3.13 was not found; install one or set PYTHON=/path/to/python." >&2; \
	exit 1; fi

.PHONY: help setup serve test test-fast test-js coverage test-rest test-browser test-integrations check audit sbom imports tables hooks fuzz bench shots lock assets clean

help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .make/python .make/assets ## Install everything but the browser

serve: setup ## Serve on http://127.0.0.1:8000
	exec $(BIN)/layerscope serve

test: test-js coverage test-rest test-browser ## All tests, and what they leave out of the engine

test-fast: setup ## All tests but those in a browser and those that take long; fewer examples
	$(PYTEST) -m "not browser and not slow" --hypothesis-profile quick

test-js: .make/node ## Tests of the scripts' pure parts
	npm test --silent

coverage: setup ## The engine's own tests, and which of its branches they leave out
	$(PYTEST) tests/engine --cov

test-rest: setup # what is neither measured nor in a browser
	$(PYTEST) --ignore tests/engine --ignore tests/browser

test-browser: setup .make/chromium ## Tests in Chromium
	$(PYTEST) --dist loadfile tests/browser

test-integrations: setup ## The callbacks against the libraries that they are for, where those can be installed
	if $(MAKE) --no-print-directory $(INTEGRATIONS)/complete; \
	then $(INTEGRATIONS)/bin/python -m pytest -q -p no:cacheprovider tests/engine/probe/callbacks; \
	else echo "The group 'integrations' cannot be installed here: no callback was held against its library." >&2; fi

check: setup audit ## Lint, format, types, imports, scripts, Dockerfile, known holes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory imports
	npm run --silent check
	# the linter's grammar of HEALTHCHECK ends at the hyphen of --start-period
	sed 's/--start-period=[0-9]*s //' Dockerfile | node_modules/.bin/dockerfilelint

audit: setup ## Known holes in what the locks name, where pip-audit and npm audit can ask
	$(BIN)/python -m tools.audit

sbom: setup ## What runs, on the server and in the browser, into sbom.cdx.json (CycloneDX)
	$(BIN)/python -m tools.sbom > sbom.cdx.json

imports: setup
	cd .make/names && ../../$(BIN)/lint-imports --config ../../pyproject.toml

hooks: setup ## Check the files of every commit before it is made
	$(BIN)/pre-commit install

fuzz: setup ## Thousands of odd requests to a server of its own: schemathesis, and our own
	$(BIN)/python -m tools.fuzz

sweep: setup ## Five thousand random specifications, each held to have a result
	LAYERSCOPE_SWEEP=5000 $(BIN)/python -m pytest -q tests/engine/diagnosis/test_any_specification.py

bench: setup .make/chromium ## All benchmarks, each as ratios
	for file in benchmarks/*.py benchmarks/*/__main__.py; do \
		file=$${file%/__main__.py}; name=$$(basename "$$file" .py); \
		if [ "$$name" != __init__ ]; then echo "== $$name"; $(BIN)/python -m "benchmarks.$$name"; fi; \
	done

shots: setup .make/chromium ## Screenshots of every page into shots/
	$(BIN)/python -m tests.browser.shots

assets: .make/assets ## The browser's libraries into static/vendor

tables: setup ## Write the generated tables anew: rules into docs/, the diagnosis' score
	$(BIN)/python -m tools.rules_table
	$(BIN)/python -m benchmarks.diagnosis --write
	$(BIN)/python -m benchmarks.trainings --write --jobs $(JOBS)

lock: .make/venv ## Resolve every dependency anew into the locks; KEEP=1 leaves versions that stand
	$(PIP) install --quiet --target .make/uv "uv==$(UV_VERSION)"
	$(BIN)/python -m tools.lock .make/uv/bin/uv $(TORCH_VERSION) $(if $(KEEP),--keep)
	rm -rf .make/uv
	npm install --package-lock-only --ignore-scripts --no-audit --no-fund

clean: ## Remove whatever was made here, but not data/
	rm -rf $(VENV) node_modules static/vendor .make build dist shots sbom.cdx.json .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment beside .venv, whose packages it sees: what these libraries pull in is theirs alone.
# torchvision comes with fastai, often for another build of torch, and is then in everybody's way.
$(INTEGRATIONS)/complete: .make/python
	rm -rf $(INTEGRATIONS)
	$(BIN)/python -m venv --without-pip $(INTEGRATIONS)
	echo "import site; site.addsitedir('$$($(BIN)/python -c "$(PURELIB)")')" \
		> "$$($(INTEGRATIONS)/bin/python -c "$(PURELIB)")/beside.pth"
	$(PIP) --python $(INTEGRATIONS)/bin/python install --quiet $(INDEX) --constraint constraints.txt --group integrations
	if ! $(INTEGRATIONS)/bin/python -c 'import torchvision' 2>/dev/null; \
	then $(PIP) --python $(INTEGRATIONS)/bin/python uninstall --quiet --yes torchvision; fi
	touch $@

.make/venv:
	mkdir -p .make
	if [ ! -x $(BIN)/python ]; then $(FIND_PYTHON); "$$python" -m venv $(VENV); fi
	$(PIP) install --quiet "pip==$(PIP_VERSION)"
	touch $@

.make/python: .make/venv .make/names pyproject.toml setup.py constraints.txt requirements.lock
	$(PIP) install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(PIP) install --quiet $(INDEX) --constraint constraints.txt torch
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(PIP) check
	touch $@

# The one name as a tree of links, for tools that read files instead of importing modules.
.make/names:
	mkdir -p .make/names/layerscope
	for file in layerscope/*.py layerscope/py.typed; do ln -sfn "../../../$$file" .make/names/layerscope/; done
	for room in engine app templates static; do ln -sfn "../../../$$room" .make/names/layerscope/; done

.make/node: package.json package-lock.json
	mkdir -p .make
	command -v npm >/dev/null || { echo "npm was not found; install Node.js 20 or newer." >&2; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund
	touch $@

.make/assets: .make/node tools/vendor.mjs
	npm run --silent assets
	touch $@

.make/chromium:
	mkdir -p .make
	if ! command -v chromium >/dev/null; then \
		if ! command -v apt-get >/dev/null; then \
			echo "Chromium was not found; install it as \`chromium\` on the PATH." >&2; exit 1; fi; \
		sudo=; if [ "$$(id -u)" != 0 ]; then sudo="sudo -n"; fi; \
		$$sudo apt-get update -qq; $$sudo apt-get install -y -qq chromium || { \
			echo "Chromium could not be installed; run: sudo apt-get install chromium" >&2; exit 1; }; \
	fi
	touch $@
