# make quickstart   sets itself up, then runs the whole journey on the model that comes with the package
# make test         sets itself up, then lint, types and tests
# make setup        only .venv, with .venv/bin/selfcodealign in it

PYTHON ?= python3
# Without a GPU, where the plain wheel would bring gigabytes of CUDA:
#   make setup TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

.PHONY: setup quickstart test lint clean

setup: .venv/.ready

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch .venv/.ready

quickstart: setup
	.venv/bin/selfcodealign run quickstart

test: lint
	.venv/bin/python -m pytest -n 2 --dist loadfile

lint: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyrefly check

clean:
	rm -rf .venv runs
