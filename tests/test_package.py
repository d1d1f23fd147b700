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
import sys
import numpy as np
import imblearn_eos

for name in ("embedding", "metrics", "neighbors", "over_sampling"):
    assert getattr(imblearn_eos, name).__name__ == f"imblearn_eos.{name}"

# Who has no Dask collection needs no Dask.
X, y = np.arange(40.0).reshape(20, 2), np.arange(20) < 6
imblearn_eos.EOS().fit_resample(X, y)
imblearn_eos.TorchNearestNeighbors().fit(X).kneighbors(X)
assert not {"dask", "imblearn_eos._dask"} & set(sys.modules)
"""


@pytest.mark.parametrize("code", [LATE, SUBMODULES])
def test_the_package_is_imported_before_torch_and_without_dask(code):
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
