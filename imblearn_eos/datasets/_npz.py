"""Images from an .npz file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from imblearn_eos.datasets._arrays import read_npz
from imblearn_eos.datasets._columns import errors_named


def load_npz(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Load images and labels from an ``.npz`` file, as written by `numpy.savez`.

    Parameters
    ----------
    path : str or path-like
        A file with the arrays ``X``, of shape (n_samples, channels, height, width), or (n_samples,
        height, width) for grey images, and ``y``, of shape (n_samples,). Nothing is unpickled,
        because that could run code.

    Returns
    -------
    X : ndarray of shape (n_samples, channels, height, width), dtype float32
        Unsigned integers of 8 and 16 bits are scaled to between 0 and 1; other numbers are only
        converted.
    y : ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is broken, or does not hold such arrays of finite numbers.

    See Also
    --------
    load_embeddings : Of a two-dimensional ``X``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from imblearn_eos.datasets import load_npz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "images.npz")
    ...     np.savez(path, X=np.full((4, 8, 8), 255, dtype=np.uint8), y=[0, 0, 1, 1])
    ...     X, y = load_npz(path)
    >>> X.shape, X.dtype, float(X.max())
    ((4, 1, 8, 8), dtype('float32'), 1.0)
    """
    with errors_named(path, "an .npz file with the arrays X and y of numbers or strings"):
        data = read_npz(Path(path), embedding="X", target="y")
    if data.kind != "images":
        raise ValueError(
            f"{path} holds X of shape {data.X.shape}. Images are of shape (n, channels, height, "
            "width) or (n, height, width); read embeddings with load_embeddings."
        )
    return data.X, data.y
