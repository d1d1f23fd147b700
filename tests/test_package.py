"""The names of the package itself, which are imported when they are first used."""

import pickle
import subprocess
import sys

import pytest

import imblearn_eos

LATE = """
import sys
import imblearn_eos

assert imblearn_eos.__version__
assert set(imblearn_eos.__all__) < set(dir(imblearn_eos))
assert "torch" not in sys.modules and "sklearn" not in sys.modules
"""

SUBMODULES = """
import imblearn_eos

for name in ("embedding", "metrics", "neighbors", "over_sampling"):
    assert getattr(imblearn_eos, name).__name__ == f"imblearn_eos.{name}"
"""


@pytest.mark.parametrize("code", [LATE, SUBMODULES])
def test_the_package_is_imported_before_torch(code):
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_star_imports_all_names():
    names = {}
    exec("from imblearn_eos import *", names)
    assert set(imblearn_eos.__all__) <= set(names)


@pytest.mark.parametrize("name", imblearn_eos.__all__)
def test_a_name_is_the_same_object_each_time_and_pickles(name):
    value = getattr(imblearn_eos, name)
    assert getattr(imblearn_eos, name) is value
    assert pickle.loads(pickle.dumps(value)) is value


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'imblearn_eos' has no attribute 'EOSS'"):
        imblearn_eos.EOSS  # noqa: B018
