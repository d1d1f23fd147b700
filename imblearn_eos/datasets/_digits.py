"""Real images that need no download."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.datasets import load_digits

from imblearn_eos._compat import Interval, validate_params
from imblearn_eos.datasets._imbalance import split_imbalanced


def load_digit_images() -> tuple[np.ndarray, np.ndarray]:
    """Load scikit-learn's 1,797 handwritten digits as images.

    Returns
    -------
    X : ndarray of shape (1797, 1, 8, 8), dtype float32
        Grey levels from 0 to 1.
    y : ndarray of shape (1797,), dtype int64
        The digits, 0 to 9, about 180 rows each.

    Examples
    --------
    >>> from imblearn_eos.datasets import load_digit_images
    >>> X, y = load_digit_images()
    >>> X.shape, X.dtype, float(X.max())
    ((1797, 1, 8, 8), dtype('float32'), 1.0)
    """
    digits = load_digits()
    return (digits.images[:, np.newaxis] / 16).astype(np.float32), digits.target.astype(np.int64)


@validate_params(
    {"ratio": [Interval(Real, 1, None, closed="left")]}, prefer_skip_nested_validation=False
)
def load_digits_long_tailed(
    *,
    ratio: float = 20,
    test_size: float = 0.3,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load the digits with a long-tailed training part and a balanced test part.

    Parameters
    ----------
    ratio : float, default=20
        How many times more training rows digit 0 has than digit 9.
    test_size : float, default=0.3
        Share of the 1,797 rows in the test part.
    random_state : int, RandomState instance or None, default=None
        Chooses the rows.

    Returns
    -------
    X_train, X_test, y_train, y_test
        As from `load_digit_images`, split by `split_imbalanced`.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn_eos.datasets import load_digits_long_tailed
    >>> X_train, X_test, y_train, y_test = load_digits_long_tailed(random_state=0)
    >>> np.bincount(y_train).tolist()
    [125, 89, 64, 46, 33, 23, 16, 12, 8, 6]
    """
    X, y = load_digit_images()
    return split_imbalanced(
        X, y, test_size=test_size, imbalance_ratio=ratio, random_state=random_state
    )
