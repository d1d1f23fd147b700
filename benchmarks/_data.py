"""Rows to measure on: real embeddings, and synthetic ones."""

from pathlib import Path

import numpy as np


def gaussian(n_rows, n_features, seed=0):
    """Draw noise without any structure: the worst case for a search that uses structure."""
    return np.random.RandomState(seed).standard_normal((n_rows, n_features)).astype(np.float32)


def clustered(n_rows, n_features, seed=0, n_clusters=50):
    """Draw clusters whose spread falls from direction to direction, as in embeddings."""
    random_state = np.random.RandomState(seed)
    spread = 1 / np.sqrt(1 + np.arange(n_features))
    centers = random_state.standard_normal((n_clusters, n_features)) * 3 * spread
    rows = centers[random_state.randint(n_clusters, size=n_rows)]
    return (rows + random_state.standard_normal(rows.shape) * spread).astype(np.float32)


def embeddings(path, seed=0):
    """Load ``Z`` or ``Z_train`` of an .npz file, or of all in a folder, in random order."""
    path, parts = Path(path), []
    for file in sorted(path.glob("*.npz")) if path.is_dir() else [path]:
        with np.load(file, allow_pickle=False) as arrays:
            parts.append(arrays["Z" if "Z" in arrays.files else "Z_train"].astype(np.float32))
    rows = np.concatenate(parts)
    return rows[np.random.RandomState(seed).permutation(len(rows))]


def labeled(path):
    """Load the labeled embeddings in an .npz file."""
    with np.load(path, allow_pickle=False) as arrays:
        suffix = "_train" if "Z_train" in arrays.files else ""
        return arrays[f"Z{suffix}"].astype(np.float32), arrays[f"y{suffix}"]


def tail_counts(n_rows):
    """Return the sizes of ten classes from 100 to 1, each large enough for every sampler."""
    share = 0.01 ** (np.arange(10) / 9)
    counts = np.maximum(12, n_rows * share / share.sum()).astype(int)
    counts[0] += n_rows - counts.sum()
    return counts


def long_tailed(n_rows, n_features=64, seed=0):
    """Draw a long tail of overlapping clusters."""
    random_state = np.random.RandomState(seed)
    y = random_state.permutation(np.repeat(np.arange(10), tail_counts(n_rows)))
    spread = 1 / np.sqrt(1 + np.arange(n_features))
    centers = random_state.standard_normal((10, n_features)) * 0.5 * spread
    rows = centers[y] + random_state.standard_normal((n_rows, n_features)) * spread
    return rows.astype(np.float32), y


def long_tail_of(Z, y, n_rows, seed=0):
    """Draw a long tail from labeled rows of ten classes, or return None if a class has too few."""
    counts = tail_counts(n_rows)
    if (np.bincount(y, minlength=10) < counts).any():
        return None
    order = np.random.RandomState(seed).permutation(len(y))
    chosen = np.concatenate([order[y[order] == c][: counts[c]] for c in range(10)])
    return Z[chosen], y[chosen]
