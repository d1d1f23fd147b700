import math
import pickle
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import MLP, make_data, make_net
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_validate
from skorch.callbacks import Callback, Checkpoint
from skorch.dataset import ValidSplit
from skorch.helper import SliceDataset
from torch import nn
from torch.utils.data import Subset, TensorDataset

from imblearn_eos import Embedder, make_embedding_pipeline
from imblearn_eos.losses import (
    AsymmetricLoss,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    ClassCounts,
    DeferredReweighting,
    FocalLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    adjust_logits,
    class_balanced_weights,
)

X, y = make_data()
COUNTS = [50, 30, 12]
NAMES = np.array(["q", "m", "x"])  # sorted: m, q, x
COUNTED = [ClassBalancedLoss, LDAMLoss, LogitAdjustedLoss, BalancedSoftmaxLoss]
LOSSES = [FocalLoss, AsymmetricLoss, *COUNTED]
LOGITS = torch.from_numpy(np.random.RandomState(0).normal(size=(9, 3)))
TARGET = torch.arange(9) % 3


# --- the papers' formulas, for one sample ---------------------------------------------------------


def cross_entropy(row, own):
    return -log_softmax(row)[own]


def focal(row, own, gamma):
    log_p = log_softmax(row)
    rest = sum(math.exp(v) for j, v in enumerate(log_p) if j != own)
    return -(rest**gamma) * log_p[own]


def asymmetric(row, own, gamma_pos, gamma_neg, smoothing):
    total = (1 - smoothing + smoothing / len(row)) * focal(row, own, gamma_pos)
    for j, v in enumerate(log_softmax(row)):
        total -= smoothing / len(row) * math.exp(v) ** gamma_neg * v if j != own else 0
    return total


def ldam(row, own, counts, max_margin, scale):
    # The paper's network returns cosines, which the official code scales after the margin.
    cosines = [v / scale for v in row]
    cosines[own] -= max_margin / max(n**-0.25 for n in counts) * counts[own] ** -0.25
    return cross_entropy([scale * v for v in cosines], own)


def logit_adjusted(row, own, counts, tau):
    ratios = [(n / counts[own]) ** tau for n in counts]
    terms = [r * math.exp(v - row[own]) for r, v in zip(ratios, row, strict=True)]
    return math.log1p(sum(terms[:own] + terms[own + 1 :]))


def balanced_softmax(row, own, counts):
    sizes = [n * math.exp(v) for n, v in zip(counts, row, strict=True)]
    return -math.log(sizes[own] / sum(sizes))


def each(formula, problem, *params):
    return [formula(row, own, *params) for row, own in zip(problem[0], problem[1], strict=True)]


@st.composite
def problems(draw):
    n_classes, n_samples = draw(st.integers(2, 6)), draw(st.integers(1, 8))
    per_class, per_sample = [{"min_size": n, "max_size": n} for n in (n_classes, n_samples)]
    logits = st.lists(st.lists(st.floats(-20, 20), **per_class), **per_sample)
    target = st.lists(st.integers(0, n_classes - 1), **per_sample)
    return draw(logits), draw(target), draw(st.lists(st.integers(1, 10**6), **per_class))


def value(loss, logits, target, dtype=torch.float64):
    return loss(torch.as_tensor(logits, dtype=dtype), torch.as_tensor(target)).item()


def assert_gives(loss, problem, expected):
    assert value(loss, *problem[:2]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def knows(loss, counts):
    """Whether a loss with default parameters knows these class counts."""
    expected = type(loss)(class_counts=counts)
    return loss(LOGITS, TARGET).item() == expected(LOGITS, TARGET).item()


gammas = st.sampled_from([0, 0.3, 1, 2.0, 5.5])


@given(problem=problems(), gamma=gammas)
def test_focal_loss_is_its_formula(problem, gamma):
    _, target, weight = problem
    losses = each(focal, problem, gamma)
    assert_gives(FocalLoss(gamma), problem, np.mean(losses))
    # With weights, this is the plain mean too, not that of nn.CrossEntropyLoss.
    loss = FocalLoss(gamma, torch.tensor(weight, dtype=torch.float64))
    assert_gives(loss, problem, np.mean(np.take(weight, target) * losses))


@given(problem=problems(), gamma_pos=gammas, gamma_neg=gammas, smoothing=st.floats(0, 1))
def test_asymmetric_loss_is_its_formula(problem, gamma_pos, gamma_neg, smoothing):
    params = (gamma_pos, gamma_neg, smoothing)
    assert_gives(AsymmetricLoss(*params), problem, np.mean(each(asymmetric, problem, *params)))


@given(problem=problems(), beta=st.floats(0, 0.9999))
def test_class_balanced_loss_is_its_formula(problem, beta):
    _, target, counts = problem
    weights = [(1 - beta) / (1 - beta ** counts[own]) for own in target]
    expected = np.average(each(cross_entropy, problem), weights=weights)
    assert_gives(ClassBalancedLoss(beta, counts), problem, expected)


@given(problem=problems(), max_margin=st.floats(0, 2), scale=st.floats(1, 30))
def test_ldam_loss_is_its_formula(problem, max_margin, scale):
    _, target, counts = problem
    losses = each(ldam, problem, counts, max_margin, scale)
    params = {"max_margin": max_margin, "scale": scale, "class_counts": counts}
    assert_gives(LDAMLoss(**params), problem, np.mean(losses))
    weight = torch.arange(1.0, len(counts) + 1, dtype=torch.float64)
    expected = np.average(losses, weights=weight[target])
    assert_gives(LDAMLoss(weight=weight, **params), problem, expected)


@given(problem=problems(), tau=st.floats(-1, 3))
def test_logit_adjusted_and_balanced_softmax_losses_are_their_formulas(problem, tau):
    counts = problem[2]
    expected = np.mean(each(logit_adjusted, problem, counts, tau))
    assert_gives(LogitAdjustedLoss(tau, counts), problem, expected)
    expected = np.mean(each(balanced_softmax, problem, counts))
    assert_gives(BalancedSoftmaxLoss(counts), problem, expected)


@given(problem=problems(), smoothing=st.floats(0, 1))
def test_limits_are_cross_entropy(problem, smoothing):
    expected = value(nn.CrossEntropyLoss(), *problem[:2])
    for loss in (
        FocalLoss(gamma=0),
        ClassBalancedLoss(beta=0, class_counts=problem[2]),
        LDAMLoss(max_margin=0, class_counts=problem[2]),
        LogitAdjustedLoss(tau=0, class_counts=problem[2]),
    ):
        assert_gives(loss, problem, expected)
    expected = value(nn.CrossEntropyLoss(label_smoothing=smoothing), *problem[:2])
    assert_gives(AsymmetricLoss(0, 0, smoothing), problem, expected)


SETTINGS = [
    *((FocalLoss(gamma), focal, (gamma,)) for gamma in (0, 0.01, 0.5, 2)),
    *((AsymmetricLoss(*p), asymmetric, p) for p in [(0, 4, 0.1), (0.01, 0.01, 0.1), (2, 0.5, 1)]),
    (ClassBalancedLoss(class_counts=COUNTS), cross_entropy, ()),
    (LDAMLoss(class_counts=COUNTS), ldam, (COUNTS, 0.5, 30)),
    (BalancedSoftmaxLoss(COUNTS), lambda row, own: cross_entropy(row + np.log(COUNTS), own), ()),
]


@pytest.mark.parametrize("loss", [loss for loss, *_ in SETTINGS])
def test_gradients_are_those_of_the_loss(loss):
    logits = (3 * LOGITS).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: loss(values, TARGET), (logits,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("loss", "formula", "params"), SETTINGS)
def test_huge_logits_give_finite_losses_and_gradients(loss, formula, params, dtype):
    # A certain and right, a certain and wrong, and a tied prediction.
    for row, own in [([1e4, -1e4, 0], 0), ([1e4, -1e4, 0], 1), ([1e4, 1e4, -1e4], 1)]:
        logits = torch.tensor([row], dtype=dtype, requires_grad=True)
        result = loss(logits, torch.tensor([own]))
        result.backward()
        assert logits.grad.isfinite().all()
        # 1e4 in float32 is rounded to 1e-3.
        tolerance = 1e-3 if dtype == torch.float32 else 1e-9
        assert result.item() == pytest.approx(formula(row, own, *params), rel=1e-6, abs=tolerance)


# Of samples whose other classes are masked, all or some, and whose own class is.
MASKED = [([1, -math.inf, -math.inf], 0), ([1, 2, -math.inf], 1), ([-math.inf, 2, 1], 0)]
MASKABLE = [
    *(loss for loss, *_ in SETTINGS),
    *(AsymmetricLoss(*p) for p in [(0, 0, 0), (0, 0, 0.1), (2, 0, 0.1), (2, 4, 0), (0.5, 0.5, 1)]),
    FocalLoss(2, torch.tensor([1.0, 2.0, 3.0])),
    LogitAdjustedLoss(class_counts=COUNTS),
    LDAMLoss(weight=torch.tensor([1.0, 2.0, 3.0]), class_counts=COUNTS),
]


def value_and_gradient(loss, row, own, dtype=torch.float64):
    logits = torch.tensor([row], dtype=dtype, requires_grad=True)
    weight = loss.weight
    if weight is not None:
        loss.weight = weight.to(dtype)
    result = loss(logits, torch.tensor([own]))
    result.backward()
    loss.weight = weight
    return result.item(), logits.grad[0].tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("row", "own"), MASKED)
@pytest.mark.parametrize("loss", MASKABLE)
def test_logits_of_minus_infinity_give_the_limits_of_ever_lower_logits(loss, row, own, dtype):
    value, gradient = value_and_gradient(loss, row, own, dtype)
    low, limit = value_and_gradient(loss, [max(logit, -1e6) for logit in row], own)
    if low > 1000:
        # Such a loss grows without bound, as cross-entropy does.
        assert value == math.inf
    else:
        assert value == pytest.approx(low, rel=1e-6, abs=1e-7)
    assert gradient == pytest.approx(limit, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    "loss",
    [FocalLoss(0), FocalLoss(0.5), FocalLoss(2)]
    + [AsymmetricLoss(*p) for p in [(0, 0, 0), (0, 0, 0.1), (0, 4, 0.1), (2, 4, 1)]]
    + [loss(class_counts=[5]) for loss in COUNTED],
)
def test_a_network_with_one_output_has_a_loss_of_zero(loss):
    assert value_and_gradient(loss, [3.0], 0) == (0, [0])


@pytest.mark.parametrize(
    "loss", [FocalLoss(), AsymmetricLoss(), *(c(class_counts=COUNTS) for c in COUNTED)]
)
@pytest.mark.parametrize(
    ("logits", "target"),
    [
        ((5, 3), (1,)),
        ((5, 3), ()),
        ((5, 3), (5, 1)),
        ((5, 3), (4,)),
        ((3,), ()),
        ((5, 3, 3), (5, 3)),
        ((5, 3, 2, 2), (5, 2, 2)),
        ((5,), (5,)),
    ],
)
def test_shapes_other_than_a_row_of_logits_per_label_are_an_error(loss, logits, target):
    message = re.escape(f"got shapes {logits} and {target}.")
    with pytest.raises(ValueError, match=f"{type(loss).__name__} needs logits of .*{message}"):
        loss(torch.zeros(logits), torch.zeros(target, dtype=torch.int64))


# --- class counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [3, 120])
@pytest.mark.parametrize(
    "loss",
    [
        FocalLoss(),
        AsymmetricLoss(),
        ClassBalancedLoss(),
        LDAMLoss(scale=2),
        LogitAdjustedLoss(),
        BalancedSoftmaxLoss(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_samples_of_the_ignored_index_change_neither_loss_nor_gradient(loss, n_classes):
    # torch's CrossEntropyLoss got label smoothing wrong here: pytorch#73205.
    if hasattr(loss, "set_class_counts"):
        loss.set_class_counts(np.arange(1, n_classes + 1))
    logits = torch.from_numpy(np.random.RandomState(0).randn(5, n_classes)).requires_grad_()
    target = torch.tensor([0, -100, 2, 1, -100])
    kept = target != -100
    expected = loss(logits[kept], target[kept])
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    found = loss(logits, target)
    (gradient,) = torch.autograd.grad(found, logits)
    assert_allclose(found.item(), expected.item(), rtol=1e-12)
    assert_allclose(gradient, expected_gradient, rtol=1e-12)
    assert loss(logits, torch.full((5,), -100)).isnan()
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        loss(logits, torch.tensor([0, -1, 2, 1, 0]))


def expected_weights(counts, beta):
    weights = 1 / np.array([sum(beta**k for k in range(n)) for n in counts])
    return weights / weights.mean()


betas = st.floats(0, 0.999999) | st.sampled_from([0, 1 - 1e-12])


@given(counts=st.lists(st.integers(1, 300), min_size=1), beta=betas)
def test_class_balanced_weights_are_inverse_effective_numbers(counts, beta):
    weights = class_balanced_weights(counts, beta=beta)
    assert_allclose(weights, expected_weights(counts, beta), rtol=1e-9)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (0, 3), (2, 5, 3)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_adjust_logits(shape, dtype):
    logits = np.random.RandomState(0).randint(-5, 5, size=shape).astype(dtype)
    expected = np.empty(shape)
    for index in np.ndindex(shape):
        expected[index] = logits[index] - 1.7 * math.log(COUNTS[index[-1]] / sum(COUNTS))
    adjusted = adjust_logits(logits, COUNTS, tau=1.7)
    assert adjusted.dtype == dtype.replace("int", "float")
    assert_allclose(adjusted, expected, atol=1e-6)
    as_tensor = adjust_logits(torch.from_numpy(logits), COUNTS, tau=1.7)
    assert torch.equal(as_tensor, torch.from_numpy(adjusted))


def test_class_counts_in_any_container():
    by_size = pd.Series(NAMES[y]).value_counts()
    # Categories have an order of their own.
    dtype = pd.CategoricalDtype(list(by_size.index), ordered=True)
    for counts in (
        pd.Series(NAMES[y], dtype=dtype).value_counts(),
        np.array([30, 50, 12], dtype=np.uint16),
        torch.tensor([30, 50, 12]).bfloat16(),
        by_size,
        by_size.astype("Int64"),
        # In the order of first occurrence, which is not the order of the classes.
        Counter(NAMES[y][::-1].tolist()),
    ):
        weights = class_balanced_weights(counts)
        assert_array_equal(weights, class_balanced_weights([30, 50, 12]))
        assert all(knows(loss(class_counts=counts), [30, 50, 12]) for loss in COUNTED)


def test_class_counts_are_not_changed():
    counts = np.array(COUNTS, dtype=np.float64)
    for loss in COUNTED:
        loss(class_counts=counts)(LOGITS, TARGET)
    assert_array_equal(counts, COUNTS)


@pytest.mark.parametrize("counts", [[3, 0], [], [[1, 2]], [2, np.nan], [2, np.inf], 7])
def test_impossible_class_counts_are_an_error(counts):
    for use in (class_balanced_weights, *COUNTED):
        with pytest.raises(ValueError, match="class_counts must hold the number of training samp"):
            use(class_counts=counts)


@pytest.mark.parametrize("loss", COUNTED)
def test_unknown_class_counts_and_those_of_other_classes_are_an_error(loss):
    with pytest.raises(ValueError, match=rf"{loss.__name__} needs .*has none.*ClassCounts"):
        make_net(criterion=loss).fit(X, y)
    with pytest.raises(ValueError, match=r"each column of logits of shape \(9, 3\), but has 2"):
        loss(class_counts=[4, 5])(LOGITS, TARGET)


@pytest.mark.parametrize(
    ("function", "params", "message"),
    [
        (FocalLoss, {"gamma": -1}, r"'gamma' parameter of FocalLoss .* \[0.0, inf\). Got -1.0"),
        (FocalLoss, {"gamma": float("nan")}, "'gamma' parameter"),
        (AsymmetricLoss, {"gamma_pos": -0.1}, "'gamma_pos' parameter"),
        (AsymmetricLoss, {"gamma_neg": -0.1}, "'gamma_neg' parameter"),
        (AsymmetricLoss, {"label_smoothing": 1.1}, r"'label_smoothing' parameter .* \[0.0, 1.0\]"),
        (LDAMLoss, {"max_margin": -1}, "'max_margin' parameter"),
        (LDAMLoss, {"scale": float("inf")}, "'scale' parameter"),
        (ClassBalancedLoss, {"beta": 1, "class_counts": COUNTS}, r"'beta' .* \[0.0, 1.0\)"),
        (LogitAdjustedLoss, {"tau": float("nan")}, "'tau' parameter of LogitAdjustedLoss"),
        (class_balanced_weights, {"beta": -0.1, "class_counts": COUNTS}, "'beta' parameter of cla"),
        (adjust_logits, {"logits": np.zeros(3), "class_counts": COUNTS, "tau": np.inf}, "'tau' "),
        (adjust_logits, {"logits": 1.0, "class_counts": COUNTS}, r"shape \(\), but has 3"),
        (adjust_logits, {"logits": torch.zeros(3, 1), "class_counts": COUNTS}, r"\(3, 1\), but "),
        (FocalLoss, {"gamma": "a"}, "'a'"),
    ],
)
def test_parameters_out_of_range_are_an_error(function, params, message):
    with pytest.raises(ValueError, match=message):
        function(**params)


@pytest.mark.parametrize("convert", [torch.tensor, np.array, np.float32])
def test_parameters_may_be_numbers_of_torch_or_numpy(convert):
    half = convert(0.5)
    for loss, expected in [
        (FocalLoss(half), FocalLoss(0.5)),
        (AsymmetricLoss(half, half, half), AsymmetricLoss(0.5, 0.5, 0.5)),
        (LDAMLoss(half, half, None, COUNTS), LDAMLoss(0.5, 0.5, None, COUNTS)),
        (ClassBalancedLoss(half, COUNTS), ClassBalancedLoss(0.5, COUNTS)),
        (LogitAdjustedLoss(half, COUNTS), LogitAdjustedLoss(0.5, COUNTS)),
    ]:
        assert value(loss, LOGITS, TARGET) == value(expected, LOGITS, TARGET)


# --- in skorch nets -------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_nets_train_and_know_that_the_softmax_gives_probabilities(loss):
    net = make_net(criterion=loss, callbacks=[ClassCounts()], max_epochs=10, lr=0.02).fit(X, y)
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]
    assert_allclose(net.predict_proba(X), net.forward(X).softmax(dim=1), rtol=1e-6)
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert value(again.criterion_, LOGITS, TARGET) == value(net.criterion_, LOGITS, TARGET)


@pytest.mark.parametrize("labels", [y + 1, np.where(y == 0, "a", "b"), np.where(y == 1, 2, y)])
def test_labels_that_are_no_class_numbers_are_named(labels):
    with pytest.raises(ValueError, match=r"y must have the labels 0, 1, .*Embedder encodes"):
        ClassCounts().on_train_begin(make_net(criterion=LDAMLoss).initialize(), X, labels)


TENSORS = (torch.from_numpy(X), torch.from_numpy(y))
PAIRS = TensorDataset(*TENSORS)
PART = Subset(PAIRS, list(range(60)))
SLICES = (SliceDataset(PAIRS, 0), SliceDataset(PAIRS, 1))


@pytest.mark.parametrize("data", [(X, y), TENSORS, (PAIRS, None), (PART, None), SLICES])
@pytest.mark.parametrize("train_split", [None, ValidSplit(4)])
def test_class_counts_come_from_all_of_y(data, train_split):
    for loss in COUNTED:
        net = make_net(criterion=loss, callbacks=[ClassCounts()], train_split=train_split)
        assert knows(net.fit(*data).criterion_, np.bincount(y[: len(data[0])]))


def test_every_training_counts_again_unless_counts_are_given():
    net = make_net(criterion=LDAMLoss, callbacks=[ClassCounts()], max_epochs=1).fit(X, y)
    assert knows(net.fit(X[:60], y[:60]).criterion_, np.bincount(y[:60]))
    assert knows(clone(net).partial_fit(X, y).criterion_, COUNTS)
    net.set_params(criterion=BalancedSoftmaxLoss)
    assert knows(net.partial_fit(X, y).criterion_, COUNTS)
    net.set_params(criterion__class_counts=[1, 2, 3])
    for fitted in (net.fit(X, y), clone(net).fit(X, y)):
        assert knows(fitted.criterion_, [1, 2, 3])


@pytest.mark.parametrize("loss", COUNTED)
def test_embedder_tells_class_counts_unless_they_are_given(loss):
    net = make_net(criterion=loss)
    assert knows(Embedder(net).fit(X, NAMES[y]).net_.criterion_, [30, 50, 12])
    net.set_params(criterion__class_counts=[1, 2, 3])
    assert knows(Embedder(net).fit(X, y).net_.criterion_, [1, 2, 3])
    instance = loss()
    assert knows(Embedder(make_net(criterion=instance)).fit(X, y).net_.criterion_, COUNTS)
    assert instance.class_counts is None


@pytest.mark.parametrize("loss", COUNTED)
def test_each_fold_has_its_own_class_counts(loss):
    pipeline = make_embedding_pipeline(make_net(criterion=loss, max_epochs=1), random_state=0)
    folds = cross_validate(pipeline, X, NAMES[y], cv=KFold(3), return_estimator=True)["estimator"]
    for fold, (rows, _) in zip(folds, KFold(3).split(X), strict=True):
        counts = np.unique(NAMES[y][rows], return_counts=True)[1]
        assert knows(fold[0].net_.criterion_, counts)


@pytest.mark.parametrize("loss", LOSSES)
def test_merged_network_gives_the_probabilities_of_the_pipeline(loss):
    pipeline = make_embedding_pipeline(make_net(criterion=loss), random_state=0).fit(X, y)
    proba = pipeline.to_module()(torch.from_numpy(X)).softmax(dim=1).detach()
    assert_allclose(proba, pipeline.predict_proba(X), atol=1e-5)


# --- deferred re-weighting ------------------------------------------------------------------------


class NoteWeights(Callback):
    def on_batch_begin(self, net, **kwargs):
        net.history.record_batch("weight", getattr(net.criterion_, "weight", None))


def make_deferred(criterion=nn.CrossEntropyLoss, start=2, max_epochs=4, callbacks=(), **params):
    callbacks = [ClassCounts(), DeferredReweighting(start, beta=0.99), NoteWeights(), *callbacks]
    return make_net(criterion=criterion, max_epochs=max_epochs, callbacks=callbacks, **params)


def check_weights(net, n_off=2, n_on=2, dtype=torch.float32):
    expected = torch.from_numpy(expected_weights(COUNTS, 0.99)).to(dtype)
    epochs = net.history[:, "batches", :, "weight"]
    assert len(epochs) == n_off + n_on
    assert all(weight is None for weights in epochs[:n_off] for weight in weights)
    for weights in epochs[n_off:]:
        for weight in weights:
            torch.testing.assert_close(weight, expected)


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss, FocalLoss, *COUNTED[1:]])
def test_weights_of_classes_begin_after_the_deferred_epochs(criterion):
    net = make_deferred(criterion).fit(X, y)
    check_weights(net)
    check_weights(net.fit(X, y))
    check_weights(Embedder(make_deferred(criterion)).fit(X, y).net_)
    weighted = value(net.criterion_, LOGITS, TARGET, torch.float32)
    net = make_deferred(criterion, start=4).fit(X, y)
    assert abs(weighted - value(net.criterion_, LOGITS, TARGET, torch.float32)) > 1e-3


def test_epochs_without_weights_are_those_before_start():
    for start in (0, 1, 4, 9):
        check_weights(make_deferred(start=start).fit(X, y), min(start, 4), 4 - min(start, 4))
    net = make_deferred(max_epochs=1)
    for _ in range(5):
        net.partial_fit(X, y)
    check_weights(net, 2, 3)


def test_weights_of_a_criterion_instance_and_of_a_network_in_float64():
    check_weights(make_deferred(nn.CrossEntropyLoss()).fit(X, y).fit(X, y))
    net = make_deferred(LDAMLoss, module=MLP().double()).fit(X.astype(np.float64), y)
    check_weights(net, dtype=torch.float64)


def test_compiled_net_gets_counts_and_weights():
    net = make_deferred(LDAMLoss, compile=True, compile__backend="eager").fit(X, y)
    check_weights(net)
    net.criterion_._orig_mod.weight = None
    assert knows(net.criterion_._orig_mod, COUNTS)


def test_checkpoint_of_an_epoch_without_weights_loads(tmp_path):
    first = Checkpoint(monitor=lambda net: len(net.history) == 1, dirname=tmp_path, load_best=True)
    assert len(make_deferred(callbacks=[first]).fit(X, y).history) == 1  # of the checkpoint


@pytest.mark.parametrize("criterion", [AsymmetricLoss, ClassBalancedLoss, nn.BCEWithLogitsLoss])
def test_criterion_without_weights_of_classes_is_an_error(criterion):
    with pytest.raises(ValueError, match=f"takes class weights.*{criterion.__name__}"):
        make_deferred(criterion).fit(X, y)


@pytest.mark.parametrize("start", ["1", 1.5, -1])
def test_a_start_that_is_no_number_of_epochs_is_an_error(start):
    with pytest.raises(ValueError, match="'start' parameter of DeferredReweighting must be an int"):
        make_deferred(start=start).fit(X, y)


def test_class_counts_follow_logits_of_any_dtype_in_and_out_of_inference_mode():
    loss = LDAMLoss(class_counts=COUNTS)
    target = torch.tensor([0, 1, 2])
    with torch.inference_mode():
        loss(torch.zeros(3, 3), target)
    for dtype in (torch.float32, torch.float64, torch.float32):
        logits = torch.zeros(3, 3, dtype=dtype, requires_grad=True)
        loss(logits, target).backward()
        assert logits.grad.dtype == dtype
    assert len(pickle.dumps(loss)) == len(pickle.dumps(LDAMLoss(class_counts=COUNTS)))
    assert pickle.loads(pickle.dumps(loss))(logits, target) == loss(logits, target)
