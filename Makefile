# make quickstart   sets itself up, then runs the whole journey on the model that comes with the package
# make test         sets itself up, then lint, types and tests
# make setup        only .venv, with .venv/bin/selfcodealign in it

PYTHON ?= python3
# Without a GPU, where the plain wheel would bring gigabytes of CUDA:
#   make setup TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

PIP := .venv/bin/python -m pip install --disable-pip-version-check

.PHONY: setup quickstart test lint clean

setup: .venv/.ready

# What a run needs, and in .ready the tools of `make test` as well. pip is not quiet: this takes minutes.
.venv/.run: pyproject.toml
	@echo "Setting up .venv: a minute on a fast line and machine, ten on slow ones."
	$(PYTHON) -m venv .venv
	$(PIP) $(TORCH)
	$(PIP) -e '.[train,curation]'
	@touch $@

.venv/.ready: .venv/.run
	$(PIP) -e '.[dev]'
	@touch $@

quickstart: .venv/.run
	.venv/bin/selfcodealign run quickstart

# The browser that tests of pages need, where the machine has none. Without a way to get one they are skipped.
.venv/.browser: .venv/.ready
	@if .venv/bin/python -m tests.support.fetch_chromium; then touch $@; fi

test: lint .venv/.browser
	.venv/bin/python -m pytest -n 2 --dist loadfile

lint: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyrefly check

clean:
	rm -rf .venv runs
