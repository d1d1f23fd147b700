"""Make data long-tailed or step-imbalanced, and split them with an unchanged test part."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from imblearn.under_sampling import RandomUnderSampler
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d

from imblearn_eos._compat import Interval, StrOptions, safe_indexing, validate_params
from imblearn_eos._validation import sorted_classes
from imblearn_eos.datasets._features import doubt_classes


@validate_params(
    {
        "n_max": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "ratio": [Interval(Real, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def long_tail_counts(n_max: int, n_classes: int, ratio: float) -> np.ndarray:
    """Return the class sizes of a long tail, which decay exponentially from the first to the last.

    Class ``c`` has ``int(n_max * ratio ** (-c / (n_classes - 1)))`` rows, the profile of CIFAR-LT
    [1]_.

    Parameters
    ----------
    n_max : int
        Rows of the first, largest class.
    n_classes : int
        Number of classes, at least 2.
    ratio : float
        How many times larger the first class is than the last, at least 1.

    Returns
    -------
    ndarray of shape (n_classes,), dtype int64
        Rows per class, in decreasing order.

    References
    ----------
    .. [1] Cui, Jia, Lin, Song, Belongie, "Class-Balanced Loss Based on Effective Number of
       Samples", CVPR 2019.

    Examples
    --------
    >>> from imblearn_eos.datasets import long_tail_counts
    >>> long_tail_counts(5000, 10, ratio=100).tolist()
    [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    return _whole(n_max * _shares("exponential", n_classes, ratio))


@validate_params(
    {
        "X": "no_validation",
        "y": ["array-like"],
        "ratio": [Interval(Real, 1, None, closed="left")],
        "kind": [StrOptions({"exponential", "step"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_imbalanced(
    X: Any,
    y: ArrayLike,
    *,
    ratio: float = 100,
    kind: str = "exponential",
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Any, Any]:
    """Drop rows at random so that the classes become imbalanced.

    The first class in sorted order becomes the largest. As many rows are kept as the data allow for
    this profile.

    Parameters
    ----------
    X : array-like, dataframe or tensor of shape (n_samples, ...)
        The data, of any number of dimensions.
    y : array-like of shape (n_samples,)
        The labels.
    ratio : float, default=100
        How many times larger the largest class becomes than the smallest.
    kind : {"exponential", "step"}, default="exponential"
        "exponential" is a long tail (see `long_tail_counts`); with "step", the first half of the
        classes (rounded up) is ``ratio`` times as large as the others.
    random_state : int, RandomState instance or None, default=None
        Chooses the rows.

    Returns
    -------
    X_imbalanced, y_imbalanced
        The kept rows, in their original order and containers.

    Raises
    ------
    ValueError
        When a class would be left without a row, there is only one class, or labels are missing.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn_eos.datasets import make_imbalanced
    >>> X, y = np.zeros((300, 1, 8, 8)), np.repeat(["cat", "dog", "fox"], 100)
    >>> X, y = make_imbalanced(X, y, ratio=25, random_state=0)
    >>> np.unique(y, return_counts=True)[1].tolist()
    [100, 20, 4]
    """
    check_consistent_length(X, y)
    given, y = y, column_or_1d(y)
    classes, available = count_classes(y)
    shares = _shares(kind, len(classes), ratio)
    counts = _whole(np.min(available / shares) * shares)
    if counts.min() == 0:
        raise ValueError(
            f"An imbalance ratio of {ratio:g} leaves no row of the smallest class: the largest has "
            f"{counts.max()} rows (to train on, after any split). Use a ratio of at most "
            f"{counts.max()}, or more data."
        )
    sampler = RandomUnderSampler(
        sampling_strategy=dict(zip(classes, counts, strict=True)), random_state=random_state
    )
    sampler.fit_resample(np.arange(len(y)).reshape(-1, 1), y)
    kept = np.sort(sampler.sample_indices_)
    return safe_indexing(X, kept), safe_indexing(given, kept)


def count_classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and the number of rows of each; refuse missing labels."""
    classes, counts = sorted_classes(y, return_counts=True)
    # NaN and NaT equal nothing, so that no row would be found to be of that class.
    is_missing = classes != classes
    if is_missing.any():
        raise ValueError(
            f"y has missing labels ({classes[is_missing][0]}) in {counts[is_missing].sum()} of "
            f"{len(y)} rows. Drop those rows."
        )
    return classes, counts


def _shares(kind, n_classes, ratio):
    position = np.arange(n_classes) / max(n_classes - 1, 1)
    if kind == "step":
        position = (np.arange(n_classes) >= math.ceil(n_classes / 2)).astype(float)
    return (1 / ratio) ** position


def _whole(sizes):
    # 5000 * 0.01 may come out as 49.99999: rounding errors must not cost a row.
    return np.floor(sizes * (1 + 1e-12)).astype(np.int64)


@validate_params(
    {
        "X": "no_validation",
        "y": ["array-like"],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "imbalance_ratio": [Interval(Real, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def split_imbalanced(
    X: Any,
    y: ArrayLike,
    *,
    test_size: float = 0.3,
    imbalance_ratio: float | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Split data into a training part, optionally made long-tailed, and an unchanged test part.

    Unlike a stratified `sklearn.model_selection.train_test_split`, every class, however rare, has
    a row on both sides.

    Parameters
    ----------
    X : array-like, dataframe or tensor of shape (n_samples, ...)
        The data, of any number of dimensions.
    y : array-like of shape (n_samples,)
        The labels.
    test_size : float, default=0.3
        Share of each class's rows that goes to the test part, rounded, but never none or all.
    imbalance_ratio : float or None, default=None
        Make the training part long-tailed by this ratio (see `make_imbalanced`). None leaves it
        unchanged.
    random_state : int, RandomState instance or None, default=None
        Chooses the rows.

    Returns
    -------
    X_train, X_test, y_train, y_test
        As from `sklearn.model_selection.train_test_split`, rows in their original order.

    Raises
    ------
    ValueError
        When a class has fewer than 2 rows, the training part is too small for the ratio, or labels
        are missing.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn_eos.datasets import split_imbalanced
    >>> X, y = np.zeros((102, 1, 8, 8)), np.repeat([0, 1], [100, 2])
    >>> _, _, y_train, y_test = split_imbalanced(X, y, random_state=0)
    >>> np.bincount(y_train).tolist(), np.bincount(y_test).tolist()
    ([70, 1], [30, 1])
    """
    check_consistent_length(X, y)
    given, y = y, column_or_1d(y)
    classes, counts = count_classes(y)
    if counts.min() < 2:
        doubt = doubt_classes(y)
        hint = f" y has {doubt}: if these are not classes, use others (--target)." if doubt else ""
        raise ValueError(
            f"Class {classes[counts.argmin()]!s} has 1 row; every class needs at least 2, one to "
            f"train on and one to test on. Add rows, or remove the class.{hint}"
        )
    random_state = check_random_state(random_state)
    in_test = np.zeros(len(y), dtype=bool)
    for label, count in zip(classes, counts, strict=True):
        n_test = np.clip(round(count * test_size), 1, count - 1)
        in_test[random_state.permutation(np.flatnonzero(y == label))[:n_test]] = True
    train, test = np.flatnonzero(~in_test), np.flatnonzero(in_test)
    X_train, y_train = safe_indexing(X, train), safe_indexing(given, train)
    if imbalance_ratio is not None:
        X_train, y_train = make_imbalanced(
            X_train, y_train, ratio=imbalance_ratio, random_state=random_state
        )
    return X_train, safe_indexing(X, test), y_train, safe_indexing(given, test)
