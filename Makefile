# Needs python3.11 (or PYTHON=...) and make. Everything is installed into .venv.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint clean

demo: .venv/.demo
	$(BIN)/imblearn-eos compare

# Beside other work on the machine, one thread is much faster than several waiting for each other.
# scikit-learn's checks of array API input run only with SCIPY_ARRAY_API.
test: .venv/.dev
	OMP_NUM_THREADS=1 SCIPY_ARRAY_API=1 $(BIN)/python -m pytest

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .ruff_cache

# A stamp is written when its installation has succeeded, so a second run installs nothing.
.venv/.demo: pyproject.toml setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv. torch is large: the first time takes a few minutes."
	$(INSTALL) -e '.[images]'
	touch $@

.venv/.dev: .venv/.demo
	$(INSTALL) -e '.[dev]'
	touch $@
