# Needs python3.11 (or PYTHON=...) and make. Everything is installed into .venv.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test docs linkcheck lint clean

demo: .venv/.demo
	$(BIN)/imblearn-eos compare --report demo-report --overwrite

# Beside other work on the machine, one thread is much faster than several waiting for each other.
# scikit-learn's checks of array API input run only with SCIPY_ARRAY_API.
test: .venv/.dev
	OMP_NUM_THREADS=1 SCIPY_ARRAY_API=1 $(BIN)/python -m pytest

# A warning is an error. Afterwards open docs/_build/html/index.html.
docs: .venv/.docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build/html
	@echo "Built: $(CURDIR)/docs/_build/html/index.html"

# Needs the internet: asks whether the pages that the documentation links to are still there.
linkcheck: .venv/.docs
	$(BIN)/python -m sphinx -b linkcheck -D plot_gallery=0 docs docs/_build/linkcheck

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .ruff_cache *-report
	rm -rf docs/_build docs/auto_examples docs/generated

# A stamp is written when its installation has succeeded, so a second run installs nothing.
.venv/.demo: pyproject.toml setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv. torch is large: the first time takes a few minutes."
	$(INSTALL) -e '.[images,tables,report]'
	touch $@

.venv/.dev: .venv/.demo
	$(INSTALL) -e '.[dev]'
	touch $@

.venv/.docs: .venv/.demo
	$(INSTALL) -e '.[docs]'
	touch $@
