"""Weights of rows and of classes in LinearHead."""

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.pipeline import make_pipeline
from networks import make_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from imblearn_eos import LinearHead
from imblearn_eos.embedding._head import fit_path
from imblearn_eos.losses import BalancedSoftmaxLoss

KINDS = {
    "float64": (np.float64, np.asarray, 1e-9, 1e-7),
    "float32": (np.float32, np.asarray, 1e-5, 1e-3),
    "sparse": (np.float64, sparse.csr_array, 1e-9, 1e-7),
    "tensor": (np.float64, torch.from_numpy, 1e-9, 1e-7),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("class_sizes", [(60, 25), (60, 20, 9)])
@pytest.mark.parametrize("wide", [False, True])
def test_integer_weights_equal_repeated_rows(kind, class_sizes, wide):
    dtype, convert, tol, atol = KINDS[kind]
    X, y = make_data(class_sizes)
    rng = np.random.RandomState(0)
    X = (X @ rng.normal(size=(X.shape[1], 200)) / 9 if wide else X).astype(dtype)
    weights = rng.randint(4, size=len(y))
    assert (weights == 0).any()
    rows = np.arange(len(y)).repeat(weights)
    head = LinearHead(tau=0.5, tol=tol)
    expected = head.fit(convert(X[rows]), y[rows])
    expected_coef, expected_intercept = expected.coef_, expected.intercept_
    # Only proportions matter.
    head.fit(convert(X), y, sample_weight=weights / 7)
    assert_allclose(head.coef_, expected_coef, atol=atol)
    assert_allclose(head.intercept_, expected_intercept, atol=atol * 10)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"a": 0.2, "b": 5}])
@pytest.mark.parametrize("with_sample_weight", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_equal_those_of_logistic_regression(class_weight, with_sample_weight, n_classes):
    X, y = make_data((60, 20, 9)[:n_classes])
    y = np.array(["a", "b", "c"])[y]
    weight = np.random.RandomState(0).uniform(0, 3, size=len(y)) if with_sample_weight else None
    total = np.ones(len(y)) if weight is None else weight.copy()
    # "balanced" leaves the sum of all weights as it is.
    if isinstance(class_weight, dict):
        total *= [class_weight.get(label, 1) for label in y]
    alpha = 0.02
    C = (2 if n_classes == 2 else 1) / (alpha * total.sum())
    # A solver that is exact also for two classes.
    expected = LogisticRegression(
        C=C, class_weight=class_weight, solver="newton-cholesky", tol=1e-10
    ).fit(X.astype(np.float64), y, sample_weight=weight)
    head = LinearHead(alpha=alpha, class_weight=class_weight, tol=1e-9)
    head.fit(X, y, sample_weight=weight)
    assert_allclose(head.predict_proba(X), expected.predict_proba(X), atol=1e-6)


def test_equal_weights_change_nothing():
    X, y = make_data()
    expected = LinearHead(tol=1e-9).fit(X, y)
    for head, weight in (
        (LinearHead(tol=1e-9), np.full(len(y), 3.5)),
        (LinearHead(tol=1e-9, class_weight={0: 2, 1: 2, 2: 2}), None),
    ):
        head.fit(X, y, sample_weight=weight)
        assert_allclose(head.coef_, expected.coef_, atol=1e-8)


@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_tau_has_no_effect_where_weights_balance_classes(tau):
    X, y = make_data((60, 20, 9))
    plain = LinearHead(class_weight="balanced").fit(X, y)
    adjusted = LinearHead(class_weight="balanced", tau=tau).fit(X, y)
    assert_allclose(adjusted.intercept_, plain.intercept_, atol=1e-12)


def test_rows_without_weight_are_as_if_they_were_not_there():
    X, y = make_data((60, 20, 9))
    head = LinearHead(class_weight="balanced").fit(X, y, sample_weight=y != 2)
    expected = LinearHead(class_weight="balanced").fit(X[y != 2], y[y != 2])
    assert_array_equal(head.classes_, [0, 1])
    assert_allclose(head.coef_, expected.coef_, atol=1e-7)


@pytest.mark.parametrize("container", [list, pd.Series, torch.tensor])
def test_containers_of_weights(container):
    X, y = make_data()
    weights = 1.0 + y
    expected = LinearHead().fit(X, y, weights)
    assert_array_equal(LinearHead().fit(X, y, container(weights)).coef_, expected.coef_)


@pytest.mark.parametrize(
    ("params", "weight", "message"),
    [
        ({}, lambda y: -1.0 * y, "[Nn]egative"),
        ({}, lambda y: np.where(y, np.nan, 1), "NaN"),
        ({}, lambda y: y[1:], "sample_weight"),
        ({}, lambda y: y == 1, r"sample_weight must be above 0 for .*2 classes.*\[1\]"),
        ({"class_weight": {0: 0}}, lambda y: None, r"'class_weight' parameter .*\{0: 0\}.*Drop"),
        ({"class_weight": {0: -1}}, lambda y: None, "'class_weight' parameter"),
        ({"class_weight": "equal"}, lambda y: None, "'class_weight' parameter"),
    ],
)
def test_bad_weights_are_named(params, weight, message):
    X, y = make_data()
    with pytest.raises(ValueError, match=message):
        LinearHead(**params).fit(X, y, sample_weight=weight(y))


def test_a_pipeline_routes_weights_to_the_head():
    X, y = make_data()
    weights = np.random.RandomState(0).uniform(size=len(y))
    scaled = StandardScaler().fit_transform(X)
    expected = LinearHead().fit(scaled, y, sample_weight=weights).coef_
    pipeline = make_pipeline(StandardScaler(), LinearHead())
    pipeline.fit(X, y, linearhead__sample_weight=weights)
    assert_array_equal(pipeline[-1].coef_, expected)
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        head = LinearHead().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(scaler, head).fit(X, y, sample_weight=weights)
        assert_array_equal(pipeline[-1].coef_, expected)


def test_balanced_softmax_is_tau_of_1():
    X, y = make_data((60, 20, 9))
    head = LinearHead(alpha=0.05, tau=1, tol=1e-9).fit(X, y)
    weights = [torch.from_numpy(part).requires_grad_() for part in (head.coef_, head.intercept_)]
    loss = BalancedSoftmaxLoss(class_counts=np.bincount(y))
    logits = torch.nn.functional.linear(torch.from_numpy(X).double(), *weights)
    objective = loss(logits, torch.from_numpy(y)) + 0.025 * weights[0].square().sum()
    for gradient in torch.autograd.grad(objective, weights):
        assert_allclose(gradient, 0, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_heads_of_a_path_are_those_of_separate_fits(dtype):
    X, y = make_classification(
        n_samples=200, n_features=8, n_informative=5, n_classes=3, random_state=0
    )
    alphas = [1.0, 0.1, 0.01, 0.001]
    heads = [LinearHead(alpha=alpha, tau=0.5) for alpha in alphas]
    fit_path(heads, X.astype(dtype), y)
    for head, alpha in zip(heads, alphas, strict=True):
        expected = LinearHead(alpha=alpha, tau=0.5).fit(X.astype(dtype), y)
        assert_allclose(head.coef_, expected.coef_, atol=1e-4)
        assert_allclose(head.intercept_, expected.intercept_, atol=1e-4)
        assert head.n_features_in_ == 8
