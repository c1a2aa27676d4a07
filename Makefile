# make demo: install into .venv, then segment, score and overlay the sample field
# make test: install into .venv, then lint, type-check and test under a virtual screen

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --upgrade
SCREEN := $(if $(filter Linux,$(shell uname -s)),LIBGL_ALWAYS_SOFTWARE=1 xvfb-run --auto-servernum --server-args="-screen 0 1280x800x24",)

.PHONY: demo test lint bench screenshots clean

demo: $(VENV)/demo.stamp
	$(BIN)/napari-nucseg demo

test: $(VENV)/test.stamp lint
	$(SCREEN) $(BIN)/python -m pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(VENV)/test.stamp
	$(SCREEN) $(BIN)/python -m benchmarks

screenshots: $(VENV)/test.stamp
	$(SCREEN) $(BIN)/python examples/screenshots.py

clean:
	rm -rf $(VENV)

$(VENV)/pip.stamp: scripts/system-packages
	scripts/system-packages "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)
	$(PIP) pip
	touch $@

$(VENV)/demo.stamp: $(VENV)/pip.stamp pyproject.toml
	@echo "Installing napari, Cellpose and PyTorch into $(VENV): a few minutes and gigabytes the first time"
	$(PIP) --editable ".[all]"
	touch $@

$(VENV)/test.stamp: $(VENV)/pip.stamp pyproject.toml
	@echo "Installing napari, Cellpose, PyTorch and the test tools into $(VENV): a few minutes and gigabytes the first time"
	$(PIP) --editable ".[test]"
	touch $@
