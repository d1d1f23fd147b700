# Needs python3.11 (or another by PYTHON=...) and make. Everything is installed into .venv.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# scikit-learn's checks of array API input run only with SCIPY_ARRAY_API. Beside other work on the
# machine, one thread is much faster than several waiting for each other.
TEST := OMP_NUM_THREADS=1 SCIPY_ARRAY_API=1

# The torch of `make test-oldest`; a version that is older needs an index of packages that has it.
TORCH ?= $(shell sed -n 's/^torch==//p' constraints.txt)
OLDEST := .venv-oldest/.torch-$(TORCH)

.PHONY: demo test test-slow test-oldest coverage docs linkcheck lint types package clean

demo: .venv/.demo
	$(BIN)/imblearn-eos compare --report demo-report --overwrite

test: .venv/.dev
	$(TEST) $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/.dev
	$(TEST) $(BIN)/python -m pytest -m slow

# The oldest versions that pyproject.toml allows, in an environment of their own.
test-oldest: $(OLDEST)
	$(TEST) .venv-oldest/bin/python -m pytest -n 2 --dist loadfile

coverage: .venv/.dev
	$(TEST) $(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

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

# The annotations of public names.
types: .venv/.dev
	$(BIN)/mypy

# The wheel and the source archive, each installed into an empty environment and tried there.
package: .venv/.dev
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	.ci/try-package dist/*.whl
	.ci/try-package dist/*.tar.gz

clean:
	rm -rf .venv .venv-oldest build dist *.egg-info .coverage* *-report
	rm -rf .pytest_cache .hypothesis .ruff_cache .mypy_cache
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

$(OLDEST): pyproject.toml setup.cfg constraints.txt .ci/oldest.py
	rm -rf .venv-oldest
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python .ci/oldest.py test --torch $(TORCH) >.venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
		-c .venv-oldest/constraints.txt -e '.[test]'
	touch $@
