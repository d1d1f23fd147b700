"""Tau-normalization and learnable weight scaling."""

import copy

import numpy as np
import pytest
import torch
from networks import MLP, make_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import log_softmax
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from imblearn_eos import EOS, AveragedHead, LinearHead
from imblearn_eos.embedding import scale_weights, tau_normalize
from imblearn_eos.models import NormalizedLinear

X, y = make_data((60, 20, 9))
NAMES = np.array(["ant", "bee", "cat"])[y]


def weights_of(head):
    if isinstance(head, torch.nn.Linear):
        return head.weight.detach().numpy(), head.bias.detach().numpy()
    return head.coef_, head.intercept_


def linear_heads():
    """Return heads of all kinds, with the labels that they know."""
    head = LinearHead().fit(X, NAMES)
    averaged = AveragedHead(EOS(random_state=0)).fit(X, NAMES)
    return [(head, NAMES), (averaged, NAMES), (head.to_module(), y), (head.to_module().double(), y)]


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("tau", [0.0, 0.4, 1.0])
def test_tau_normalization_divides_by_a_power_of_the_lengths(case, tau):
    head, _ = linear_heads()[case]
    before = [part.copy() for part in weights_of(head)]
    normalized = tau_normalize(head, tau=tau)
    assert type(normalized) is type(head)
    coef, intercept = weights_of(normalized)
    lengths = np.linalg.norm(before[0], axis=1)
    assert_allclose(coef, before[0] / lengths[:, None] ** tau, rtol=1e-6)
    assert_allclose(np.linalg.norm(coef, axis=1), lengths ** (1 - tau), rtol=1e-6)
    assert not intercept.any()
    for part, earlier in zip(weights_of(head), before, strict=True):
        assert_array_equal(part, earlier)


def test_weights_of_zero_stay_when_normalized():
    head = LinearHead().fit(np.zeros_like(X), y)
    assert_array_equal(tau_normalize(head).coef_, 0)


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_weight_scaling_is_at_a_minimum_of_the_balanced_loss(case, alpha):
    head, labels = linear_heads()[case]
    coef, intercept = weights_of(head)
    scaled = scale_weights(head, X, labels, alpha=alpha)
    assert type(scaled) is type(head)
    factors = weights_of(scaled)[0][:, 0] / coef[:, 0]
    assert_allclose(weights_of(scaled)[0], factors[:, None] * coef, rtol=1e-5)
    assert_allclose(weights_of(scaled)[1], factors * intercept, rtol=1e-5)

    def loss(factors):
        log_proba = log_softmax((X @ coef.T + intercept) * factors, axis=1)
        of_classes = [-log_proba[y == code, code].mean() for code in range(3)]
        return np.mean(of_classes) + alpha / 2 * ((factors - 1) ** 2).sum()

    assert loss(factors) < loss(np.ones(3)) - 1e-4
    rng = np.random.RandomState(0)
    for size in (0.01, 0.1):
        assert all(loss(factors) < loss(factors + size * rng.normal(size=3)) for _ in range(20))


@pytest.mark.parametrize("convert", [torch.from_numpy, sparse.csr_array, np.ndarray.tolist])
def test_weight_scaling_takes_what_heads_take(convert):
    head = LinearHead().fit(X, NAMES)
    expected = scale_weights(head, X, NAMES).coef_
    assert_allclose(scale_weights(head, convert(X), NAMES).coef_, expected, atol=1e-5)


def test_a_layer_without_intercepts_gets_some_of_zero():
    layer = torch.nn.Linear(6, 3, bias=False)
    assert not scale_weights(layer, X, y).bias.any()
    assert not tau_normalize(layer).bias.any()


def test_classes_without_rows_keep_their_weights():
    layer = torch.nn.Linear(6, 4)
    scaled = scale_weights(layer, X[y < 2], y[y < 2], alpha=100)
    assert_allclose(weights_of(scaled)[0], weights_of(layer)[0], atol=0.01)


def test_a_corrected_layer_takes_the_place_in_its_network():
    module = MLP().eval()
    before = copy.deepcopy(module)
    module.head = tau_normalize(module.head)
    rows = torch.from_numpy(X)
    expected = before.embed(rows) @ torch.nn.functional.normalize(before.head.weight).T
    assert_allclose(module(rows).detach(), expected.detach(), atol=1e-5)


def test_a_corrected_head_is_calibrated_anew():
    head = LinearHead().fit(X[::2], NAMES[::2]).calibrate(X[1::2], NAMES[1::2])
    for corrected in (tau_normalize(head), scale_weights(head, X, NAMES)):
        assert corrected.temperature_ == 1
        coef = corrected.coef_
        corrected.calibrate(X, NAMES)
        assert_allclose(corrected.coef_ * corrected.temperature_, coef)
    assert head.temperature_ != 1


@pytest.mark.parametrize("correct", [tau_normalize, lambda head: scale_weights(head, X, y)])
def test_what_is_no_linear_head_is_named(correct):
    for head in (NormalizedLinear(6, 3), LogisticRegression(), torch.nn.Conv2d(1, 1, 1)):
        with pytest.raises(TypeError, match=f"head must be .*, got {type(head).__name__}"):
            correct(head)
    with pytest.raises(NotFittedError):
        correct(LinearHead())


def test_bad_settings_and_labels_are_named():
    head = LinearHead().fit(X, NAMES)
    with pytest.raises(ValueError, match="'tau' parameter"):
        tau_normalize(head, tau=-1)
    with pytest.raises(ValueError, match="'alpha' parameter"):
        scale_weights(head, X, NAMES, alpha=-1)
    with pytest.raises(ValueError, match=r"y has the classes \['dog'\], which the head lacks"):
        scale_weights(head, X, np.where(y, NAMES, "dog"))
