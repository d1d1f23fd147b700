"""From a pandas or polars DataFrame to numbers, and back to the container of the input."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from scipy import sparse

from imblearn_eos._interpolation import interpolate, round_to_integers


def as_frame(X: Any) -> Frame | None:
    """Wrap a DataFrame; return None for any other container."""
    refuse_lazy(X)
    if _is_polars(X, "DataFrame"):
        return PolarsFrame(X)
    if hasattr(X, "iloc") and X.ndim == 2:
        return PandasFrame(X)
    return None


def is_dask(X: Any) -> bool:
    """Return whether ``X`` is a Dask collection, without an import of dask."""
    dask = sys.modules.get("dask")
    return dask is not None and dask.is_dask_collection(X)


def by_blocks(method: Callable, X: Any, like: Callable, **params: Any) -> Any:
    """Apply a method of an estimator to each block of a Dask collection, lazily.

    Parameters are those of :func:`imblearn_eos._dask._map.map_blocks`.
    """
    from imblearn_eos._dask._map import map_blocks

    return map_blocks(method, X, like, **params)


def refuse_lazy(X: Any, name: str = "X") -> None:
    """Raise TypeError if ``X``, called by ``name`` in the error, has no rows in memory."""
    if _is_polars(X, "LazyFrame"):
        raise TypeError(f"{name} is a polars LazyFrame, without rows. Pass {name}.collect().")
    if is_dask(X):
        raise TypeError(
            f"{name} is a Dask collection, which is not accepted here. Pass {name}.compute() if it "
            "fits into memory."
        )


def labels_as_array(y: Any) -> Any:
    """Convert a polars Series or DataFrame to an array; return anything else as it is.

    Nulls become NaN among numbers and None among strings, which later checks refuse.
    """
    refuse_lazy(y, "y")
    return y.to_numpy() if _is_polars(y, "Series", "DataFrame") else y


def repeat_rows(y: Any, indices: np.ndarray) -> Any:
    """Put copies of some rows below all rows, in the same container."""
    if isinstance(y, torch.Tensor):
        return torch.cat([y.detach(), y.detach()[torch.from_numpy(indices).to(y.device)]])
    if isinstance(y, list):
        return y + [y[i] for i in indices]
    if sparse.issparse(y):
        return sparse.vstack([y, y.tocsr()[indices]], format=y.format)
    if _is_polars(y, "Series", "DataFrame"):
        import polars as pl

        return pl.concat([y, y[indices]])
    if hasattr(y, "iloc"):
        import pandas as pd

        return pd.concat([y, y.iloc[indices]], ignore_index=True)
    y = np.asarray(y)
    return np.concatenate([y, y[indices]])


class Frame(ABC):
    """A DataFrame whose columns have dtypes of their own.

    Parameters
    ----------
    frame : DataFrame of shape (n_samples, n_features)
        Integer and float columns, nullable or not.
    """

    def __init__(self, frame: Any) -> None:
        self.frame = frame

    def check_columns(self, *, estimator: str) -> None:
        """Raise ValueError unless all columns hold integers or floats."""
        for position, (name, dtype) in enumerate(self.columns()):
            if not self.is_integer(dtype) and not self.is_float(dtype):
                raise ValueError(
                    f"X has column {name!r} (number {position}) of dtype {dtype}, but {estimator} "
                    "needs integer or float columns. Convert the column to numbers (a cast to "
                    "float, or an encoding) or drop it."
                )

    def append(self, rows: Any, segments: tuple | None = None) -> Any:
        """Put synthetic rows below all rows, each column in its own dtype.

        Parameters
        ----------
        rows : ndarray or CSR of shape (n_new, n_features), dtype=float64
            The synthetic rows in float64.
        segments : tuple of ndarrays or None, default=None
            Bases, enemies and steps: columns of integers, which float64 may not hold, are made
            anew. None means to round these columns.

        Returns
        -------
        DataFrame of shape (n_samples + n_new, n_features)
            The values of the given rows are untouched.
        """
        rows = rows.tocsc() if sparse.issparse(rows) else rows
        columns = []
        for j, (_, dtype) in enumerate(self.columns()):
            column: Any = rows[:, [j]]
            column = column.toarray() if sparse.issparse(column) else column
            if self.is_integer(dtype):
                given = self.integers(j)[:, None]
                if segments:
                    column = interpolate(given, *segments)
                else:
                    column = round_to_integers(column, given.dtype).astype(given.dtype)
            columns.append(column[:, 0])
        return self.concat(columns)

    @abstractmethod
    def columns(self) -> Iterable[tuple]:
        """Return pairs of a name and a dtype."""

    @abstractmethod
    def is_integer(self, dtype: Any) -> bool:
        """Return whether a dtype is of integers that NumPy has, too."""

    @abstractmethod
    def is_float(self, dtype: Any) -> bool:
        """Return whether a dtype is of floats."""

    @abstractmethod
    def to_array(self) -> np.ndarray | sparse.csr_matrix:
        """Return all columns in float64, with NaN for missing values."""

    @abstractmethod
    def integers(self, j: int) -> np.ndarray:
        """Return a column of integers without missing values."""

    @abstractmethod
    def concat(self, columns: list[np.ndarray]) -> Any:
        """Return a DataFrame with rows, given as columns, below those of this one."""


class PandasFrame(Frame):
    """A pandas DataFrame, whose names may be anything, and occur twice."""

    def columns(self) -> Iterable[tuple]:
        """Return pairs of a name and a dtype."""
        return zip(self.frame.columns, self.frame.dtypes, strict=True)

    def is_integer(self, dtype: Any) -> bool:
        """Return whether a dtype is of integers."""
        return dtype.kind in "iu"

    def is_float(self, dtype: Any) -> bool:
        """Return whether a dtype is of floats."""
        return dtype.kind == "f"

    def to_array(self) -> np.ndarray | sparse.csr_matrix:
        """Return all columns in float64: a CSR matrix if all are sparse around zero."""
        dtypes = self.frame.dtypes
        if len(dtypes) and all(getattr(dtype, "fill_value", None) == 0 for dtype in dtypes):
            return self.frame.sparse.to_coo().tocsr().astype(np.float64)
        return self.frame.to_numpy(dtype=np.float64, na_value=np.nan)

    def integers(self, j: int) -> np.ndarray:
        """Return a column of integers without missing values."""
        column = self.frame.iloc[:, j]
        dtype = getattr(column.dtype, "subtype", column.dtype)
        return column.to_numpy(dtype=getattr(dtype, "numpy_dtype", dtype))

    def concat(self, columns: list[np.ndarray]) -> Any:
        """Return a DataFrame with an index of 0, 1, ..., as imbalanced-learn's samplers do."""
        import pandas as pd

        dtypes = self.frame.dtypes
        series = [pd.Series(x).astype(dtype) for x, dtype in zip(columns, dtypes, strict=True)]
        new = pd.concat(series, axis=1)
        new.columns = self.frame.columns
        return pd.concat([self.frame, new], ignore_index=True)


class PolarsFrame(Frame):
    """A polars DataFrame."""

    def columns(self) -> Iterable[tuple]:
        """Return pairs of a name and a dtype."""
        return self.frame.schema.items()

    def is_integer(self, dtype: Any) -> bool:
        """Return whether a dtype is of integers of at most 64 bits."""
        return dtype.is_integer() and "128" not in str(dtype)

    def is_float(self, dtype: Any) -> bool:
        """Return whether a dtype is of floats."""
        return dtype.is_float()

    def to_array(self) -> np.ndarray:
        """Return all columns in float64, with NaN for nulls."""
        import polars as pl

        return self.frame.cast(pl.Float64).to_numpy()

    def integers(self, j: int) -> np.ndarray:
        """Return a column of integers without nulls."""
        return self.frame.to_series(j).to_numpy()

    def concat(self, columns: list[np.ndarray]) -> Any:
        """Return a DataFrame of the same schema."""
        import polars as pl

        schema = self.frame.schema.items()
        new = [pl.Series(name, x).cast(d) for (name, d), x in zip(schema, columns, strict=True)]
        return pl.concat([self.frame, pl.DataFrame(new)])


def _is_polars(X: Any, *names: str) -> bool:
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(X, tuple(getattr(polars, name) for name in names))
