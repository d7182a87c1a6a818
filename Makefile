# The one-click doors. Everything is installed into .venv; nothing outside this folder is touched
# but the per-user cache of u2forge (weights and built models; see `u2forge fetch --help`).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PyTorch serves only the tests that read and write .pth and .pt files; one known version, for repeatable tests.
TORCH ?= torch==2.13.0
export IMAGES ?=
# Photos that calibrate the quantized models of `make bench` and `make eval`; a data set with ground truth.
export CALIBRATION ?=
export DATASET ?=

.PHONY: setup run test check bench dataset-given eval clean

setup: $(VENV)/.setup

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.setup: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[cpu,eval,demo]'
	touch $@

$(VENV)/.setup-test: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]' '$(TORCH)'
	touch $@

$(VENV)/.setup-dev: $(VENV)/.setup-test pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

run: $(VENV)/.setup
	$(BIN)/u2forge run $${IMAGES:+"$$IMAGES"} --out out

test: $(VENV)/.setup-test
	$(BIN)/python -m pytest

check: $(VENV)/.setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m 'not weights'

bench: $(VENV)/.setup
	$(BIN)/python benchmarks/own_table.py $${CALIBRATION:+--calibration "$$CALIBRATION"}

# Before anything is installed for it.
dataset-given:
	@test -n "$$DATASET" || { echo 'make eval: no DATASET; name a folder of photos and masks: make eval DATASET=~/ECSSD' \
		>&2; exit 2; }

eval: dataset-given $(VENV)/.setup
	$(BIN)/python benchmarks/own_accuracy.py "$$DATASET" $${CALIBRATION:+--calibration "$$CALIBRATION"}

clean:
	rm -rf $(VENV) out build dist
