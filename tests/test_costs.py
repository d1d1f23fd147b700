"""Decisions and scores by a matrix of costs."""

import pickle

import numpy as np
import pytest
import torch
from networks import make_data
from numpy.testing import assert_array_equal
from sklearn.dummy import DummyClassifier
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_score,
)

from imblearn_eos import LinearHead
from imblearn_eos.metrics import expected_cost_predict, make_cost_scorer

# Not symmetric, so that a transposed one is noticed, and with a gain.
COSTS = np.array([[0.0, 1, 2], [7, -1, 3], [30, 10, 0]])
X, y = make_data((60, 40, 30))
X = X + 2 * np.random.RandomState(0).normal(size=X.shape)
NAMES = np.array(["ant", "bee", "cat"])[y]


def slow_decision(row, costs):
    expected = [
        sum(row[true] * costs[true][predicted] for true in range(len(costs)))
        for predicted in range(len(costs))
    ]
    return expected.index(min(expected))


def slow_cost(y_true, y_pred, costs, classes, weights):
    total = 0
    for true, predicted, weight in zip(y_true, y_pred, weights, strict=True):
        total += weight * costs[classes.index(true)][classes.index(predicted)]
    return total / sum(weights)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_decisions_have_the_least_expected_cost(n_classes):
    proba = np.random.RandomState(0).dirichlet(np.full(n_classes, 0.5), size=200)
    costs = COSTS[:n_classes, :n_classes]
    expected = [slow_decision(row, costs.tolist()) for row in proba]
    assert_array_equal(expected_cost_predict(proba, costs), expected)
    assert_array_equal(expected_cost_predict(torch.from_numpy(proba), costs.tolist()), expected)
    names = np.array(["ant", "bee", "cat"])[:n_classes]
    assert_array_equal(expected_cost_predict(proba, costs, labels=names), names[expected])
    assert len(set(expected)) > 1
    assert (proba.argmax(axis=1) != expected).any()


def test_equal_costs_decide_for_the_most_probable_class():
    proba = np.random.RandomState(0).dirichlet(np.ones(3), size=50)
    assert_array_equal(expected_cost_predict(proba, 1 - np.eye(3)), proba.argmax(axis=1))


def test_decisions_by_expected_cost_cost_less():
    head = LinearHead().fit(X[::2], y[::2])
    costs = np.array([[0, 1, 1], [2, 0, 1], [20, 10, 0]])
    decisions = expected_cost_predict(head.predict_proba(X[1::2]), costs, labels=head.classes_)
    spent = [
        (confusion_matrix(y[1::2], found) * costs).sum()
        for found in (decisions, head.predict(X[1::2]))
    ]
    assert spent[0] < 0.8 * spent[1]


@pytest.mark.parametrize("labels", [None, ["ant", "bee", "cat"], ["cat", "ant", "bee"]])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_scorer_is_minus_the_mean_cost(labels, weighted):
    head = LinearHead().fit(X, NAMES)
    weights = np.random.RandomState(0).uniform(size=len(y)) if weighted else np.ones(len(y))
    scorer = pickle.loads(pickle.dumps(make_cost_scorer(COSTS, labels=labels)))
    classes = labels or ["ant", "bee", "cat"]
    expected = -slow_cost(NAMES, head.predict(X), COSTS, classes, weights)
    params = {"sample_weight": weights} if weighted else {}
    assert scorer(head, X, NAMES, **params) == pytest.approx(expected)


def test_a_search_chooses_by_cost():
    # Never wrong about class 0, against never wrong about class 1.
    is_two = y < 2
    grid = {"constant": [0, 1]}
    for costs, best in (([[0, 1], [9, 0]], 1), ([[0, 9], [1, 0]], 0)):
        dummy = DummyClassifier(strategy="constant", constant=0)
        search = GridSearchCV(dummy, grid, scoring=make_cost_scorer(costs), error_score="raise")
        assert search.fit(X[is_two], y[is_two]).best_params_ == {"constant": best}


@pytest.mark.parametrize("costs", [[[0, 1], [8, 0]], [[0, 8], [1, 0]]])
def test_a_threshold_is_tuned_by_cost(costs):
    Z, labels = X[y < 2], NAMES[y < 2]
    scorer = make_cost_scorer(costs)
    tuned = TunedThresholdClassifierCV(LinearHead(), scoring=scorer, cv=3).fit(Z, labels)
    # The threshold of probabilities that are right.
    right = costs[0][1] / (costs[0][1] + costs[1][0])
    assert (tuned.best_threshold_ < 0.5) == (right < 0.5)
    default = FixedThresholdClassifier(LinearHead(), threshold=0.5)
    assert tuned.best_score_ > cross_val_score(default, Z, labels, scoring=scorer, cv=3).mean()


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ([[0, 1, 2], [1, 0, 2]], r"cost_matrix .*shape \(3, 3\).*Got the shape \(2, 3\)"),
        ([[0, 1], [1, 0]], r"cost_matrix .*shape \(3, 3\).*Got the shape \(2, 2\)"),
        (np.full((3, 3), np.nan), "cost_matrix contains NaN"),
        ([1, 2, 3], r"cost_matrix .*shape \(3, 3\).*Got the shape \(3,\)"),
    ],
)
def test_bad_costs_are_named(costs, message):
    with pytest.raises(ValueError, match=message):
        expected_cost_predict(np.full((2, 3), 1 / 3), costs)
    with pytest.raises(ValueError, match=message):
        make_cost_scorer(costs, labels=["ant", "bee", "cat"])


@pytest.mark.parametrize("proba", [[[2.0, -1.0]], [0.2, 0.8], [[[0.2, 0.8]]]])
def test_costs_need_probabilities(proba):
    with pytest.raises(ValueError, match="proba must hold probabilities: a column for each class"):
        expected_cost_predict(proba, [[0, 1], [1, 0]])


def test_labels_name_each_column_of_the_probabilities():
    with pytest.raises(ValueError, match=r"labels .* 2 columns of proba, got \['ant'\]"):
        expected_cost_predict([[0.2, 0.8]], [[0, 1], [1, 0]], labels=["ant"])


def test_classes_that_the_costs_lack_are_named():
    head = LinearHead().fit(X, NAMES)
    with pytest.raises(ValueError, match=r"is for 2 classes, .*'cat'\]\. Pass labels="):
        make_cost_scorer([[0, 1], [1, 0]])(head, X, NAMES)
    scorer = make_cost_scorer([[0, 1], [1, 0]], labels=["ant", "bee"])
    with pytest.raises(ValueError, match=r"y_true has the classes \['cat'\], which labels lacks"):
        scorer(head, X, NAMES)
