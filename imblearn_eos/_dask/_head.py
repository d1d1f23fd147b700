"""LinearHead on Dask: sums over blocks of rows, with the optimizer on the client."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from imblearn_eos._dask._blocks import (
    Rows,
    as_labels,
    as_rows,
    check_block,
    check_lengths,
    count_classes,
    is_frame,
    to_array,
)
from imblearn_eos._dask._graph import Stage, constant, starts_of
from imblearn_eos._dask._search import is_beside_others
from imblearn_eos._device import resolve_device
from imblearn_eos._threads import one_thread
from imblearn_eos._validation import check_several_classes
from imblearn_eos.embedding import _head
from imblearn_eos.embedding._head_classes import row_weights, smoothed_targets
from imblearn_eos.embedding._head_features import (
    CenteredRows,
    direction_stride,
    has_directions,
    make_basis,
)

# Rows that are centered at a time, so that no task holds a copy of its block.
TILE_ROWS = 8192


@dataclass(frozen=True)
class BlockProblem(_head.Problem):
    """Blocks of rows as a head is fitted to them.

    Attributes
    ----------
    rows : Rows
    codes : list of dask.delayed.Delayed
        Positions in ``classes``, block by block.
    weights : list of dask.delayed.Delayed or None
        Weights of rows.
    share_of_class : ndarray of shape (n_classes,)
        What a row of weight 1 weighs in the mean over all rows.
    device : str
        Where tasks compute.
    """

    rows: Rows
    weights: list | None
    share_of_class: np.ndarray
    device: str

    def loss(self, weights, alpha):
        features = self.features
        weights = torch.from_numpy(weights).reshape(len(self.classes), -1)
        coef = features.to_coef(weights[:, :-1])
        of_features = torch.column_stack([coef, weights[:, -1]]).numpy()
        stage = Stage(self.rows.blocks[0], *self.codes, *(self.weights or ())[:1])
        model = of_features, features.mean.numpy(), self.share_of_class, self.targets
        model = stage.add("eos-weights", partial(constant, model))
        losses = [
            stage.add("eos-loss", partial(block_loss, device=self.device), *keys, model)
            for keys in _keys(self.rows, self.codes, self.weights)
        ]
        (total,) = stage.compute([stage.fold("eos-sum", add, losses)])
        gradient = torch.from_numpy(total[:-1]).reshape(of_features.shape)
        along = features.along_basis(gradient[:, :-1] + alpha * coef)
        loss = total[-1] + alpha * coef.square().sum().item() / 2
        return loss, torch.column_stack([along, gradient[:, -1]]).ravel().numpy()


def make_problem(head, X, y, sample_weight):
    """Return what ``head._make_problem(X, y, sample_weight)`` returns, for a Dask collection X.

    Parameters
    ----------
    head : LinearHead
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
    y : dask.array.Array, dask.dataframe.Series or array-like of shape (n_samples,)
    sample_weight : dask.array.Array, dask.dataframe.Series or array-like of shape (n_samples,)
        None means 1.
    """
    # Partitions of labels say how many rows those of a frame have.
    rows = as_rows(X, estimator=head, count=not is_frame(y))
    _, labels = as_labels(y, rows, estimator=head)
    classes, counts = count_classes(labels)
    check_several_classes(classes, estimator=head)
    rows = Rows(rows.collection, rows.blocks, counts.sum(axis=1))
    sums, weights = counts.sum(axis=0), None
    if sample_weight is not None:
        names = "X", "sample_weight"
        _, weights = as_labels(sample_weight, rows, estimator=head, names=names)
        counts, sums = _weigh(labels, weights, classes, starts_of(rows.sizes))
    # Classes whose rows have a weight of 0 are left out.
    is_present = counts.sum(axis=0) > 0
    class_counts = row_weights(np.arange(len(classes)), classes, sums, head.class_weight)
    classes, class_counts, sums = (a[is_present] for a in (classes, class_counts, sums))
    share_of_class = class_counts / sums / class_counts.sum()

    stage = Stage(*labels[:1])
    encode = partial(encode_block, classes=classes)
    codes = stage.persist([stage.add("eos-codes", encode, y.key) for y in labels])
    n_kept = counts.sum(axis=1)
    features = _find_directions(head, rows, codes, weights, n_kept, share_of_class)
    return BlockProblem(
        rows.meta,
        rows.collection,
        features,
        classes,
        codes,
        class_counts,
        smoothed_targets(head.label_smoothing, classes),
        rows,
        weights,
        share_of_class,
        str(head.device),
    )


def _keys(rows, codes, weights):
    """Return, for each block, the keys of its rows, of their codes and of their weights."""
    weights = [None if part is None else part.key for part in weights or [None] * len(codes)]
    keys = ([part.key for part in parts] for parts in (rows.blocks, codes))
    return list(zip(*keys, weights, strict=True))


def _weigh(labels, weights, classes, starts):
    """Count the rows of a weight above 0, block by block and class by class, and sum weights."""
    stage = Stage(*labels[:1], *weights[:1])
    parts = stage.compute(
        [
            stage.add(
                "eos-weigh", partial(weigh_block, classes=classes, first=int(first)), y.key, w.key
            )
            for y, w, first in zip(labels, weights, starts, strict=False)
        ]
    )
    counts, sums = map(np.array, zip(*parts, strict=True))
    return counts, sums.sum(axis=0)


def _find_directions(head, rows, codes, weights, n_kept, share_of_class):
    """Check all rows, and return their mean and the directions to fit along, without rows."""
    n_samples, n_features = int(n_kept.sum()), rows.n_features
    stride = direction_stride(n_samples, n_features)
    stage = Stage(rows.blocks[0], *codes, *(weights or ())[:1])
    moments, some = [], []
    firsts = starts_of(rows.sizes), starts_of(n_kept)
    for keys, first, first_kept in zip(_keys(rows, codes, weights), *firsts, strict=False):
        find = partial(
            find_moments,
            share_of_class=share_of_class,
            first=int(first),
            estimator=type(head).__name__,
        )
        moments.append(stage.add("eos-moments", find, *keys))
        if has_directions(n_samples, n_features):
            take = partial(
                take_some,
                share_of_class=share_of_class,
                start=int(-first_kept % stride),
                stride=stride,
            )
            some.append(stage.add("eos-some", take, *keys))
    fold = stage.fold("eos-moments", merge_moments, moments)
    (total, mean, squares), *some = stage.compute([fold, *some])
    if some:
        x, shares = map(np.concatenate, zip(*some, strict=True))
        some = (x - mean) * np.sqrt(n_samples * shares)[:, None]
    some = torch.from_numpy(np.reshape(some, (-1, n_features)))
    basis = make_basis(some, torch.from_numpy(squares / total), n_samples, head.alpha)
    return CenteredRows(some[:0], torch.from_numpy(mean), basis)


# --- in tasks -------------------------------------------------------------------------------------


def weigh_block(y, w, *, classes, first):
    """Return the number of rows of a weight above 0 and the sum of weights, class by class."""
    w = np.asarray(w, dtype=np.float64)
    is_wrong = ~((w >= 0) & (w < np.inf))
    if is_wrong.any():
        i = int(np.flatnonzero(is_wrong)[0])
        raise ValueError(
            f"sample_weight of row {first + i} is {w[i]}, but weights must be finite and at least "
            "0. Drop or mend such rows."
        )
    codes = np.searchsorted(classes, np.asarray(y))
    n_classes = len(classes)
    return np.bincount(codes[w > 0], minlength=n_classes), np.bincount(codes, w, n_classes)


def encode_block(y, *, classes):
    """Return the positions of labels in sorted classes; any where classes lack a label."""
    last = len(classes) - 1
    return np.searchsorted(classes, np.asarray(y)).clip(max=last).astype(np.min_scalar_type(last))


def find_moments(x, codes, w, *, share_of_class, first, estimator):
    """Check a block, and return its weight, its mean and its squared deviations."""
    check_lengths(x, codes)
    x, parts = check_block(x, first, estimator), []
    shares = shares_of(codes, w, share_of_class)
    for start in range(0, len(x), TILE_ROWS):
        tile = x[start : start + TILE_ROWS].astype(np.float64)
        share = shares[start : start + TILE_ROWS]
        total = share.sum()
        if total > 0:
            mean = share @ tile / total
            parts.append((total, mean, share @ (tile - mean) ** 2))
    return merge_moments(parts)


def merge_moments(parts):
    """Join the moments of several blocks, which are None where rows have no weight."""
    merged = None
    for part in parts:
        if merged is None or part is None:
            merged = merged or part
            continue
        (total, mean, squares), (more, other, further) = merged, part
        delta, share = other - mean, more / (total + more)
        merged = (
            total + more,
            mean + delta * share,
            squares + further + delta**2 * (total * share),
        )
    return merged


def take_some(x, codes, w, *, share_of_class, start, stride):
    """Return every ``stride``-th of the rows that have a weight, and what these rows weigh."""
    kept = np.arange(len(codes)) if w is None else np.flatnonzero(np.asarray(w) > 0)
    rows = kept[start::stride]
    return to_array(x)[rows].astype(np.float64), shares_of(codes, w, share_of_class)[rows]


def block_loss(x, codes, w, model, *, device):
    """Return the gradient of the loss of a block, without penalty, and behind it the loss."""
    weights, mean, share_of_class, targets = model
    x, shares = to_array(x), shares_of(codes, w, share_of_class)
    device = resolve_device(device)
    total = np.zeros(weights.size + 1)
    with one_thread(is_beside_others()):
        for start in range(0, len(x), TILE_ROWS):
            tile = slice(start, start + TILE_ROWS)
            rows, share = (torch.from_numpy(a).to(device) for a in (x[tile] - mean, shares[tile]))
            features = CenteredRows(rows, torch.from_numpy(mean), torch.ones_like(rows[0]), share)
            chosen = torch.from_numpy(codes[tile].astype(np.int64)).to(device)
            loss, gradient = _head._penalized_loss(
                weights.flatten(), features, chosen, 0.0, targets
            )
            total += np.append(gradient, loss)
    return total


def shares_of(codes, w, share_of_class):
    """Return what the rows of a block weigh in the mean over all rows."""
    shares = share_of_class[codes]
    return shares if w is None else shares * np.asarray(w, dtype=np.float64)


def add(parts):
    """Add arrays in their order."""
    return np.sum(parts, axis=0)
