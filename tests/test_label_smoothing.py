"""Labels that are smoothed, more for larger classes: as a loss, and in a linear head."""

import math

import numpy as np
import pytest
import torch
from networks import make_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.base import clone

from imblearn_eos import LinearHead
from imblearn_eos.losses import LabelAwareSmoothingLoss, label_aware_smoothing

COUNTS = (50, 30, 12)
X, y = make_data(COUNTS)
SMOOTHING = [0.3, 0.1, 0.0]


def targets_of(labels, smoothing):
    """Build each row's target number by number."""
    n_classes = len(smoothing)
    return np.array(
        [
            [
                1 - smoothing[label] if other == label else smoothing[label] / (n_classes - 1)
                for other in range(n_classes)
            ]
            for label in labels
        ]
    )


def loss_of(logits, labels, smoothing):
    """Compute the mean cross-entropy with smoothed targets."""
    return -(targets_of(labels, smoothing) * log_softmax(logits, axis=1)).sum(axis=1).mean()


def smoothing_of(counts, head, tail):
    """Compute the concave form of the paper, class by class."""
    n_1, n_K = max(counts), min(counts)
    return [
        tail + (head - tail) * math.sin(math.pi * (n - n_K) / (2 * (n_1 - n_K))) for n in counts
    ]


@pytest.mark.parametrize(("head", "tail"), [(0.3, 0.0), (0.4, 0.1), (0.1, 0.2)])
def test_larger_classes_are_smoothed_by_the_formula_of_the_paper(head, tail):
    counts = [5000, 1796, 83, 50, 645]
    found = label_aware_smoothing(counts, smooth_head=head, smooth_tail=tail)
    assert_allclose(found, smoothing_of(counts, head, tail))
    by_label = label_aware_smoothing(
        dict(zip("edcba", counts, strict=True)), smooth_head=head, smooth_tail=tail
    )
    assert_allclose(by_label, found[::-1])


def test_equal_classes_are_smoothed_as_the_smallest():
    assert_array_equal(label_aware_smoothing([7, 7, 7], smooth_tail=0.1), [0.1] * 3)


@pytest.mark.parametrize("name", ["smooth_head", "smooth_tail"])
@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_smoothing_must_leave_the_label_a_share(name, value):
    match = f"The '{name}' parameter of "
    with pytest.raises(ValueError, match=f"{match}label_aware_smoothing"):
        label_aware_smoothing(COUNTS, **{name: value})
    with pytest.raises(ValueError, match=f"{match}LabelAwareSmoothingLoss"):
        LabelAwareSmoothingLoss(**{name: value})


def test_the_loss_is_cross_entropy_with_smoothed_targets():
    logits = np.random.RandomState(0).normal(size=(len(y), 3))
    loss = LabelAwareSmoothingLoss(smooth_head=0.4, smooth_tail=0.1, class_counts=COUNTS)
    found = loss(torch.from_numpy(logits), torch.from_numpy(y))
    assert_allclose(found, loss_of(logits, y, smoothing_of(COUNTS, 0.4, 0.1)))
    ignored = y.copy()
    ignored[::3] = -100
    found = loss(torch.from_numpy(logits), torch.from_numpy(ignored))
    rows = ignored >= 0
    assert_allclose(found, loss_of(logits[rows], y[rows], smoothing_of(COUNTS, 0.4, 0.1)))
    plain = LabelAwareSmoothingLoss(smooth_head=0.0, class_counts=COUNTS)
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(y))
    assert_allclose(plain(torch.from_numpy(logits), torch.from_numpy(y)), expected)


def test_the_loss_of_one_class_is_0():
    loss = LabelAwareSmoothingLoss(class_counts=[5])
    assert loss(torch.zeros(2, 1), torch.tensor([0, 0])) == 0


def test_the_gradient_of_the_loss_is_right():
    random_state = np.random.RandomState(0)
    logits = torch.from_numpy(random_state.normal(size=(6, 3))).requires_grad_()
    loss = LabelAwareSmoothingLoss(class_counts=COUNTS)
    target = torch.tensor([0, 1, 2, 0, -100, 1])
    assert torch.autograd.gradcheck(lambda logits: loss(logits, target), logits)


def test_a_head_is_where_the_smoothed_loss_is_least():
    head = LinearHead(alpha=0.02, label_smoothing=SMOOTHING, tol=1e-9).fit(X, y)

    def objective(weights):
        coef, intercept = weights[:, :-1], weights[:, -1]
        penalty = 0.02 / 2 * (coef**2).sum()
        return loss_of(X.astype(float) @ coef.T + intercept, y, SMOOTHING) + penalty

    weights = np.column_stack([head.coef_, head.intercept_])
    step = 1e-5
    for row in range(3):
        for column in range(weights.shape[1]):
            moved = np.zeros_like(weights)
            moved[row, column] = step
            slope = (objective(weights + moved) - objective(weights - moved)) / (2 * step)
            assert abs(slope) < 1e-7
    assert objective(weights) < objective(0.99 * weights)


def test_smoothing_by_label_and_of_all_classes():
    names = np.array(["c", "a", "b"])[y]
    by_label = dict(zip("cab", SMOOTHING, strict=True))
    head = LinearHead(label_smoothing=by_label).fit(X, names)
    expected = LinearHead(label_smoothing=SMOOTHING).fit(X, y)
    assert_allclose(head.coef_, expected.coef_[[1, 2, 0]], atol=1e-5)
    alike, expected = (
        LinearHead(label_smoothing=value).fit(X, y) for value in (0.2, [0.2, 0.2, 0.2])
    )
    assert_array_equal(alike.coef_, expected.coef_)
    plain, expected = (LinearHead(**params).fit(X, y) for params in ({"label_smoothing": 0}, {}))
    assert_array_equal(plain.coef_, expected.coef_)


def test_smoothing_goes_with_weights_and_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    rows = np.repeat(np.arange(len(y)), np.array([1, 2, 3])[y])
    head = LinearHead(label_smoothing=SMOOTHING, class_weight={0: 1, 1: 2, 2: 3}).fit(X, y)
    expected = LinearHead(label_smoothing=SMOOTHING).fit(X[rows], y[rows])
    assert_allclose(head.coef_, expected.coef_, atol=1e-5)
    head = LinearHead(label_smoothing=SMOOTHING).fit(sparse.csr_array(X), y)
    assert_allclose(head.coef_, LinearHead(label_smoothing=SMOOTHING).fit(X, y).coef_, atol=1e-5)


def test_smoothed_heads_fit_dask_collections():
    da = pytest.importorskip("dask.array", reason="needs dask, the extra 'dask'")
    head = LinearHead(label_smoothing=SMOOTHING)
    found = clone(head).fit(da.from_array(X.astype(np.float64), chunks=(40, -1)), y)
    assert_allclose(found.coef_, head.fit(X.astype(np.float64), y).coef_, atol=1e-6)


@pytest.mark.parametrize(
    "value", [-0.1, 1.0, [0.1, 0.1], {0: 0.1}, [0.1, 0.2, math.nan], list("abc")]
)
def test_other_shares_are_refused(value):
    with pytest.raises(ValueError, match="'label_smoothing' parameter must be a number from 0"):
        LinearHead(label_smoothing=value).fit(X, y)
