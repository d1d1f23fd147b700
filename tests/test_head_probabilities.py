"""Class shares of deployment and temperature scaling of LinearHead."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from networks import make_data, make_net
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import log_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from imblearn_eos import LinearHead, make_embedding_pipeline

SIZES = (60, 20, 9)


def test_a_prior_gives_the_probabilities_of_rows_with_these_shares():
    X, y = make_data(SIZES)
    # Bayes' rule: the densities of rows in the classes stay, their shares change.
    prior = np.array([0.2, 0.5, 0.3])
    plain = LinearHead().fit(X, y)
    expected = plain.predict_proba(X) / (np.bincount(y) / len(y)) * prior
    expected /= expected.sum(axis=1, keepdims=True)
    head = LinearHead(target_prior=prior).fit(X, y)
    assert_allclose(head.predict_proba(X), expected, atol=1e-9)
    assert_array_equal(head.predict(X), expected.argmax(axis=1))
    assert_array_equal(head.coef_, plain.coef_)


def test_a_prior_undoes_the_shares_of_a_sampler_and_of_weights():
    X, y = make_data((60, 60, 60))
    expected = LinearHead(target_prior=[0.7, 0.2, 0.1]).fit(X, y)
    weighted = LinearHead(alpha=1e6, target_prior=[0.7, 0.2, 0.1], class_weight={0: 9}).fit(X, y)
    assert_allclose(weighted.predict_proba(X[:1])[0], [0.7, 0.2, 0.1], atol=1e-3)
    shifted = LinearHead().fit(X, y).predict_proba(X) * [0.7, 0.2, 0.1]
    assert_allclose(
        expected.predict_proba(X), shifted / shifted.sum(axis=1, keepdims=True), atol=1e-9
    )


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
def test_tau_starts_from_the_prior(tau):
    X, y = make_data(SIZES)
    shares = np.bincount(y) / len(y)
    same = LinearHead(tau=tau, target_prior=shares).fit(X, y)
    assert_allclose(same.intercept_, LinearHead(tau=tau).fit(X, y).intercept_, atol=1e-12)
    prior = np.array([0.2, 0.5, 0.3])
    head = LinearHead(tau=tau, target_prior=prior).fit(X, y)
    powers = prior ** (1 - tau)
    expected = LinearHead(target_prior=powers / powers.sum()).fit(X, y)
    assert_allclose(head.intercept_, expected.intercept_, atol=1e-12)


def test_tau_of_1_is_a_prior_of_equal_shares():
    X, y = make_data(SIZES)
    balanced = LinearHead(tau=1).fit(X, y)
    for params in ({"target_prior": [1 / 3] * 3}, {"target_prior": [0.2, 0.5, 0.3], "tau": 1}):
        assert_allclose(LinearHead(**params).fit(X, y).intercept_, balanced.intercept_, atol=1e-12)


@pytest.mark.parametrize("container", [dict, pd.Series])
def test_a_prior_by_label(container):
    X, y = make_data(SIZES)
    labels = np.array(["ant", "bee", "cat"])[y]
    expected = LinearHead(target_prior=[0.2, 0.5, 0.3]).fit(X, labels)
    # As value_counts would order it.
    prior = container({"bee": 0.5, "cat": 0.3, "ant": 0.2})
    head = LinearHead(target_prior=prior).fit(X, labels)
    assert_array_equal(head.intercept_, expected.intercept_)


@pytest.mark.parametrize(
    "prior",
    [
        [0.5, 0.5],
        [0.5, 0.5, 0.5],
        [0.5, 0.5, 0],
        [0.5, 0.6, -0.1],
        [np.nan, 0.5, 0.5],
        [[0.2], [0.5], [0.3]],
        {0: 0.5, 1: 0.5},
        {0: 0.2, 1: 0.5, "2": 0.3},
        {0: 0.2, 1: 0.4, 2: 0.3, 3: 0.1},
    ],
)
def test_a_bad_prior_is_named(prior):
    X, y = make_data(SIZES)
    with pytest.raises(
        ValueError, match=r"(?s)'target_prior' .*\[0, 1, 2\], with a sum of 1\. Got"
    ):
        LinearHead(target_prior=prior).fit(X, y)


def fitted_and_new(n_classes=3):
    """Return a head fitted to few rows, and other rows, on which it is too confident."""
    X, y = make_data((60, 50, 40)[:n_classes])
    y = np.array(["ant", "bee", "cat"])[y]
    X = X + 2 * np.random.RandomState(0).normal(size=X.shape)
    is_new = np.arange(len(y)) % 3 > 0
    return LinearHead(alpha=1e-3).fit(X[~is_new], y[~is_new]), X[is_new], y[is_new]


def loss(head, X, y, weight=None):
    codes = np.searchsorted(head.classes_, y)
    return -np.average(head.predict_log_proba(X)[np.arange(len(y)), codes], weights=weight)


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8),
    reason="scikit-learn has had temperature scaling since 1.8",
)
@pytest.mark.filterwarnings("ignore:Since FrozenEstimator does not appear")
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_equals_temperature_scaling_of_scikit_learn(n_classes, weighted):
    head, X, y = fitted_and_new(n_classes)
    weight = np.random.RandomState(0).uniform(size=len(y)) if weighted else None
    expected = CalibratedClassifierCV(FrozenEstimator(head), method="temperature")
    expected.fit(X, y, sample_weight=weight)
    proba = expected.predict_proba(X)
    # scikit-learn takes the logits of two classes for -x and x, where x is their difference.
    beta = expected.calibrated_classifiers_[0].calibrators[0].beta_ * (2 if n_classes == 2 else 1)
    head.calibrate(X, y, sample_weight=weight)
    assert head.temperature_ == pytest.approx(1 / beta, rel=1e-6)
    assert abs(head.temperature_ - 1) > 0.1
    assert_allclose(head.predict_proba(X), proba, atol=1e-6)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, sparse.csr_array])
def test_calibration_minimizes_the_loss_and_changes_no_label(convert):
    head, X, y = fitted_and_new()
    before, coef, intercept = head.predict(X), head.coef_, head.intercept_
    assert head.temperature_ == 1
    assert head.calibrate(convert(X), y) is head
    assert_array_equal(head.predict(X), before)
    assert_allclose(head.coef_ * head.temperature_, coef)
    assert_allclose(head.intercept_ * head.temperature_, intercept)
    least = loss(head, X, y)
    logits = X @ coef.T + intercept
    codes = np.searchsorted(head.classes_, y)
    for temperature in head.temperature_ * np.array([0.99, 1.01]):
        log_proba = log_softmax(logits / temperature, axis=1)
        assert -log_proba[np.arange(len(y)), codes].mean() > least


def test_a_second_calibration_starts_again_and_a_fit_forgets_it():
    head, X, y = fitted_and_new()
    once = head.calibrate(X, y).temperature_
    coef = head.coef_
    head.calibrate(X[:30], y[:30])
    assert abs(head.temperature_ - once) > 1e-3
    head.calibrate(X, y)
    assert head.temperature_ == pytest.approx(once, rel=1e-9)
    assert_allclose(head.coef_, coef)
    assert head.fit(X, y).temperature_ == 1


def test_integer_weights_of_calibration_equal_repeated_rows():
    head, X, y = fitted_and_new()
    weights = np.random.RandomState(0).randint(3, size=len(y))
    rows = np.arange(len(y)).repeat(weights)
    expected = head.calibrate(X[rows], y[rows]).temperature_
    assert head.calibrate(X, y, sample_weight=weights).temperature_ == pytest.approx(expected)


def test_labels_that_the_head_does_not_know_are_named():
    head, X, y = fitted_and_new()
    with pytest.raises(ValueError, match=r"y has the classes \['dog'\], which this LinearHead"):
        head.calibrate(X, np.where(y == "bee", "dog", y))
    with pytest.raises(NotFittedError):
        LinearHead().calibrate(X, y)
    assert head.temperature_ == 1


def test_rows_that_determine_no_temperature_are_named():
    X, y = make_data()
    head = LinearHead(alpha=1e-5, max_iter=5000).fit(X, y)
    with pytest.warns(UserWarning, match="right on all of them.*neither") as caught:
        head.calibrate(X[:5], head.predict(X[:5]))
    assert caught[0].filename == __file__
    assert np.isfinite(head.coef_).all()
    with pytest.warns(UserWarning, match="no better than chance"):
        head.calibrate(X, (head.predict(X) + 1) % 3)


def test_the_network_keeps_the_temperature():
    X, y = make_data()
    pipeline = make_embedding_pipeline(make_net(), "passthrough", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pipeline.fit(X[::2], y[::2])
    before = pipeline.predict_proba(X)
    head = pipeline.named_steps["head"]
    head.calibrate(pipeline[0].transform(X[1::2]), y[1::2])
    assert head.temperature_ != 1
    after = pipeline.predict_proba(X)
    assert np.abs(after - before).max() > 1e-3
    rows = torch.from_numpy(X)
    with torch.no_grad():
        assert_allclose(pipeline.to_module()(rows).softmax(dim=1), after, atol=1e-5)
        embeddings = torch.from_numpy(np.asarray(pipeline[0].transform(X)))
        assert_allclose(head.to_module()(embeddings).softmax(dim=1), after, atol=1e-5)
