"""Images from an .npz file."""

from __future__ import annotations

import os

import numpy as np


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
    with open(path, "rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
            X, y = arrays["X"], arrays["y"]
        # A damaged archive raises nearly anything.
        except Exception as error:
            raise ValueError(
                f"{path} cannot be read ({type(error).__name__}: {error}). It must be an .npz file "
                "with the arrays X and y of numbers or strings, as written by "
                "numpy.savez(path, X=X, y=y)."
            ) from error
    is_image, is_label = X.dtype.kind in "buif", y.dtype.kind in "buifU"
    if not (is_image and is_label) or X.ndim not in (3, 4) or y.shape != X.shape[:1]:
        raise ValueError(
            f"{path} holds X of shape {X.shape} and dtype {X.dtype}, and y of shape {y.shape} and "
            f"dtype {y.dtype}. X must be numbers of shape (n, channels, height, width) or "
            "(n, height, width), and y numbers or strings (not bytes) of shape (n,)."
        )
    scale = np.iinfo(X.dtype).max if X.dtype in (np.uint8, np.uint16) else 1
    with np.errstate(over="ignore"):
        X = X.astype(np.float32)
    X /= scale
    if X.ndim == 3:
        X = X[:, np.newaxis]
    is_finite = np.isfinite(X).all(axis=(1, 2, 3))
    if y.dtype.kind == "f":
        is_finite &= np.isfinite(y)
    if not is_finite.all():
        raise ValueError(
            f"{path} has NaN, infinity or a value beyond float32 in {np.sum(~is_finite)} of "
            f"{len(X)} rows of X and y; the first is row {is_finite.argmin()}."
        )
    return X, y
