"""Rows of numbers from a CSV file."""

import contextlib
import csv
from gzip import BadGzipFile

import numpy as np
from sklearn.utils import Bunch

from imblearn_eos._extras import import_extra


def load_table(path, *, target, header=True):
    r"""Load the numeric columns and the labels of a CSV file.

    Parameters
    ----------
    path : str or path-like
        The file, also in a compression that pandas reads (``.csv.gz``). The separator (comma,
        semicolon, tab or bar) is detected.
    target : str
        Name of the column that holds the labels.
    header : bool, default=True
        Whether the first line has the names of the columns. Without it they are named "0", "1"...

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        data : dataframe of shape (n_samples, n_features)
            The numeric columns as float64; NaN stands for a missing value.
        target : ndarray of shape (n_samples,)
            The labels: numbers if all are, else strings.
        left_out : dict of str to str
            The other columns, and why each cannot be used.

    Raises
    ------
    ImportError
        When pandas is missing; the extra ``tables`` installs it.
    ValueError
        When the file cannot be read as a table, does not have the target column or a numeric one,
        or has missing labels or infinite numbers.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from imblearn_eos.datasets import load_table
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "animals.csv")
    ...     _ = path.write_text("weight,name,kind\n4.5,Tom,cat\n,Rex,dog\n")
    ...     table = load_table(path, target="kind")
    >>> table.data.columns.tolist(), table.target.tolist(), table.left_out
    (['weight'], ['cat', 'dog'], {'name': 'text'})
    """
    frame = _read(path, header, target)
    if target not in frame.columns:
        raise ValueError(
            f"target={target!r} (--target on the command line) is no column of {path}. Its columns "
            f"are {_shorten(frame.columns)}; without a header they are numbered from 0."
        )
    labels, features = frame[target], frame.drop(columns=target)
    missing = np.flatnonzero(labels == "")
    if len(missing):
        raise ValueError(
            f"The column {target!r} of {path} has no label in {len(missing)} rows; the first is "
            f"row {missing[0]} of the data. Drop those rows."
        )
    left_out = {
        name: reason for name in features if (reason := _reason_to_leave_out(features[name]))
    }
    data = features.drop(columns=list(left_out)).astype(np.float64)
    if data.shape[1] == 0:
        raise ValueError(
            f"{path} has no numeric column besides {target!r}; left out: {_describe(left_out)}. "
            "Write numbers with a decimal point, and encode categories as numbers."
        )
    infinite = np.isinf(data).any()
    if infinite.any():
        raise ValueError(
            f"The column {infinite.idxmax()!r} of {path} has infinite numbers. Replace them, or "
            "leave the cells empty, which means missing."
        )
    return Bunch(data=data, target=_as_numbers(labels.to_numpy(dtype=str)), left_out=left_out)


def _as_numbers(labels):
    """Return labels as numbers if all are numbers, else unchanged."""
    for dtype in (np.int64, np.float64):
        with contextlib.suppress(ValueError, OverflowError):
            return labels.astype(dtype)
    return labels


def _read(path, header, target):
    pd = import_extra("pandas", "tables")
    try:
        # The first line is enough to detect the separator.
        line = pd.read_csv(
            path, header=None, nrows=1, sep="\0", quoting=csv.QUOTE_NONE, engine="python", dtype=str
        )
        separator = _find_separator(str(line.iat[0, 0]))
        # Without a header pandas knows columns by their numbers.
        column = int(target) if not header and str(target).isdecimal() else target
        frame = pd.read_csv(
            path,
            header=0 if header else None,
            sep=separator,
            # pandas takes a class named NA for a missing value, unless a mark stands before it.
            converters={column: "={}".format},
            low_memory=False,
        )
    # Errors of the operating system name the file already.
    except (ValueError, EOFError, BadGzipFile) as error:
        raise ValueError(
            f"{path} cannot be read as a table of values: {str(error).strip()}. Save it as CSV in "
            "UTF-8, with as many cells in every line."
        ) from error
    frame.columns = [str(name) for name in frame.columns]
    if target in frame:
        frame[target] = [label[1:] for label in frame[target]]
    return frame


def _find_separator(line):
    try:
        return csv.Sniffer().sniff(line, delimiters=",;\t|").delimiter
    except csv.Error:
        return ","


def _reason_to_leave_out(column):
    import pandas as pd

    if column.isna().all():
        return "no values"
    if str(column.name).startswith("Unnamed: "):
        return "no name"
    if column.dtype.kind in "biuf":
        return None
    no_number = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    if 2 * no_number.sum() < len(column):
        return f"text in {no_number.sum()} cells, such as {column[no_number].iloc[0]!r}"
    return "text"


def _describe(left_out):
    return _shorten([f"{name} ({reason})" for name, reason in left_out.items()]) or "none"


def _shorten(names, most=20):
    names = [repr(str(name)) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
