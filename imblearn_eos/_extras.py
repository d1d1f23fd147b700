"""Packages that only an extra of this package installs."""

from importlib import import_module


def import_extra(name, extra):
    """Import a package, with an error that names the extra which installs it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} is not installed. Install the extra {extra!r}: "
            f"pip install 'imblearn-eos[{extra}]'."
        ) from error
