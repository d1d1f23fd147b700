"""Rows to measure on: real embeddings, and synthetic ones."""

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


def embeddings(path, n_rows, seed=0):
    """Load a random subset of the embeddings ``Z`` or ``Z_train`` in an .npz file."""
    with np.load(path, allow_pickle=False) as arrays:
        rows = arrays["Z" if "Z" in arrays.files else "Z_train"].astype(np.float32)
    if n_rows > len(rows):
        return None
    return rows[np.random.RandomState(seed).permutation(len(rows))[:n_rows]]


def long_tailed(path, n_rows=None, seed=0):
    """Load labeled rows of an .npz file, or draw a long tail of overlapping clusters."""
    if n_rows is None:
        with np.load(path, allow_pickle=False) as arrays:
            suffix = "_train" if "Z_train" in arrays.files else ""
            return arrays[f"Z{suffix}"].astype(np.float32), arrays[f"y{suffix}"]
    random_state = np.random.RandomState(seed)
    share = 0.01 ** (np.arange(10) / 9)
    y = random_state.choice(10, size=n_rows, p=share / share.sum())
    spread = 1 / np.sqrt(1 + np.arange(64))
    centers = random_state.standard_normal((10, 64)) * 0.5 * spread
    rows = centers[y] + random_state.standard_normal((n_rows, 64)) * spread
    return rows.astype(np.float32), y
