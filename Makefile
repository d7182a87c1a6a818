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

# The package, editable, its C++ compiled into src/. The build tools stay in .venv: in an environment made for each
# build, all would be compiled again. CMake and ninja are installed where the machine has none.
$(VENV)/.package: $(VENV)/.python pyproject.toml CMakeLists.txt $(wildcard native/src/*)
	$(BIN)/python -m pip install --quiet 'scikit-build-core>=0.11' 'nanobind>=2.4'
	$(BIN)/python -c 'from scikit_build_core.build import *; print(*get_requires_for_build_editable({}))' \
		| xargs -r $(BIN)/python -m pip install --quiet
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

$(VENV)/.setup: pyproject.toml | $(VENV)/.package
	$(BIN)/python -m pip install --quiet 'u2forge[cpu,eval,demo]'
	touch $@

$(VENV)/.setup-test: pyproject.toml | $(VENV)/.package
	$(BIN)/python -m pip install --quiet 'u2forge[test]' '$(TORCH)'
	touch $@

$(VENV)/.setup-dev: pyproject.toml | $(VENV)/.setup-test
	$(BIN)/python -m pip install --quiet 'u2forge[dev]'
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
	rm -f src/u2forge/native/_kernels*.so src/u2forge/native/_kernels*.pyd src/u2forge/native/not_built.txt
