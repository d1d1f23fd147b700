"""Whether embeddings look as if the network had been trained on the training rows."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

# Rows of each part that are searched for; more would cost seconds and change little.
MAX_ROWS = 2000
# "Far below": less than half, and by more than noise.
RATIO = 0.5
N_ERRORS = 3


def find_memorized(fitted):
    """Return a list with a warning if training rows lie nearer to their own class than new rows.

    The leave-one-out error of the nearest neighbor among the training rows is compared with the
    error of the held-out rows, whose neighbors are the same training rows.

    Parameters
    ----------
    fitted : Bunch
        ``fitted`` of a `SeedResult`.

    Returns
    -------
    list of str
    """
    finder = NearestNeighbors(n_neighbors=1).fit(fitted.Z_train)
    labels, random_state = fitted.y_train, np.random.RandomState(0)
    train, test = (
        random_state.permutation(len(y))[:MAX_ROWS] for y in (fitted.y_train, fitted.y_test)
    )
    nearest = finder.kneighbors(fitted.Z_train[train], 2, return_distance=False)
    # A row finds itself, and with duplicates perhaps not first.
    others = np.where(nearest[:, 0] == train, nearest[:, 1], nearest[:, 0])
    of_test = finder.kneighbors(fitted.Z_test[test], return_distance=False)[:, 0]
    errors = [
        _mean_error(labels[others] != labels[train], labels[train]),
        _mean_error(labels[of_test] != fitted.y_test[test], fitted.y_test[test]),
    ]
    (of_train, train_noise), (of_held_out, test_noise) = errors
    gap = of_held_out - of_train
    if of_train > RATIO * of_held_out or gap < N_ERRORS * np.hypot(train_noise, test_noise):
        return []
    return [
        f"The nearest other training row has a wrong label for {of_train:.0%} of the training rows "
        f"but for {of_held_out:.0%} of the held-out rows (means over classes), as if the network "
        "had been trained on the training rows, or they held near-duplicates. If it was, pass "
        "trained_on_rows (on the command line --trained-on-rows); for duplicates pass groups."
    ]


def _mean_error(is_wrong, y):
    """Return the mean over classes of the share of wrong rows, and its standard error."""
    parts = [is_wrong[y == label] for label in np.unique(y)]
    shares, sizes = (np.array(list(map(f, parts)), dtype=float) for f in (np.mean, len))
    # As of one wrong row more, so that no class is without noise.
    safe = (shares * sizes + 1) / (sizes + 2)
    return shares.mean(), np.sqrt(np.sum(safe * (1 - safe) / sizes)) / len(parts)
