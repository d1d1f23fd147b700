"""From a pandas DataFrame to numbers and back, column by column."""

import numpy as np
import pandas as pd
from pandas.api import types

from imblearn_eos._interpolation import interpolate


def frame_to_array(X, *, estimator):
    """Read the columns of a DataFrame as one float64 array, or CSR matrix if all are sparse.

    Parameters
    ----------
    X : pandas.DataFrame of shape (n_samples, n_features)
        Integer and float columns, nullable or not.
    estimator : str
        Named in errors.

    Returns
    -------
    ndarray or csr_matrix of shape (n_samples, n_features), dtype=float64
        Missing values are NaN.

    Raises
    ------
    ValueError
        If a column holds anything other than integers and floats.
    """
    check_columns(X, estimator=estimator)
    if len(X.columns) and all(_is_sparse_around_zero(dtype) for dtype in X.dtypes):
        return X.sparse.to_coo().tocsr().astype(np.float64)
    return X.to_numpy(dtype=np.float64, na_value=np.nan)


def check_columns(X, *, estimator):
    """Raise ValueError unless the columns of a DataFrame hold integers or floats."""
    for position, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
        if (
            not types.is_numeric_dtype(dtype)
            or types.is_bool_dtype(dtype)
            or types.is_complex_dtype(dtype)
        ):
            raise ValueError(
                f"X has column {name!r} (number {position}) of dtype {dtype}, but {estimator} "
                "makes rows between others and needs integer or float columns. Convert the column "
                "to numbers (astype(float), or an encoding) or drop it."
            )


def append_rows(X, rows, segments):
    """Put synthetic rows below a DataFrame, each column in its own dtype.

    Parameters
    ----------
    X : pandas.DataFrame of shape (n_samples, n_features)
        Comes first in the result, its values untouched.
    rows : ndarray or CSR of shape (n_new, n_features), dtype=float64
        The synthetic rows in float64.
    segments : tuple of ndarrays
        Bases, enemies and steps: columns of integers, which float64 may not hold, are made anew.

    Returns
    -------
    pandas.DataFrame of shape (n_samples + n_new, n_features)
        Its index is 0, 1, ..., as in the output of imbalanced-learn's samplers.
    """
    if isinstance(rows, np.ndarray):
        new = pd.DataFrame(rows)
    else:
        new = pd.DataFrame.sparse.from_spmatrix(rows)
    columns = []
    for j, dtype in enumerate(X.dtypes):
        column = new.iloc[:, j]
        if types.is_integer_dtype(dtype):
            integer = getattr(dtype, "subtype", getattr(dtype, "numpy_dtype", dtype))
            values = X.iloc[:, j].to_numpy(dtype=integer)[:, None]
            column = pd.Series(interpolate(values, *segments)[:, 0])
        columns.append(column.astype(dtype))
    new = pd.concat(columns, axis=1)
    new.columns = X.columns
    return pd.concat([X, new], ignore_index=True)


def _is_sparse_around_zero(dtype):
    return isinstance(dtype, pd.SparseDtype) and dtype.fill_value == 0
