"""The heads of benchmarks/cifar_lt.py, made from embeddings, and the choice of their settings."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import balanced_accuracy_score

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import _embeddings
import _heads
import _study_methods


def make_network(seed=0, counts=(200, 60, 25)):
    rng = np.random.RandomState(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    centers = 1.5 * np.random.RandomState(9).normal(size=(len(counts), 4))
    y_new = np.repeat(np.arange(len(counts)), 50)
    Z, Z_new = (rng.normal(size=(len(labels), 4)) + centers[labels] for labels in (y, y_new))
    head = _heads.LinearHead().fit(Z, y)
    return _heads.Network(
        _embeddings.Embedded(Z, y, Z_new, y_new, head.coef_, head.intercept_, False, 99)
    )


def test_settings_are_chosen_on_rows_left_out():
    # Each network's classes have their own sizes.
    folds = [make_network(1), make_network(2, counts=(100, 100, 5))]
    method = _study_methods.METHODS["logit adjustment"]
    found = _study_methods.choose(method, folds)
    best, score = found[0]
    y = np.concatenate([fold.y_new for fold in folds])
    expected = {}
    for tau in _study_methods.TAUS:
        logits = [
            fold.Z_new @ fold.own_head.coef.T
            + fold.own_head.intercept
            - tau * np.log(fold.counts / fold.counts.sum())
            for fold in folds
        ]
        expected[tau] = balanced_accuracy_score(y, np.concatenate(logits).argmax(axis=1))
    assert score == pytest.approx(max(expected.values()))
    assert expected[best["tau"]] == pytest.approx(score)
    assert len(found) == len(_study_methods.TAUS)


def test_of_equal_settings_the_default_is_chosen():
    method = _study_methods.Method(
        lambda network, a: network.own_head, {"a": (1, 2, 3)}, ({"a": 2},)
    )
    assert _study_methods.choose(method, [make_network()])[0][0] == {"a": 2}


def test_settings_that_a_sampler_refuses_are_left_out():
    def make(network, k):
        if k > 5:
            raise ValueError("too few rows")
        return network.own_head

    method, folds = _study_methods.Method(make, {"k": (9, 3, 7)}, ({"k": 5},)), [make_network()]
    assert [setting for setting, _ in _study_methods.choose(method, folds)] == [{"k": 5}, {"k": 3}]
    with pytest.raises(ValueError, match="too few rows"):
        _study_methods.choose(_study_methods.Method(make, {"k": (9,)}, ({"k": 8},)), folds)


def test_tau_normalization_makes_weights_of_one_length():
    head = _heads.tau_normalize(make_network(), tau=1.0)
    np.testing.assert_allclose(np.linalg.norm(head.coef, axis=1), 1)
    assert not head.intercept.any()


@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_learnable_weight_scaling_is_at_a_minimum(penalty):
    network = make_network()
    own, scaled = network.own_head, _heads.scale_weights(network, penalty)
    scale = scaled.coef[:, 0] / own.coef[:, 0]
    np.testing.assert_allclose(scaled.coef, scale[:, np.newaxis] * own.coef)
    np.testing.assert_allclose(scaled.intercept, scale * own.intercept)

    def loss(scale):
        log_proba = log_softmax(scale * own.logits(network.Z), axis=1)
        fit = -np.mean([log_proba[network.y == c, c].mean() for c in range(3)])
        return fit + penalty / 2 * np.sum((scale - 1) ** 2)

    assert loss(scale) < loss(np.ones(3))
    rng = np.random.RandomState(0)
    assert all(loss(scale) <= loss(scale + 0.05 * rng.normal(size=3)) for _ in range(20))


def test_class_weights_are_random_over_sampling_without_the_noise():
    network = make_network(counts=(200, 100, 50))
    weighted = network.refit("none", class_weight="balanced")
    assert weighted.rows is None
    copies = np.concatenate([np.repeat(np.flatnonzero(network.y == c), 2**c) for c in range(3)])
    head = _heads.LinearHead(alpha=0.01).fit(network.Z[copies], network.y[copies])
    centered = weighted.coef - weighted.coef.mean(axis=0)
    np.testing.assert_allclose(centered, head.coef_ - head.coef_.mean(axis=0), atol=0.02)


@pytest.mark.parametrize("name", list(_study_methods.METHODS))
def test_every_method_makes_a_head(name):
    method, network = _study_methods.METHODS[name], make_network()
    head = method.make(network, **method.fixed[0])
    result = _study_methods.evaluate(head, network)
    assert head.logits(network.Z_new).shape == (150, 3)
    assert result["scores"]["balanced_accuracy"] > 0.5
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    "name", [name for name in _study_methods.METHODS if _study_methods.METHODS[name].grid]
)
def test_every_setting_of_a_method_has_an_effect(name):
    method, network = _study_methods.METHODS[name], make_network()
    default = method.fixed[0]
    logits = method.make(network, **default).logits(network.Z_new)
    for setting, values in method.grid.items():
        others = [value for value in values if value != default[setting]]
        if setting == "n_neighbors":
            # K beyond the rows there are is clipped to them.
            n_rows = len(network.y)
            others = [k for k in others if min(k, n_rows) != min(default[setting], n_rows)]
        for value in others[:1] + others[-1:]:
            head = method.make(network, **default | {setting: value})
            assert np.abs(head.logits(network.Z_new) - logits).max() > 1e-3, (setting, value)


def test_classes_without_enemies_nearby_are_counted():
    network = make_network()
    network.Z = network.Z + 100 * (network.y == 2)[:, np.newaxis]
    assert network.refit("EOS", n_neighbors=3).n_without_enemies == 1
    assert network.refit("EOS", n_neighbors=3, enemy_search="nearest").n_without_enemies == 0
