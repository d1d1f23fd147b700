"""How far test embeddings lie outside the range of training embeddings, and calibration.

A generalization gap depends on the number of rows, since the more there are the wider is their
range. So `generalization_gap_report` gives two references beside it, that know nothing of what a
class or a sampler is like.
"""

from numbers import Integral

import numpy as np
from sklearn.utils import Bunch, check_array, check_consistent_length, column_or_1d
from sklearn.utils.random import sample_without_replacement

from imblearn_eos._compat import Interval, StrOptions, check_sample_weight, validate_params
from imblearn_eos._validation import label_vector, sorted_classes, to_array

__all__ = ["expected_calibration_error", "generalization_gap", "generalization_gap_report"]

# References are means over this many draws, which always come from the same seed.
N_DRAWS = 5


@validate_params(
    {"average": [StrOptions({"macro", "raw"}), None]},
    prefer_skip_nested_validation=True,
)
def generalization_gap(Z_train, y_train, Z_test, y_test, *, average="macro"):
    """Measure how far test embeddings reach beyond the range of the training embeddings.

    For each class and feature: by how much the largest test value exceeds the largest training
    value, plus by how much the smallest training value exceeds the smallest test value, each at
    least 0. A gap of 0 means that the test range lies inside the training range.

    Parameters
    ----------
    Z_train : {array-like, torch.Tensor} of shape (n_train, n_features)
        Embeddings of training rows.

    y_train : {array-like, torch.Tensor} of shape (n_train,)
        Their labels.

    Z_test : {array-like, torch.Tensor} of shape (n_test, n_features)
        Embeddings of test rows.

    y_test : {array-like, torch.Tensor} of shape (n_test,)
        Their labels, each of which must be in ``y_train`` too. Classes without test rows have no
        gap: theirs is NaN.

    average : {"macro", "raw"} or None, default="macro"
        What to return. "macro" is the mean over the classes that have test rows; None gives a
        value for each class, the mean over features; "raw" does not average.

    Returns
    -------
    float or ndarray of shape (n_classes,) or (n_classes, n_features)
        Gaps in units of the embeddings. Classes are those of ``y_train`` in sorted order.

    Raises
    ------
    ValueError
        When embeddings are not 2-d, contain NaN or infinity, or differ in their number of
        features, when rows and labels differ in number, or when a class has test rows but no
        training row.

    See Also
    --------
    generalization_gap_report : The gap before and after over-sampling, with references.

    Notes
    -----
    Ranges widen with the number of rows, so classes with fewer training rows tend to a larger gap
    whatever else is true of them, and rows outside of the range narrow it, even mislabelled ones.
    A small gap is not a goal in itself. Where you show a gap, show the references of
    :func:`generalization_gap_report` beside it.

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
    Z_train, y_train = check_rows(Z_train, y_train, "train")
    Z_test, y_test = check_rows(Z_test, y_test, "test", n_features=Z_train.shape[1])
    classes, codes = np.unique(y_train, return_inverse=True)
    ranges = _ranges_by_class(Z_train, codes, len(classes))
    gaps = _gaps(ranges, _ranges_by_class(Z_test, _encode(y_test, classes), len(classes)))
    if average == "raw":
        return gaps
    gaps = gaps.mean(axis=1)
    return gaps if average is None else float(np.nanmean(gaps))


def generalization_gap_report(
    Z_train, y_train, Z_resampled, y_resampled, Z_test, y_test, *, y_pred=None
):
    """Measure the gap before and after over-sampling, with references for both.

    Parameters
    ----------
    Z_train : {array-like, torch.Tensor} of shape (n_train, n_features)
        Embeddings of the training rows.

    y_train : {array-like, torch.Tensor} of shape (n_train,)
        Their labels.

    Z_resampled : {array-like, torch.Tensor} of shape (n_resampled, n_features)
        What a sampler made of them.

    y_resampled : {array-like, torch.Tensor} of shape (n_resampled,)
        Labels of those rows.

    Z_test : {array-like, torch.Tensor} of shape (n_test, n_features)
        Embeddings of test rows.

    y_test : {array-like, torch.Tensor} of shape (n_test,)
        Their labels, each of which must be in ``y_train`` too.

    y_pred : {array-like, torch.Tensor} of shape (n_test,), default=None
        Predicted labels of the test rows, by which right and wrong rows are told apart.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        Arrays of shape (n_classes,), in the order of ``classes``; a gap is NaN for a class that has
        no such rows.

        classes : labels, sorted.
        train_counts, added_counts : training rows, and rows that the sampler added.
        test_counts : Bunch of the numbers of test rows, with keys as in ``before``.
        before : Bunch of the gaps of the training rows: ``all`` for all test rows and, with
        predictions, ``right`` and ``wrong`` for those classified so.
        after : the same for the resampled rows.
        size_matched : reference for ``before``, with the same keys. The gap of the largest class
        when it has as few training and test rows as this class (at most as many as it has). What
        this explains is the number of rows and nothing else.
        label_noise : reference for ``after``, with the same keys. The gap when, instead of the
        sampler's rows, as many random training rows of other classes take the class's label. A
        sampler that narrows the gap no more than this has found nothing.

    Raises
    ------
    ValueError
        As in :func:`generalization_gap`.

    See Also
    --------
    imblearn_eos.plotting.GeneralizationGapDisplay : The same as a picture.

    Notes
    -----
    References are means over 5 draws from a fixed seed, so they are the same each time.

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
    """The ranges of training rows, and those that the references need.

    They are all that a gap needs to know of the training data, and much smaller.

    Parameters
    ----------
    Z, y : ndarray of shape (n_train, n_features) and (n_train,)
        Training embeddings and their labels.
    Z_resampled, y_resampled : ndarray of shape (n_resampled, n_features) and (n_resampled,)
        The same after over-sampling.
    """

    def __init__(self, Z, y, Z_resampled, y_resampled):
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
        # Draws of its own, so that the reference above is the same whatever the sampler added.
        rng = np.random.RandomState(0)
        self.label_noise = [self._draw_label_noise(Z, codes, rng) for _ in range(N_DRAWS)]

    def _draw_label_noise(self, Z, codes, rng):
        ranges = self.before.copy()
        for c in np.flatnonzero(self.added):
            others, n_rows = np.flatnonzero(codes != c), self.added[c]
            if len(others) == 0:
                continue
            if n_rows > len(others):
                drawn = Z[others[rng.randint(len(others), size=n_rows)]]
            else:
                # Much faster than rng.choice, which permutes all of them.
                drawn = Z[others[sample_without_replacement(len(others), n_rows, random_state=rng)]]
            ranges[0, c] = np.minimum(ranges[0, c], drawn.min(axis=0))
            ranges[1, c] = np.maximum(ranges[1, c], drawn.max(axis=0))
        return ranges

    def report(self, Z_test, y_test, y_pred=None):
        """Give what `generalization_gap_report` returns, for validated test rows."""
        codes, n_classes = _encode(y_test, self.classes), len(self.classes)
        parts = {"all": np.full(len(codes), True)}
        if y_pred is not None:
            y_pred = _check_labels(y_pred, "y_pred", Z_test)
            _encode(y_pred, self.classes, "y_pred")
            right = y_pred == y_test
            parts.update(right=right, wrong=~right)
        tests = {
            name: _ranges_by_class(Z_test[rows], codes[rows], n_classes)
            for name, rows in parts.items()
        }
        counts = {
            name: np.bincount(codes[rows], minlength=n_classes) for name, rows in parts.items()
        }
        return Bunch(
            classes=self.classes,
            train_counts=self.counts,
            added_counts=self.added,
            test_counts=Bunch(**counts),
            before=Bunch(**{name: _class_gaps([self.before], [r]) for name, r in tests.items()}),
            after=Bunch(**{name: _class_gaps([self.after], [r]) for name, r in tests.items()}),
            size_matched=Bunch(
                **{
                    name: self._size_matched_gaps(Z_test, codes, n_rows)
                    for name, n_rows in counts.items()
                }
            ),
            label_noise=Bunch(
                **{
                    name: _class_gaps(self.label_noise, [test] * N_DRAWS)
                    for name, test in tests.items()
                }
            ),
        )

    def _size_matched_gaps(self, Z_test, codes, counts):
        rng, rows = np.random.RandomState(0), np.flatnonzero(codes == self.largest)
        tests = [_draw_ranges(Z_test, rows, counts, rng) for _ in range(N_DRAWS)]
        return _class_gaps(self.size_matched, tests)


def check_rows(Z, y, part, n_features=None):
    """Validate embeddings and labels; errors name them, as in Z_train and y_train."""
    name, Z = f"Z_{part}", to_array(Z)
    if np.ndim(Z) != 2:
        raise ValueError(
            f"{name} must hold one embedding per row, of shape (n_samples, n_features). Got shape "
            f"{np.shape(Z)}."
        )
    Z = check_array(Z, dtype=[np.float64, np.float32], input_name=name)
    if n_features not in (None, Z.shape[1]):
        raise ValueError(
            f"{name} has {Z.shape[1]} features, but Z_train has {n_features}. Embed all rows with "
            "the same network."
        )
    return Z, _check_labels(y, f"y_{part}", Z)


def _check_labels(y, name, Z):
    if y is None:
        raise ValueError(f"{name} is None. Pass the label of each row of embeddings.")
    y = column_or_1d(label_vector(y))
    sorted_classes(y, name)
    missing = y != y  # NaN is the only label that differs from itself.
    if np.any(missing):
        raise ValueError(f"{name} contains NaN in {np.sum(missing)} rows. Drop rows without label.")
    if len(y) != len(Z):
        raise ValueError(f"{name} has {len(y)} labels for {len(Z)} rows of embeddings.")
    return y


def _encode(y, classes, name="y_test"):
    unknown = ~np.isin(y, classes)
    if unknown.any():
        raise ValueError(
            f"{name} has rows of the classes {np.unique(y[unknown]).tolist()}, of which y_train "
            f"has none; its classes are {classes[:10].tolist()}. Drop those rows, or give labels "
            "of the same kind."
        )
    return np.searchsorted(classes, y)


def _ranges_by_class(Z, codes, n_classes):
    """Give minima and maxima, of shape (2, n_classes, n_features); NaN for classes without rows."""
    ranges = np.full((2, n_classes, Z.shape[1]), np.nan, dtype=Z.dtype)
    ends = np.cumsum(np.bincount(codes, minlength=n_classes))
    # A class at a time: sorted as a whole, the rows would be copied as a whole.
    for c, rows in enumerate(np.split(np.argsort(codes, kind="stable"), ends[:-1])):
        if len(rows):
            of_class = Z[rows]
            ranges[:, c] = of_class.min(axis=0), of_class.max(axis=0)
    return ranges


def _draw_ranges(Z, rows, counts, rng):
    """Give the ranges of as many of the ``rows`` as each class has, drawn anew for each class."""
    ranges = np.full((2, len(counts), Z.shape[1]), np.nan, dtype=Z.dtype)
    for c, n_rows in enumerate(np.minimum(counts, len(rows))):
        if n_rows:
            drawn = Z[rng.choice(rows, n_rows, replace=False)]
            ranges[:, c] = drawn.min(axis=0), drawn.max(axis=0)
    return ranges


def _gaps(train, test):
    (train_min, train_max), (test_min, test_max) = train.astype(np.float64), test
    return np.maximum(0, test_max - train_max) + np.maximum(0, train_min - test_min)


def _class_gaps(trains, tests):
    """Give the gap of each class, its mean over features and draws."""
    gaps = [_gaps(train, test).mean(axis=1) for train, test in zip(trains, tests, strict=True)]
    return np.mean(gaps, axis=0)


@validate_params(
    {
        "y_proba": ["array-like"],
        "labels": ["array-like", None],
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "sample_weight": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def expected_calibration_error(y_true, y_proba, *, labels=None, n_bins=15, sample_weight=None):
    """Measure by how much the confidence of predictions differs from their accuracy.

    Rows are put into bins by their confidence, the probability of the most probable class. The
    error is the mean over bins, weighted by their rows, of the difference between mean confidence
    and the share of rows whose most probable class is theirs [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.

    y_proba : array-like of shape (n_samples, n_classes)
        Probabilities, a column for each class in sorted order.

    labels : array-like of shape (n_classes,), default=None
        The classes. None takes those of ``y_true``, which must then have them all.

    n_bins : int, default=15
        Bins of equal width between 0 and 1.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. None weighs all the same.

    Returns
    -------
    float
        Between 0, for perfect calibration, and 1.

    Raises
    ------
    ValueError
        When the columns of ``y_proba`` are not one for each class or not probabilities, or
        ``y_true`` has other classes.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks",
       ICML 2017, :arxiv:`1706.04599`.

    Examples
    --------
    >>> from imblearn_eos.metrics import expected_calibration_error
    >>> expected_calibration_error([0, 1, 1, 1], [[0.5, 0.5]] * 2 + [[0.25, 0.75]] * 2)
    0.125
    """
    y_true = column_or_1d(label_vector(y_true))
    classes = sorted_classes(y_true, "y_true")
    y_proba = check_array(to_array(y_proba), dtype=np.float64, input_name="y_proba")
    check_consistent_length(y_true, y_proba)
    sorted_labels = classes if labels is None else sorted_classes(np.asarray(labels), "labels")
    if labels is not None and not np.array_equal(labels, sorted_labels):
        raise ValueError(f"labels must be sorted, as the columns of y_proba are. Got {labels!r}.")
    labels = sorted_labels
    if y_proba.shape[1] != len(labels):
        raise ValueError(
            f"y_proba has {y_proba.shape[1]} columns for {len(labels)} classes; pass labels when "
            "y_true lacks some."
        )
    if not np.isin(y_true, labels).all():
        unknown = np.setdiff1d(y_true, labels).tolist()
        raise ValueError(f"y_true has the classes {unknown}, which are not among labels.")
    if y_proba.min() < 0 or not np.allclose(y_proba.sum(axis=1), 1, atol=1e-3):
        raise ValueError("y_proba must hold probabilities: none below 0, the sum of a row 1.")
    weight = check_sample_weight(sample_weight, y_proba)
    if weight.min() < 0 or weight.sum() == 0:
        raise ValueError("sample_weight must not be negative, and some must be above 0.")
    confidence = y_proba.max(axis=1)
    surplus = confidence - (labels[y_proba.argmax(axis=1)] == y_true)
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    # Only bins that have rows.
    bins = np.unique(bins, return_inverse=True)[1]
    return float(np.abs(np.bincount(bins, weights=weight * surplus)).sum() / weight.sum())
