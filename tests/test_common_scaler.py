"""CommonScaler: one scale for all features, in any container."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos import EOS, CommonScaler
from imblearn_eos.embedding import _common_scaler


def rows(dtype=np.float64):
    Z = np.random.RandomState(0).normal(size=(60, 5)) * [1, 1, 3, 1e-3, 0] + [0, 7, 0, 0, 2]
    return Z.astype(dtype)


@given(arrays(np.float64, (7, 3), elements=st.floats(-1e3, 1e3, allow_subnormal=False)))
def test_features_are_centered_and_their_mean_square_is_one(Z):
    scaler = CommonScaler().fit(Z)
    scale = np.sqrt(np.square(Z - Z.mean(axis=0)).mean())
    noise = 10 * np.finfo(float).eps * np.abs(Z).max()
    assume(scale == 0 or scale > 2 * noise)
    assert_allclose(scaler.mean_, Z.mean(axis=0), atol=1e-6, rtol=1e-12)
    assert_allclose(scaler.scale_, scale or 1, atol=1e-6, rtol=1e-9)
    assert_allclose(scaler.transform(Z) * scaler.scale_, Z - scaler.mean_, rtol=1e-9, atol=1e-99)


@pytest.mark.parametrize("block_numbers", [1, 17])
def test_many_rows_are_summed_in_blocks(block_numbers, monkeypatch):
    Z = rows(np.float32)
    expected = CommonScaler().fit(Z)
    monkeypatch.setattr(_common_scaler, "BLOCK_NUMBERS", block_numbers)
    scaler = CommonScaler().fit(Z)
    assert_allclose(scaler.mean_, expected.mean_, rtol=1e-12)
    assert_allclose(scaler.scale_, expected.scale_, rtol=1e-12)


@pytest.mark.parametrize("value", [5.0, 0.1, 1 / 3, 0.0])
def test_rows_that_are_all_equal_are_centered_only(value):
    Z = np.full((10, 2), value)
    scaler = CommonScaler().fit(Z)
    assert scaler.scale_ == 1
    assert_allclose(scaler.transform(Z), 0 * Z, atol=1e-15)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float64", "float64"),
        ("float32", "float32"),
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("int64", "float64"),
    ],
)
def test_tensors_stay_tensors(dtype, expected):
    Z = torch.from_numpy(rows()).to(getattr(torch, dtype))
    scaler = CommonScaler().fit(Z)
    found = scaler.transform(Z)
    assert found.dtype == getattr(torch, expected)
    if dtype != "bfloat16":
        by_array = CommonScaler().fit(Z.numpy()).transform(Z.numpy())
        assert isinstance(by_array, np.ndarray)
        assert_array_equal(by_array, found)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64"])
@pytest.mark.parametrize("is_frame", [False, True])
def test_a_dask_collection_is_scaled_lazily(dtype, is_frame):
    da = pytest.importorskip("dask.array", reason="needs dask, the extra 'dask'")
    dd = pytest.importorskip("dask.dataframe", reason="needs pyarrow, the extra 'embeddings'")
    Z = rows().astype(dtype)
    given = pd.DataFrame(Z, columns=list("abcde")) if is_frame else Z
    lazy = dd.from_pandas(given, 3) if is_frame else da.from_array(Z, chunks=(20, 2))
    scaler = CommonScaler().fit(given)
    found = scaler.transform(lazy)
    assert found.dtype == found.compute(scheduler="synchronous").dtype
    assert_array_equal(found.compute(scheduler="synchronous"), scaler.transform(given))
    with pytest.raises(TypeError, match="Dask collection, which is not accepted here"):
        CommonScaler().fit(lazy)


def test_a_dask_frame_of_nullable_numbers_is_scaled_as_in_memory():
    dd = pytest.importorskip("dask.dataframe", reason="needs pyarrow, the extra 'embeddings'")
    Z = pd.DataFrame(rows(), columns=list("abcde")).astype("Float32")
    scaler = CommonScaler().fit(Z)
    found = scaler.transform(dd.from_pandas(Z, 3))
    assert found.dtype == np.float64
    assert_array_equal(found.compute(scheduler="synchronous"), scaler.transform(Z))


def test_what_was_given_is_not_changed():
    Z = rows()
    CommonScaler().fit(Z).transform(Z)
    assert_array_equal(Z, rows())


def test_names_are_kept_and_pandas_comes_out_if_asked():
    Z = pd.DataFrame(rows(), columns=list("abcde"))
    scaler = CommonScaler().fit(Z).set_output(transform="pandas")
    assert list(scaler.transform(Z)) == list("abcde") == list(scaler.get_feature_names_out())
    with pytest.raises(ValueError, match="feature names"):
        scaler.transform(Z.rename(columns={"a": "z"}))


def test_new_rows_of_eos_are_those_of_scaled_ones():
    Z, y = rows(), np.repeat([0, 1], [45, 15])
    scaler = CommonScaler().fit(Z)
    sampler = EOS(n_neighbors=5, random_state=0)
    after = sampler.fit_resample(scaler.transform(Z), y)[0]
    assert_allclose(scaler.transform(sampler.fit_resample(Z, y)[0]), after, atol=1e-9)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_other_than_finite_numbers_are_refused(kind, value):
    Z = rows()
    Z[3, 2] = value
    with pytest.raises(ValueError, match=r"X contains (NaN|infinity), but CommonScaler"):
        CommonScaler().fit(kind(Z))


def test_another_number_of_features_is_refused():
    with pytest.raises(ValueError, match="X has 4 features, but CommonScaler is expecting 5"):
        CommonScaler().fit(rows()).transform(torch.from_numpy(rows()[:, :4]))
