"""The generalization gap on Dask: the bits of the single machine, whatever the chunks are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from imblearn_eos.metrics import generalization_gap

dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
da = pytest.importorskip("dask.array", reason="needs dask, the extra 'dask'")
pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")

AVERAGES = ["macro", "raw", None]


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def data(seed=0, dtype=np.float64):
    """Training and test rows of three classes, of which the test rows lack one."""
    random_state = np.random.RandomState(seed)
    Z_train, Z_test = (random_state.normal(scale=9, size=(n, 3)).astype(dtype) for n in (60, 40))
    labels = np.array(["a", "b", "cc"])
    return Z_train, labels[random_state.randint(3, size=60)], Z_test, labels[np.arange(40) % 2]


def chunked(x, chunks, *, unknown=False):
    x = da.from_array(x, chunks=(chunks, 2)[: x.ndim])
    return x[da.ones(len(x), dtype=bool, chunks=(chunks,))] if unknown else x


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 60), max_size=9),
    seed=st.integers(0, 100),
    dtype=st.sampled_from([np.int64, np.float16, np.float32, np.float64]),
    average=st.sampled_from(AVERAGES),
    unknown=st.booleans(),
)
def test_the_bits_of_the_single_machine(cuts, seed, dtype, average, unknown):
    rows = data(seed, dtype)
    expected = generalization_gap(*rows, average=average)
    chunks = tuple(np.diff(sorted([0, *cuts, 60])).tolist())
    train = [chunked(x, chunks, unknown=unknown) for x in rows[:2]]
    found = generalization_gap(*train, *(chunked(x, (7, 33)) for x in rows[2:]), average=average)
    assert type(found) is type(expected)
    assert_array_equal(found, expected)


@pytest.mark.parametrize("lazy", ["train", "test"])
def test_rows_in_memory_and_on_dask(lazy):
    Z_train, y_train, Z_test, y_test = rows = data()
    expected = generalization_gap(*rows, average="raw")
    if lazy == "train":
        Z_train = chunked(Z_train, (20, 40))
    else:
        Z_test = chunked(Z_test, (20, 20))
    found = generalization_gap(Z_train, y_train, Z_test, list(y_test), average="raw")
    assert_array_equal(found, expected)
    assert np.isnan(found[2]).all()


def test_frames():
    dd = pytest.importorskip("dask.dataframe")
    Z_train, y_train, Z_test, y_test = rows = data()
    train = dd.from_pandas(pd.DataFrame(Z_train).assign(y=y_train), npartitions=4)
    found = generalization_gap(train[[0, 1, 2]], train["y"], Z_test, y_test, average="raw")
    assert_array_equal(found, generalization_gap(*rows, average="raw"))
    others = dd.from_pandas(pd.Series(y_train[1:]), npartitions=4)
    with pytest.raises(ValueError, match=r"partition of Z_train has 15 rows.* y_train has 14"):
        generalization_gap(train[[0, 1, 2]], others, Z_test, y_test)
    with pytest.raises(ValueError, match=r"column 'y'.*the generalization gap needs"):
        generalization_gap(train, train["y"], Z_test, y_test)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("unknown", [False, True], ids=["known", "unknown"])
def test_the_row_of_a_bad_number_is_named(value, unknown):
    Z_train, y_train, Z_test, y_test = data()
    Z_test[33, 1] = value
    Z_test = chunked(Z_test, (20, 20), unknown=unknown)
    with pytest.raises(ValueError, match=r"Row 33 of Z_test contains .*, but the generalization"):
        generalization_gap(Z_train, y_train, Z_test, y_test)


def test_large_numbers_are_accepted_as_on_one_machine():
    Z_train, y_train, Z_test, y_test = data()
    Z_test[3] = 1e200
    found = generalization_gap(Z_train, y_train, chunked(Z_test, (20, 20)), y_test)
    assert found == generalization_gap(Z_train, y_train, Z_test, y_test)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Z, y: (Z, y[:30]), "Z_test has 40 rows, but y_test has 30"),
        (lambda Z, y: (Z[:, :2], y), "Z_test has 2 features, but Z_train has 3"),
        (lambda Z, y: (Z, np.where(y == "a", "d", y)), "y_test has the classes .*'d'"),
        (lambda Z, y: (Z[:0], y[:0]), "Z_test has no rows"),
        (lambda Z, y: (Z, np.r_[np.nan, np.zeros(39)]), "y_test contains NaN"),
        (lambda Z, y: (Z.astype(object), y), "Z_test is a Dask collection of ndarray, dtype obj"),
        (lambda Z, y: (Z, np.array(["a"] * 20 + [1] * 20, dtype=object)), "y_test has labels that"),
        (lambda Z, y: (Z, np.eye(40)), "y_test has 2 dimensions"),
    ],
)
def test_input_that_cannot_be_used_is_refused(change, message):
    Z_train, y_train, Z_test, y_test = data()
    with pytest.raises(ValueError, match=message):
        generalization_gap(Z_train, y_train, *change(chunked(Z_test, (20, 20)), y_test))
