"""What goes into EOS comes out: container, dtype, names and device."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from imblearn_eos import EOS
from imblearn_eos._interpolation import interpolate, round_to_integers

Y = np.repeat([0, 1], [40, 15])
X = np.random.RandomState(0).randn(55, 3) + Y[:, None]


def resample(X, y=Y, **params):
    return EOS(random_state=0, **params).fit_resample(X, y)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays_keep_their_dtype_and_original_bits(dtype):
    given_X = X.astype(dtype)
    X_resampled, _ = resample(given_X)
    assert X_resampled.dtype == dtype
    assert_array_equal(X_resampled[:55], given_X)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
def test_integer_arrays_are_rounded_without_wrapping_around(dtype):
    limits = np.iinfo(dtype)
    wide = np.random.RandomState(0).choice(np.array([limits.min, 0, limits.max], dtype), (55, 3))
    sampler = EOS(random_state=0, enemy_search="nearest")
    X_resampled, _ = sampler.fit_resample(wide, Y)
    assert X_resampled.dtype == dtype
    assert_array_equal(X_resampled[:55], wide)
    base, enemy = wide[sampler.base_indices_], wide[sampler.enemy_indices_]
    made = X_resampled[55:]
    assert ((made >= np.minimum(base, enemy)) & (made <= np.maximum(base, enemy))).all()
    exact = base.astype(np.longdouble) + sampler.steps_[:, None] * (
        enemy.astype(np.longdouble) - base.astype(np.longdouble)
    )
    assert_allclose(made.astype(np.longdouble), exact, atol=0.5 + 1e-15 * limits.max)


def test_a_list_comes_back_as_a_list():
    X_resampled, y_resampled = resample(X.tolist(), Y.tolist())
    assert isinstance(X_resampled, list)
    assert isinstance(y_resampled, list)
    assert X_resampled == resample(X)[0].tolist()


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_sparse_matrices_keep_format_and_dtype_and_equal_the_dense(make, dtype):
    dense = np.where(np.random.RandomState(1).rand(55, 3) < 0.5, X * 10, 0).astype(dtype)
    given_X = make(dense)
    X_resampled, _ = resample(given_X)
    assert X_resampled.format == given_X.format
    assert X_resampled.dtype == dtype
    assert_array_equal(X_resampled.toarray(), resample(dense)[0])


@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int64],
)
def test_tensors_keep_dtype_and_have_no_gradients(dtype):
    given_X = torch.from_numpy(X * 10 + 50).to(dtype).requires_grad_(dtype.is_floating_point)
    y = torch.from_numpy(Y)
    X_resampled, y_resampled = resample(given_X, y)
    assert X_resampled.dtype == dtype
    assert y_resampled.dtype == y.dtype
    assert not X_resampled.requires_grad
    assert torch.equal(X_resampled[:55], given_X.detach())
    expected = resample(given_X.detach().double().numpy())[0]
    assert_allclose(
        X_resampled.double().numpy(),
        expected,
        rtol=torch.finfo(dtype).eps if dtype.is_floating_point else 0,
        atol=0 if dtype.is_floating_point else 0.5,
    )


def test_a_tensor_after_a_frame_forgets_its_names():
    sampler = EOS(random_state=0)
    sampler.fit_resample(MIXED, Y)
    sampler.fit_resample(torch.from_numpy(X), Y)
    assert not hasattr(sampler, "feature_names_in_")
    assert sampler.n_features_in_ == 3


def test_labels_in_bfloat16():
    y_resampled = resample(X, torch.from_numpy(Y).to(torch.bfloat16))[1]
    assert y_resampled.dtype == torch.bfloat16


def test_a_tensor_and_labels_of_another_kind():
    X_resampled, y_resampled = resample(torch.from_numpy(X), np.array(["a", "b"])[Y])
    assert isinstance(X_resampled, torch.Tensor)
    assert isinstance(y_resampled, np.ndarray)
    X_resampled, y_resampled = resample(X, torch.from_numpy(Y).to(torch.uint8))
    assert isinstance(X_resampled, np.ndarray)
    assert y_resampled.dtype == torch.uint8
    one_hot = torch.eye(2)[torch.from_numpy(Y)]
    assert torch.equal(resample(X, one_hot)[1].argmax(1), torch.from_numpy(resample(X)[1]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("enemy_search", ["neighborhood", "nearest"])
def test_cuda_tensors_stay_there_and_equal_the_cpu(dtype, enemy_search):
    given_X = torch.from_numpy(X).to(dtype)
    expected, _ = resample(given_X, enemy_search=enemy_search)
    X_resampled, y_resampled = resample(
        given_X.cuda(), torch.from_numpy(Y).cuda(), enemy_search=enemy_search
    )
    assert X_resampled.is_cuda
    assert y_resampled.is_cuda
    assert X_resampled.dtype == dtype
    assert torch.equal(X_resampled.cpu(), expected)


MIXED = pd.DataFrame(
    {
        "small": np.clip(X[:, 0] * 40, -128, 127).astype(np.int8),
        "nullable": pd.array(np.round(X[:, 1] * 10).astype(int), dtype="Int64"),
        "single": X[:, 2].astype(np.float32),
        "double": X[:, 0] * 1e6,
        "float extension": pd.array(X[:, 1], dtype="Float64"),
        "unsigned": (np.abs(X[:, 2]) * 50).astype(np.uint8),
    },
    index=np.arange(55) + 1000,
)


def test_a_frame_keeps_names_dtypes_and_original_values():
    y = pd.Series(Y, name="label", index=MIXED.index)
    sampler = EOS(random_state=0)
    X_resampled, y_resampled = sampler.fit_resample(MIXED, y)
    assert_array_equal(sampler.feature_names_in_, MIXED.columns)
    pd.testing.assert_series_equal(X_resampled.dtypes, MIXED.dtypes)
    pd.testing.assert_frame_equal(X_resampled[:55], MIXED.reset_index(drop=True))
    assert y_resampled.name == "label"
    assert y_resampled.dtype == y.dtype
    numbers = MIXED.to_numpy(dtype=float)
    base, enemy = numbers[sampler.base_indices_], numbers[sampler.enemy_indices_]
    exact = base + sampler.steps_[:, None] * (enemy - base)
    integers = ["small", "nullable", "unsigned"]
    made = X_resampled[55:].to_numpy(dtype=float)
    for j, name in enumerate(MIXED.columns):
        assert_allclose(made[:, j], exact[:, j], rtol=1e-6, atol=0.5 if name in integers else 1e-6)


def test_large_integers_of_a_frame_stay_between_their_ends():
    frame = pd.DataFrame({"a": np.full(55, 2**60 + 1), "b": X[:, 0]})
    frame["c"] = pd.array(frame["a"], dtype="Int64")
    X_resampled, _ = resample(frame)
    assert (X_resampled["a"] == 2**60 + 1).all()
    assert (X_resampled["c"] == 2**60 + 1).all()


def test_a_categorical_y_keeps_its_categories():
    y = pd.Series(pd.Categorical(np.array(["cat", "dog"])[Y], categories=["dog", "cat"]))
    y_resampled = resample(X, y)[1]
    assert y_resampled.dtype == y.dtype
    assert (y_resampled == "dog").sum() == 40


def test_a_frame_whose_names_are_numbers():
    X_resampled = resample(pd.DataFrame(X, columns=[3, 1, 2]))[0]
    assert list(X_resampled.columns) == [3, 1, 2]
    assert_array_equal(X_resampled.to_numpy(), resample(X)[0])


def test_sparse_frames_stay_sparse():
    dense = np.where(np.random.RandomState(1).rand(55, 3) < 0.5, X, 0)
    frame = pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(dense), columns=list("abc"))
    X_resampled = resample(frame)[0]
    assert (X_resampled.dtypes == frame.dtypes).all()
    assert_array_equal(X_resampled.to_numpy(), resample(dense)[0])
    around_nan = pd.DataFrame(dense).astype("Sparse[float]")
    X_resampled = resample(around_nan)[0]
    assert (X_resampled.dtypes == around_nan.dtypes).all()
    assert_array_equal(X_resampled.to_numpy(), resample(dense)[0])


@pytest.mark.parametrize(
    "values",
    [
        X[:, 0] > 0,
        pd.array(X[:, 0] > 0, dtype="boolean"),
        pd.Categorical(np.where(X[:, 0] > 0, "a", "b")),
        pd.Categorical((X[:, 0] > 0).astype(int)),
        np.where(X[:, 0] > 0, "a", "b"),
        pd.array(np.where(X[:, 0] > 0, "a", "b"), dtype="string"),
        X[:, 0].astype(object),
        pd.to_datetime("2026-01-01") + pd.to_timedelta(np.arange(55), unit="D"),
        pd.to_timedelta(np.arange(55), unit="D"),
        X[:, 0] + 1j,
    ],
    ids=lambda values: str(values.dtype),
)
def test_columns_without_values_in_between_are_named(values):
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(odd=values)
    for method in (EOS().fit_resample, EOS().fit):
        with pytest.raises(ValueError, match=r"column 'odd' \(number 3\) of dtype"):
            method(frame, Y)


def test_missing_values_in_a_nullable_column_are_refused():
    column = pd.array([None, *range(54)], dtype="Int64")
    with pytest.raises(ValueError, match="contains NaN"):
        resample(pd.DataFrame({"a": column, "b": X[:, 0]}))


@given(
    data=st.data(),
    dtype=st.sampled_from([np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64]),
)
@settings(max_examples=80, deadline=None)
def test_rounding_of_integers_stays_between_the_ends(data, dtype):
    limits = np.iinfo(dtype)
    whole = st.integers(int(limits.min), int(limits.max))
    ends = np.array([[data.draw(whole)], [data.draw(whole)]], dtype=dtype)
    step = np.array([data.draw(st.floats(0, 1, exclude_max=True))])
    made = interpolate(ends, np.array([0]), np.array([1]), step)[0, 0]
    assert ends.min() <= made <= ends.max()


@given(data=st.data(), width=st.sampled_from([16, 32, 64]), as_tensor=st.booleans())
@settings(max_examples=200, deadline=None)
def test_rounding_of_floats_stays_between_the_ends(data, width, as_tensor):
    number = st.floats(-(2.0**15), 2.0**15, width=width)
    ends = np.array([[data.draw(number)], [data.draw(number)]], dtype=f"float{width}")
    step = np.array([data.draw(st.floats(0, 1, exclude_max=True))])
    X = torch.from_numpy(ends) if as_tensor else ends
    made = np.asarray(interpolate(X, np.array([0]), np.array([1]), step))
    assert made.dtype == ends.dtype
    assert ends.min() <= made <= ends.max()
    start, end = ends.astype(np.float64)
    between = ((1 - step) * start + step * end).astype(ends.dtype)
    assert_array_equal(made[0], between.clip(ends.min(), ends.max()))


def test_new_rows_have_native_bytes():
    made = resample(X.astype(X.dtype.newbyteorder()))[0]
    assert made.dtype.isnative
    assert_array_equal(made, resample(X)[0])


def test_rounding_to_an_integer_dtype_saturates():
    values = np.array([-1e30, -0.6, 0.4, 1e30])
    assert_array_equal(round_to_integers(values, np.uint8).astype(np.uint8), [0, 0, 0, 255])
    largest = round_to_integers(values, np.int64).astype(np.int64)[-1]
    assert largest > 2**62
