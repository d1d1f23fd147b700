"""The generalization gap: how far test embeddings lie outside the range of training embeddings.

Ranges widen with the number of rows, so a gap by itself says little about a class or a sampler.
`generalization_gap_report` therefore adds two references that use no learning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_array, check_consistent_length, column_or_1d
from sklearn.utils.random import sample_without_replacement

from imblearn_eos._compat import StrOptions, validate_params
from imblearn_eos._frames import is_dask
from imblearn_eos._validation import (
    check_numbers,
    encode_known_labels,
    label_vector,
    sorted_classes,
    tensor_from_array,
    to_array,
)

# References are means over this many draws, which always use the same seed.
N_DRAWS = 5
# What errors call it.
NAME = "the generalization gap"


@validate_params(
    {"average": [StrOptions({"macro", "raw"}), None]},
    prefer_skip_nested_validation=True,
)
def generalization_gap(
    Z_train: ArrayLike,
    y_train: ArrayLike,
    Z_test: ArrayLike,
    y_test: ArrayLike,
    *,
    average: str | None = "macro",
) -> float | np.ndarray:
    """Compute how far test embeddings reach beyond the range of the training embeddings.

    For each class and feature, the gap is the amount by which the largest test value exceeds the
    largest training value, plus the amount by which the smallest training value exceeds the
    smallest test value [1]_. Each amount is at least 0. A gap of 0 means that the test range lies
    inside the training range.

    Parameters
    ----------
    Z_train : {array-like, torch.Tensor, Dask array or dataframe} of shape (n_train, n_features)
        Embeddings of training rows.

    y_train : {array-like, torch.Tensor, Dask array or series} of shape (n_train,)
        Their labels; those of rows on Dask may be in memory.

    Z_test : {array-like, torch.Tensor, Dask array or dataframe} of shape (n_test, n_features)
        Embeddings of test rows.

    y_test : {array-like, torch.Tensor, Dask array or series} of shape (n_test,)
        Their labels, which must also occur in ``y_train``. The gap of a class without test rows is
        NaN.

    average : {"macro", "raw"} or None, default="macro"
        "macro" returns the mean over the classes that have test rows. None returns the mean over
        features for each class. "raw" returns a value for each class and feature.

    Returns
    -------
    float or ndarray of shape (n_classes,) or (n_classes, n_features)
        Gaps in units of the embeddings. The classes are in sorted order.

    Raises
    ------
    ValueError
        When embeddings are not 2-d, contain NaN or infinity, or differ in their number of
        features, when rows and labels differ in number, when labels are missing, or when a class
        has test rows but no training row.

    See Also
    --------
    generalization_gap_report : The gap before and after over-sampling, with references.

    Notes
    -----
    Ranges widen with the number of rows. Classes with fewer training rows therefore tend to have a
    larger gap, and any added row outside the range narrows the gap, even a mislabeled one. A small
    gap is not a goal in itself. Report the references of :func:`generalization_gap_report` together
    with a gap.

    Rows beyond one machine's memory can come as a Dask array or dataframe (the extra ``dask``).
    They are read once, on the active scheduler or on the synchronous one if none is; the gap is
    that of the same rows in memory.

    References
    ----------
    .. [1] D. Dablain, C. Bellinger, B. Krawczyk, N. Chawla, "Efficient Augmentation for Imbalanced
       Deep Learning", ICDE 2023, :arxiv:`2207.06080`.

    Examples
    --------
    >>> from imblearn_eos.metrics import generalization_gap
    >>> Z_train, y_train = [[0.0, 1.0], [2.0, 3.0], [5.0, 5.0]], ["a", "a", "b"]
    >>> Z_test, y_test = [[2.5, 2.0], [5.0, 4.0]], ["a", "b"]
    >>> generalization_gap(Z_train, y_train, Z_test, y_test)
    0.375
    >>> generalization_gap(Z_train, y_train, Z_test, y_test, average=None)
    array([0.25, 0.5 ])
    """
    classes, train = class_ranges(Z_train, y_train, "train")
    found, ranges = class_ranges(Z_test, y_test, "test", train.shape[2])
    test = np.full(train.shape, np.nan, ranges.dtype)
    test[:, _encode(found, classes)] = ranges
    gaps = _gaps(train, test)
    if average == "raw":
        return gaps
    gaps = gaps.mean(axis=1)
    return gaps if average is None else float(np.nanmean(gaps))


def generalization_gap_report(
    Z_train: ArrayLike,
    y_train: ArrayLike,
    Z_resampled: ArrayLike,
    y_resampled: ArrayLike,
    Z_test: ArrayLike,
    y_test: ArrayLike,
    *,
    y_pred: ArrayLike | None = None,
) -> Bunch:
    """Compute the gap before and after over-sampling, with a reference for each.

    Parameters
    ----------
    Z_train, y_train, Z_test, y_test
        As in :func:`generalization_gap`.

    Z_resampled : {array-like, torch.Tensor} of shape (n_resampled, n_features)
        The training rows after over-sampling.

    y_resampled : {array-like, torch.Tensor} of shape (n_resampled,)
        Their labels.

    y_pred : {array-like, torch.Tensor} of shape (n_test,), default=None
        Predicted labels of the test rows, which separate correctly from wrongly classified rows.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        Arrays of shape (n_classes,), in the order of ``classes``. The gap of a class without such
        rows is NaN.

        classes : sorted labels.
        train_counts, added_counts : training rows, and rows that the sampler added.
        test_counts : Bunch of the numbers of test rows, with the keys of ``before``.
        before : Bunch of the gaps of the training rows: ``all`` for all test rows and, with
        predictions, ``right`` and ``wrong`` for correctly and wrongly classified test rows.
        after : the same for the resampled rows.
        size_matched : reference for ``before``, with the same keys. The gap of the largest class
        after reducing it to as many training and test rows as this class has. It shows the part of
        the gap that the number of rows explains.
        label_noise : reference for ``after``, with the same keys. The gap when random training rows
        of other classes get the label of this class, as many as the sampler added. A sampler is
        informative only if it narrows the gap by more than this.

    Raises
    ------
    ValueError
        As in :func:`generalization_gap`.

    See Also
    --------
    imblearn_eos.plotting.GeneralizationGapDisplay : A plot of this report.

    Notes
    -----
    References are means over 5 draws with a fixed seed, so they do not change between calls.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> from imblearn_eos import EOS
    >>> from imblearn_eos.metrics import generalization_gap_report
    >>> X, y = make_classification(n_samples=2000, weights=[0.95], random_state=0)
    >>> Z, Z_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    >>> Z_resampled, y_resampled = EOS(random_state=0).fit_resample(Z, y)
    >>> report = generalization_gap_report(Z, y, Z_resampled, y_resampled, Z_test, y_test)
    >>> bool(report.after.all[1] < report.before.all[1])  # class 1 is the rare one
    True
    """
    Z_train, y_train = check_rows(Z_train, y_train, "train")
    n_features = Z_train.shape[1]
    Z_resampled, y_resampled = check_rows(Z_resampled, y_resampled, "resampled", n_features)
    Z_test, y_test = check_rows(Z_test, y_test, "test", n_features)
    ranges = TrainingRanges(Z_train, y_train, Z_resampled, y_resampled)
    return ranges.report(Z_test, y_test, y_pred)


class TrainingRanges:
    """The ranges of the training rows and of the draws for the references.

    This is all that a report needs from the training data, and it is much smaller.

    Parameters
    ----------
    Z, Z_resampled : torch.Tensor of shape (n_train, n_features) and (n_resampled, n_features)
        Training embeddings before and after over-sampling. They stay on their device.
    y, y_resampled : ndarray of shape (n_train,) and (n_resampled,)
        Their labels.
    """

    def __init__(
        self, Z: torch.Tensor, y: np.ndarray, Z_resampled: torch.Tensor, y_resampled: np.ndarray
    ) -> None:
        self.classes, codes = np.unique(y, return_inverse=True)
        n_classes = len(self.classes)
        self.counts = np.bincount(codes, minlength=n_classes)
        codes_resampled = _encode(y_resampled, self.classes, "y_resampled")
        counts_resampled = np.bincount(codes_resampled, minlength=n_classes)
        self.added = np.maximum(0, counts_resampled - self.counts)
        self.before = _ranges_by_class(Z, codes, n_classes)
        self.after = _ranges_by_class(Z_resampled, codes_resampled, n_classes)
        self.largest = int(self.counts.argmax())
        rows, rng = np.flatnonzero(codes == self.largest), np.random.RandomState(0)
        self.size_matched = [_draw_ranges(Z, rows, self.counts, rng) for _ in range(N_DRAWS)]
        # A generator of its own, so that size_matched does not depend on what the sampler added.
        rng = np.random.RandomState(0)
        self.label_noise = [self._draw_label_noise(Z, codes, rng) for _ in range(N_DRAWS)]

    def _draw_label_noise(self, Z, codes, rng):
        ranges = self.before.copy()
        for c in np.flatnonzero(self.added):
            others, n_rows = np.flatnonzero(codes != c), self.added[c]
            if len(others) == 0:
                continue
            if n_rows > len(others):
                drawn = rng.randint(len(others), size=n_rows)
            else:
                # Much faster than rng.choice, which permutes all of them.
                drawn = sample_without_replacement(len(others), n_rows, random_state=rng)
            lowest, highest = to_array(_range(Z, others[drawn]))
            ranges[0, c] = np.minimum(ranges[0, c], lowest)
            ranges[1, c] = np.maximum(ranges[1, c], highest)
        return ranges

    def report(self, Z_test: torch.Tensor, y_test: np.ndarray, y_pred: Any = None) -> Bunch:
        """Return what `generalization_gap_report` returns, for validated test rows."""
        codes, n_classes = _encode(y_test, self.classes), len(self.classes)
        parts = {"all": np.arange(len(codes))}
        if y_pred is not None:
            y_pred = _check_labels(y_pred, "y_pred", Z_test)
            _encode(y_pred, self.classes, "y_pred")
            is_right = y_pred == y_test
            parts.update(right=np.flatnonzero(is_right), wrong=np.flatnonzero(~is_right))
        tests = {p: _ranges_by_class(Z_test, codes, n_classes, r) for p, r in parts.items()}
        counts = {p: np.bincount(codes[r], minlength=n_classes) for p, r in parts.items()}

        def by_part(gaps: Callable[[str], np.ndarray]) -> Bunch:
            return Bunch(**{part: gaps(part) for part in parts})

        return Bunch(
            classes=self.classes,
            train_counts=self.counts,
            added_counts=self.added,
            test_counts=Bunch(**counts),
            before=by_part(lambda part: _class_gaps([self.before], [tests[part]])),
            after=by_part(lambda part: _class_gaps([self.after], [tests[part]])),
            size_matched=by_part(lambda part: self._size_matched_gaps(Z_test, codes, counts[part])),
            label_noise=by_part(
                lambda part: _class_gaps(self.label_noise, [tests[part]] * N_DRAWS)
            ),
        )

    def _size_matched_gaps(self, Z_test, codes, counts):
        rng, rows = np.random.RandomState(0), np.flatnonzero(codes == self.largest)
        tests = [_draw_ranges(Z_test, rows, counts, rng) for _ in range(N_DRAWS)]
        return _class_gaps(self.size_matched, tests)


def class_ranges(
    Z: Any, y: Any, part: str, n_features: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted classes, and their minima and maxima of shape (2, n_classes, n_features)."""
    if is_dask(Z):
        from imblearn_eos._dask import _gap

        classes, ranges = _gap.class_ranges(Z, y, part)
        _check_width(ranges.shape[2], n_features, part)
        return classes, ranges
    Z, y = check_rows(Z, y, part, n_features)
    classes, codes = np.unique(y, return_inverse=True)
    return classes, _ranges_by_class(Z, codes, len(classes))


def check_rows(
    Z: Any, y: Any, part: str, n_features: int | None = None
) -> tuple[torch.Tensor, np.ndarray]:
    """Return embeddings as a tensor, on their device if they are one, and labels as an array.

    Errors name them, for example Z_train and y_train.
    """
    name = f"Z_{part}"
    if isinstance(Z, torch.Tensor):
        # The shape, as that of an array; the numbers stay where they are.
        check_array(np.broadcast_to(0.0, Z.shape), ensure_all_finite=False, input_name=name)
        Z = check_numbers(Z, estimator=NAME, name=name)
        Z = Z if Z.dtype == torch.float32 else Z.double()
    else:
        Z = check_array(to_array(Z, name), dtype=[np.float64, np.float32], input_name=name)
        Z = tensor_from_array(Z)
    _check_width(Z.shape[1], n_features, part)
    return Z, _check_labels(y, f"y_{part}", Z)


def _check_width(found, n_features, part):
    if n_features not in (None, found):
        raise ValueError(
            f"Z_{part} has {found} features, but Z_train has {n_features}. Embed all rows with the "
            "same network."
        )


def _check_labels(y, name, Z):
    y = column_or_1d(label_vector(y))
    sorted_classes(y, name)
    check_consistent_length(Z, y)
    # Finds NaN, also among labels that are objects.
    return check_array(y, ensure_2d=False, dtype=None, input_name=name)


def _encode(y, classes, name="y_test"):
    return encode_known_labels(y, classes, name, "y_train")


def _ranges_by_class(Z, codes, n_classes, rows=None):
    """Return minima and maxima (2, n_classes, n_features); NaN for classes without rows."""
    rows = np.arange(len(codes)) if rows is None else rows
    codes = codes[rows]
    ends = np.cumsum(np.bincount(codes, minlength=n_classes))
    return _ranges(Z, np.split(rows[np.argsort(codes, kind="stable")], ends[:-1]))


def _draw_ranges(Z, rows, counts, rng):
    """Return the ranges of random ``rows``, for each class as many as it has."""
    n_drawn = np.minimum(counts, len(rows))
    return _ranges(Z, (rng.choice(rows, n, replace=False) if n else rows[:0] for n in n_drawn))


def _ranges(Z, parts):
    """Return minima and maxima (2, n_parts, n_features) of parts of the rows, NaN for none."""
    # One part at a time, because sorting all rows at once would copy all of them.
    nothing = Z.new_full((2, Z.shape[1]), np.nan)
    ranges = [_range(Z, rows) if len(rows) else nothing for rows in parts]
    return to_array(torch.stack(ranges, dim=1))


def _range(Z, rows):
    some = Z[torch.from_numpy(rows).to(Z.device)]
    return torch.stack([some.amin(dim=0), some.amax(dim=0)])


def _gaps(train, test):
    (train_min, train_max), (test_min, test_max) = train.astype(np.float64), test
    return np.maximum(0, test_max - train_max) + np.maximum(0, train_min - test_min)


def _class_gaps(trains, tests):
    """Return the gap of each class, averaged over features and draws."""
    gaps = [_gaps(train, test).mean(axis=1) for train, test in zip(trains, tests, strict=True)]
    return np.mean(gaps, axis=0)
