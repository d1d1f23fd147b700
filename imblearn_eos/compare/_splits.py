"""The labels of a comparison, and the rows of each seed: training, test and validation."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils.multiclass import check_classification_targets

from imblearn_eos._validation import to_array
from imblearn_eos.datasets import make_imbalanced, split_imbalanced
from imblearn_eos.datasets._imbalance import count_classes

N_FOLDS = 5


@dataclass(frozen=True)
class Split:
    """Positions of the rows of one seed.

    ``folds`` are pairs of the rows to fit to and the rows to validate on: training rows, or all of
    them and a given validation part.
    """

    train: np.ndarray
    test: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)


def check_classes(y):
    """Raise ValueError unless y holds labels of at least two classes, and none is missing."""
    classes, _ = count_classes(y)
    with warnings.catch_warnings():
        # Of many classes; `split_imbalanced` refuses those with too few rows.
        warnings.simplefilter("ignore", UserWarning)
        check_classification_targets(y)
    if len(classes) < 2:
        raise ValueError(
            f"y has 1 class ({classes[0]}), but a comparison needs at least 2. Add rows of another "
            "class, or use other labels (--target)."
        )


def make_splits(
    y,
    seeds,
    *,
    test_size,
    imbalance_ratio,
    groups=None,
    test=None,
    validation=None,
    all_to_train=False,
    validation_folds=N_FOLDS,
):
    """Return the split of each seed.

    All splits are made before any work, so that an unusable class is found at once.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    seeds : int
    test_size, imbalance_ratio, groups, test, validation
        As in `compare_embeddings`.
    all_to_train : bool, default=False
        Without a given test part, have none.
    validation_folds : int, default=5
        How many of five folds are used, if no validation part is given.

    Returns
    -------
    list of Split
    """
    pool, test, validation = _divide(y, test, validation)
    if groups is not None:
        groups = _check_length(groups, y)
    given = {"test": test, "validation": validation}
    _check_parts(y, pool, given)
    if groups is not None:
        _check_groups(groups, given)
    splits = []
    for seed in range(seeds):
        ratio = {"imbalance_ratio": imbalance_ratio, "random_state": seed}
        if len(test) or all_to_train:
            train, part = _make_long_tailed(pool, y, **ratio), test
        elif groups is None:
            train, part = split_imbalanced(pool, y[pool], test_size=test_size, **ratio)[:2]
        else:
            train, part = _split_groups(pool, y, groups, test_size, seed)
            train = _make_long_tailed(train, y, **ratio)
        folds = [(train, validation)] if len(validation) else []
        if validation_folds and not folds:
            folds = _make_folds(train, y, groups, N_FOLDS, seed)[:validation_folds]
        splits.append(Split(train, part, folds))
    return splits


def choose_model_rows(y, imbalance_ratio, test=None, validation=None):
    """Return the positions of the rows that the recommended model is fitted to.

    All rows outside the given parts, made long-tailed as for the first seed. With a given test part
    they are the training rows of that seed.
    """
    pool, _, _ = _divide(y, test, validation)
    return _make_long_tailed(pool, y, imbalance_ratio, random_state=0)


def warn_of_copies(X, splits, parts):
    """Return a sentence for each given part with rows that are identical to training rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
    splits : list of Split
        Of all seeds, which share the parts.
    parts : iterable of {"test", "validation"}

    Returns
    -------
    list of str
    """
    if not parts:
        return []
    # A long tail leaves out other rows for each seed.
    train = np.unique(np.concatenate([split.train for split in splits]))
    known, found = {_digest(X[row]) for row in train}, []
    for part in parts:
        rows = splits[0].test if part == "test" else splits[0].folds[0][1]
        n_copies = sum(_digest(X[row]) in known for row in rows)
        if n_copies:
            found.append(
                f"{n_copies} of the {len(rows)} rows of the {part} part "
                f"{'is' if n_copies == 1 else 'are'} identical to training rows, so the {part} "
                f"scores may be too high: remove {'it' if n_copies == 1 else 'them'} from one of "
                "the parts."
            )
    return found


def _digest(row):
    row = np.asarray(row)
    # The bytes of objects are their addresses.
    content = (row.astype(str) if row.dtype.hasobject else row).tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _divide(y, test, validation):
    """Return the positions of the rows outside the given parts, and of those in each part."""
    parts = [_positions("test", test, y), _positions("validation", validation, y)]
    return np.setdiff1d(np.arange(len(y)), np.concatenate(parts)), *parts


def _positions(name, part, y):
    """Return the positions of the rows of a part, given as positions or as a mask."""
    if part is None:
        return np.empty(0, dtype=np.int64)
    part, cause, found = to_array(part, name), None, f"a {type(part).__name__} of unequal arrays"
    try:
        rows = np.asarray(part)
        found = f"shape {rows.shape} and dtype {rows.dtype}"
        if rows.ndim == 1:
            return np.unique(np.arange(len(y))[rows])
    except (ValueError, IndexError) as error:
        # ValueError for a tuple of X and y, IndexError for all that are no rows of the data.
        cause = error
        found += f" ({error})" if isinstance(error, IndexError) else ""
    raise ValueError(
        f"{name!r} must say which of the {len(y)} rows are the {name} part, as a mask of this "
        f"length or as positions below it, got {found}. Rows kept elsewhere must be appended to "
        "the data first."
    ) from cause


def _check_length(groups, y):
    groups = np.asarray(to_array(groups, "groups"))
    if groups.shape not in ((len(y),), (len(y), 1)):
        raise ValueError(
            f"'groups' must hold the group of each of the {len(y)} rows, got shape {groups.shape}. "
            "Give one group for each row, in the order of the rows."
        )
    return groups.ravel()


def _check_parts(y, train, parts):
    test, validation = parts.values()
    for name, rows in parts.items():
        unknown = np.setdiff1d(y[rows], y[train]).tolist()
        if unknown:
            problem = f"has labels without a training row: {unknown}"
        elif len(np.unique(y[rows])) == 1:
            problem = f"has 1 class ({y[rows][0]})"
        elif len(np.intersect1d(test, validation)):
            problem = "has rows in common with another part"
        else:
            continue
        raise ValueError(
            f"The {name!r} part {problem}. It must hold rows of its own, of at least two classes, "
            "all of which have training rows as well."
        )


def _make_long_tailed(rows, y, imbalance_ratio, random_state):
    if imbalance_ratio is None:
        return rows
    return make_imbalanced(rows, y[rows], ratio=imbalance_ratio, random_state=random_state)[0]


def _check_groups(groups, parts):
    for name, rows in parts.items():
        shared = np.intersect1d(groups[rows], np.delete(groups, rows))
        if len(shared):
            raise ValueError(
                f"{len(shared)} of the 'groups', such as {shared[0]}, have rows in the {name!r} "
                "part and outside it. Move all rows of a group to one part."
            )


def _split_groups(rows, y, groups, test_size, seed):
    """Return training and test rows that share no group, with every class on both sides."""
    n_splits = round(1 / min(test_size, 1 - test_size))
    for train, test in _make_folds(rows, y, groups, n_splits, seed):
        train, test = (test, train) if test_size > 0.5 else (train, test)
        if len(np.unique(y[train])) == len(np.unique(y[test])) == len(np.unique(y[rows])):
            return train, test
    n_groups = {label: len(np.unique(groups[rows][y[rows] == label])) for label in np.unique(y)}
    rarest = min(n_groups, key=n_groups.get)
    raise ValueError(
        "No split into training and test rows that keeps 'groups' apart has every class on both "
        f"sides; class {rarest} has {n_groups[rarest]} groups. Add groups, remove the class, or "
        "give the test part."
    )


def _make_folds(rows, y, groups, n_splits, seed):
    """Return stratified folds of rows, fewer than asked for where the rows are few."""
    _, counts = np.unique(y[rows], return_counts=True)
    n_splits = min(n_splits, counts.max())
    make = StratifiedKFold
    if groups is not None:
        make, groups = StratifiedGroupKFold, groups[rows]
        n_splits = min(n_splits, len(np.unique(groups)))
    if n_splits < 2:
        return []
    folds = []
    with warnings.catch_warnings():
        # A class with fewer rows than folds is absent from some.
        warnings.simplefilter("ignore", UserWarning)
        kfold = make(n_splits, shuffle=True, random_state=seed)
        for fit, held in kfold.split(rows, y[rows], groups):
            fit, held = rows[fit], rows[held]
            # No method can know a class without a row to fit to.
            held = held[np.isin(y[held], y[fit])]
            if len(held) and len(np.unique(y[fit])) > 1:
                folds.append((fit, held))
    # If not all are used, then those in which no class is absent.
    return sorted(folds, key=lambda fold: -len(np.unique(y[fold[0]])))


def count(y, classes):
    """Return the number of rows of each class, by the class's name."""
    return {str(label): int(np.sum(y == label)) for label in classes}
