"""Private names of other packages stay in ``imblearn_eos/_compat.py``."""

import ast
from functools import cache
from pathlib import Path

import pytest

import imblearn_eos

PACKAGE = Path(imblearn_eos.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
LIBRARIES = {"imblearn", "sklearn", "skorch", "torch"}
# What scikit-learn documents for estimators to define and to read.
EXTENSION_POINTS = {"_parameter_constraints"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_imports(tree):
    """Return what is imported from the libraries with a private name on the way."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [
        name
        for name in names
        if name.split(".")[0] in LIBRARIES and any(map(is_private, name.split(".")))
    ]


def private_attributes(tree):
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | {
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", None) in ("getattr", "hasattr", "setattr")
        and isinstance(node.args[1], ast.Constant)
    }


def defined_names(tree):
    """Return the names that a file defines, as attributes, functions and classes."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Store):
            names.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return names


@cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def names_of_the_package():
    return set().union(*(defined_names(parse(path)) for path in FILES.values()))


@pytest.mark.parametrize("name", sorted(set(FILES) - {"_compat.py"}))
def test_private_names_of_other_packages_are_used_in_one_file_only(name):
    tree = parse(FILES[name])
    assert private_imports(tree) == []
    found = {attribute for attribute in private_attributes(tree) if is_private(attribute)}
    assert found - names_of_the_package() - EXTENSION_POINTS == set()


def test_the_search_finds_private_names():
    tree = ast.parse(
        "import torch._dynamo\n"
        "from sklearn.utils._param_validation import Interval\n"
        "from sklearn.base import _fit_context, clone\n"
        "from imblearn_eos._validation import _targets\n"
        "getattr(module, '_orig_mod', module)\n"
        "pipeline._final_estimator\n"
    )
    assert private_imports(tree) == [
        "torch._dynamo",
        "sklearn.utils._param_validation.Interval",
        "sklearn.base._fit_context",
    ]
    assert {"_orig_mod", "_final_estimator"} <= private_attributes(tree)
    assert private_imports(parse(FILES["_compat.py"])) != []
