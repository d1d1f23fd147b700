"""The labels of a comparison, and the training and test rows of each seed."""

from __future__ import annotations

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from imblearn_eos.datasets import split_imbalanced
from imblearn_eos.datasets._imbalance import count_classes


def check_classes(y):
    """Raise ValueError unless y holds labels of at least two classes, and none is missing."""
    classes, _ = count_classes(y)
    check_classification_targets(y)
    if len(classes) < 2:
        raise ValueError(f"y has 1 class ({classes[0]}), but a comparison needs at least 2.")


def make_splits(y, seeds, test_size, imbalance_ratio):
    """Return the positions of the training and of the test rows for each seed.

    All splits are made before any work, so that an unusable class is found at once.
    """
    return [
        split_imbalanced(
            np.arange(len(y)),
            y,
            test_size=test_size,
            imbalance_ratio=imbalance_ratio,
            random_state=seed,
        )[:2]
        for seed in range(seeds)
    ]


def count(y):
    """Return the number of rows of each class, by the class's name."""
    classes, counts = np.unique(y, return_counts=True)
    return {str(label): int(n_rows) for label, n_rows in zip(classes, counts, strict=True)}
