"""The signatures of all public names have annotations."""

import inspect
from importlib import import_module
from pkgutil import iter_modules

import pytest

import imblearn_eos

PUBLIC_MODULES = [
    "imblearn_eos",
    *(
        f"imblearn_eos.{module.name}"
        for module in iter_modules(imblearn_eos.__path__)
        if not module.name.startswith("_")
    ),
]


def public_functions(module):
    """Return the functions and methods of a module's public names that the package defines."""
    found = {}
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    for name in getattr(module, "__all__", own):
        value = getattr(module, name)
        if not inspect.isclass(value):
            found[name] = value
        for owner in getattr(value, "__mro__", ()):
            for key, member in vars(owner).items():
                if key.startswith("_") and key != "__init__":
                    continue
                # Descriptors: a property, a class or static method, scikit-learn's available_if.
                for attribute in ("fget", "__func__", "fn"):
                    member = getattr(member, attribute, member)
                found.setdefault(f"{name}.{key}", member)
    return {
        name: function
        for name, function in found.items()
        if inspect.isfunction(function) and function.__module__.startswith("imblearn_eos")
    }


def missing_annotations(name, function):
    """Return which parameters of a function lack an annotation, and whether its result does."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    missing = [f"{name}({p.name})" for p in parameters if p.annotation is p.empty]
    if signature.return_annotation is signature.empty and not name.endswith(".__init__"):
        missing.append(f"{name}() -> ?")
    return missing


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_public_names_are_annotated(module):
    functions = public_functions(import_module(module))
    missing = [line for name, f in functions.items() for line in missing_annotations(name, f)]
    assert missing == []
