"""GaussianOverSampler: whose covariance its noise has, and around which rows it draws."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos import GaussianOverSampler


def make_rows(counts, n_features=3, seed=0):
    """Return rows of classes 0, 1, 2... with means along a line and covariances of their own."""
    random_state = np.random.RandomState(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    scales = random_state.uniform(0.5, 2, size=(len(counts), n_features))
    return random_state.normal(size=(len(y), n_features)) * scales[y] + 4 * y[:, None], y


def pooled_covariance(X, y, classes):
    """Return the covariance of classes around their own means, one row after the other."""
    total, n = np.zeros((X.shape[1],) * 2), 0
    for label in classes:
        mean = X[y == label].mean(axis=0)
        for row in X[y == label]:
            total += np.outer(row - mean, row - mean)
            n += 1
    return total / n


def test_noise_has_the_pooled_covariance_of_the_class_and_its_lenders():
    X, y = make_rows([300, 200, 150, 40])
    strategy = {3: 200_000}
    sampler = GaussianOverSampler(n_classes=2, sampling_strategy=strategy, random_state=0)
    X_new = sampler.fit_resample(X, y)[0][len(X) :]
    assert sampler.lenders_ == {3: [2, 1]}
    noise = X_new - X[sampler.base_indices_]
    assert_allclose(noise.mean(axis=0), 0, atol=0.02)
    assert_allclose(np.cov(noise.T), pooled_covariance(X, y, [1, 2, 3]), atol=0.03)


def test_fewer_rows_than_features_span_the_noise():
    X, y = make_rows([8, 4], n_features=50)
    sampler = GaussianOverSampler(random_state=0, sampling_strategy={1: 100})
    X_new = sampler.fit_resample(X, y)[0][len(X) :]
    residuals = X - np.array([X[y == label].mean(axis=0) for label in (0, 1)])[y]
    noise = X_new - X[sampler.base_indices_]
    # Projected on the residuals, nothing is lost.
    assert_allclose(noise @ np.linalg.pinv(residuals) @ residuals, noise, atol=1e-10)


@pytest.mark.parametrize("n_classes", [0, 1, 5])
def test_lenders_are_the_nearest_classes_with_more_rows(n_classes):
    X, y = make_rows([50, 10, 40, 20, 30])
    sampler = GaussianOverSampler(n_classes=n_classes, random_state=0)
    sampler.fit_resample(X, y)
    means = [X[y == label].mean(axis=0) for label in range(5)]
    for label, lenders in sampler.lenders_.items():
        larger = [k for k in range(5) if np.sum(y == k) > np.sum(y == label)]
        larger.sort(key=lambda k: np.linalg.norm(means[k] - means[label]))
        assert lenders == larger[:n_classes]
    assert 0 not in sampler.lenders_


def test_without_spread_new_rows_are_copies():
    X, y = make_rows([30, 5])
    sampler = GaussianOverSampler(spread=0.0, random_state=0)
    X_new = sampler.fit_resample(X, y)[0][len(X) :]
    assert_array_equal(X_new, X[sampler.base_indices_])
    assert set(y[sampler.base_indices_]) == {1}


def test_spread_scales_the_noise():
    X, y = make_rows([30, 5])
    noise = []
    for spread in (1.0, 2.5):
        sampler = GaussianOverSampler(spread=spread, random_state=0)
        X_new = sampler.fit_resample(X, y)[0][len(X) :]
        noise.append(X_new - X[sampler.base_indices_])
    assert_allclose(noise[1], 2.5 * noise[0])


@given(
    counts=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    n_features=st.integers(1, 6),
    dtype=st.sampled_from(["float32", "float64", "int16", "uint8"]),
    n_classes=st.integers(0, 3),
)
@settings(deadline=None, max_examples=40)
def test_rows_come_first_and_every_class_becomes_equally_large(
    counts, n_features, dtype, n_classes
):
    X, y = make_rows(counts, n_features)
    X = np.abs(10 * X).astype(dtype)
    sampler = GaussianOverSampler(n_classes=n_classes, random_state=0)
    X_resampled, y_resampled = sampler.fit_resample(X, y)
    assert X_resampled.dtype == X.dtype
    assert_array_equal(X_resampled[: len(X)], X)
    assert_array_equal(np.bincount(y_resampled), max(counts))
    assert_array_equal(y_resampled[len(X) :], y[sampler.base_indices_])
    assert np.isfinite(X_resampled.astype(float)).all()


def test_integers_are_rounded_and_do_not_wrap_around():
    X, y = make_rows([40, 10])
    X = np.clip(100 * X, 0, 255).astype(np.uint8)
    found, _ = GaussianOverSampler(random_state=0).fit_resample(X, y)
    expected, _ = GaussianOverSampler(random_state=0).fit_resample(X.astype(float), y)
    assert expected.max() > 255
    assert_array_equal(found, np.clip(np.round(expected), 0, 255))


@pytest.mark.parametrize("make_frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_columns_of_a_frame_keep_their_dtypes_and_integers_are_rounded(make_frame):
    X, y = make_rows([40, 10])
    X[:, 0] = np.round(3 * X[:, 0])
    columns = {"whole": X[:, 0].astype(np.int16), "single": X[:, 1].astype(np.float32)}
    frame = make_frame(columns)
    sampler = GaussianOverSampler(random_state=0)
    found, _ = sampler.fit_resample(frame, y)
    expected, _ = GaussianOverSampler(random_state=0).fit_resample(
        np.column_stack(list(columns.values())).astype(float), y
    )
    assert list(found.dtypes) == list(frame.dtypes)
    assert list(sampler.feature_names_in_) == list(columns)
    assert_array_equal(found["whole"], np.round(expected[:, 0]))
    assert_array_equal(found["single"], expected[:, 1].astype(np.float32))


@pytest.mark.parametrize("make", [pl.Series, pl.DataFrame, pd.Series, list, torch.tensor, np.eye])
def test_labels_come_back_in_their_container(make):
    X, codes = make_rows([40, 10, 20])
    y = np.eye(3)[codes] if make is np.eye else make(codes)
    found = GaussianOverSampler(random_state=0).fit_resample(X, y)[1]
    expected = GaussianOverSampler(random_state=0).fit_resample(X, codes)[1]
    assert type(found) is type(y)
    found = np.asarray(found)
    assert_array_equal(found.argmax(axis=1) if make is np.eye else found.ravel(), expected)


@pytest.mark.parametrize("y", [None, [*"a" * 40, *[None] * 10]], ids=["none", "missing"])
def test_missing_labels_are_named(y):
    X, _ = make_rows([40, 10])
    with pytest.raises(ValueError, match=r"y has labels .* None|requires y to be passed"):
        GaussianOverSampler().fit_resample(X, y)


def test_booleans_are_refused():
    X, y = make_rows([40, 10])
    with pytest.raises(ValueError, match="X has dtype bool"):
        GaussianOverSampler().fit_resample(X > 0, y)
    with pytest.raises(ValueError, match=r"column 'b' .* of dtype bool"):
        GaussianOverSampler().fit_resample(pd.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0}), y)


@pytest.mark.parametrize(
    ("dtype", "rtol"),
    [("float16", 1e-3), ("float32", 1e-6), ("float64", 1e-12), ("int16", 0), ("uint8", 0)],
)
def test_tensors_give_the_rows_of_arrays_but_for_rounding(dtype, rtol):
    X, y = make_rows([40, 20, 10])
    X = np.abs(10 * X).astype(dtype)
    sampler = GaussianOverSampler(random_state=0)
    expected, y_expected = sampler.fit_resample(X, y)
    lenders = sampler.lenders_
    found, y_found = sampler.fit_resample(torch.from_numpy(X), torch.from_numpy(y))
    assert sampler.lenders_ == lenders
    assert found.dtype == torch.from_numpy(X).dtype
    assert_allclose(found, expected, rtol=rtol, atol=rtol)
    assert_array_equal(y_found, y_expected)
    assert isinstance(y_found, torch.Tensor)


def test_bad_tensors_are_refused():
    y = np.repeat([0, 1], [40, 10])
    for tensor, message in (
        (torch.full((50, 3), torch.nan), "X contains NaN"),
        (torch.ones(50, 3, dtype=torch.bool), "X has dtype torch.bool"),
        (torch.ones(49, 3), "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            GaussianOverSampler().fit_resample(tensor, y)
