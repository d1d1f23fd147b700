"""Rows of numbers from a CSV file."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import re
import zipfile
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import mode
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from imblearn_eos._compat import StrOptions, validate_params
from imblearn_eos._extras import import_extra
from imblearn_eos.datasets._cells import Column, is_missing, is_number, to_labels
from imblearn_eos.datasets._columns import Columns
from imblearn_eos.datasets._features import name_others, refuse_features

SEPARATORS = (",", ";", "\t", "|")
# Rows that decide the separator and the layout.
SAMPLE_ROWS = 50
# Cells and least rows that are converted at a time: few enough for the cache of a processor, where
# a million takes three times as long, and enough rows for tables with thousands of columns.
PART_CELLS, PART_ROWS = 10_000, 64


@validate_params(
    {
        "path": "no_validation",
        "target": "no_validation",
        "header": ["boolean"],
        "sep": [str, None],
        "decimal": [StrOptions({".", ","})],
        "drop": ["array-like"],
    },
    prefer_skip_nested_validation=True,
)
def load_table(
    path: str | os.PathLike,
    *,
    target: str,
    header: bool = True,
    sep: str | None = None,
    decimal: str = ".",
    drop: Sequence[str] = (),
) -> Bunch:
    r"""Load the numeric columns and the labels of a CSV file.

    Parameters
    ----------
    path : str or path-like
        The file, in UTF-8, and as its last suffix says compressed (``.csv.gz``, ``.bz2``, ``.xz``
        or a ``.zip`` of this file alone).
    target : str
        Name of the column that holds the labels.
    header : bool, default=True
        Whether the first line has the names of the columns. Without it they are named "0", "1"...
    sep : str or None, default=None
        The character between cells. None takes it from a first line ``sep=;``, as Excel writes it,
        or detects comma, semicolon, tab or bar on the first 50 rows.
    decimal : {".", ","}, default="."
        The decimal mark of the numbers.
    drop : sequence of str, default=()
        Names of columns to leave out.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        data : dataframe of shape (n_samples, n_features)
            The numeric columns as float64; NaN stands for a missing value, and 1 and 0 for true
            and false.
        target : ndarray of shape (n_samples,)
            The labels: numbers if all of them are numbers that print as the texts in the file,
            else strings.
        left_out : dict of str to str
            The other columns, and why each cannot be used: text, identifiers (numbers with leading
            zeros, or more digits than float64 holds), row numbers, copies of the target, columns
            without a name or without values.

    Raises
    ------
    ImportError
        When pandas is missing; the extra ``tables`` installs it.
    ValueError
        When the file cannot be read as a table, does not have the target column once or a numeric
        one, or has missing labels or infinite numbers.

    Notes
    -----
    Every row must have as many cells as the header. If all rows have one more, it is an empty last
    cell, or else a first column of row names as R writes it. Cells are missing if they are empty
    or a text that ``pandas.read_csv`` takes for a missing value, such as "NA" or "None".

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
    return read_table(path, target=target, header=header, sep=sep, decimal=decimal, drop=drop)


def read_table(
    path: str | os.PathLike,
    *,
    target: str,
    header: bool,
    sep: str | None,
    decimal: str,
    **others: Any,
) -> Bunch:
    """Return the same as `load_table`; ``others`` name columns for `name_others`."""
    pd = import_extra("pandas", "tables")
    with _errors_named(path):
        layout = _find_layout(path, header, sep, decimal)
    names = layout.names
    known = Columns(path, names, lambda name: np.empty(0), hint=advise_layout(names))
    known.choose("target", target, ())
    position, labels = names.index(target), []
    columns = [Column(name, decimal) for name in _make_distinct(names)]
    with _errors_named(path):
        for cells in _read_parts(path, layout):
            labels += cells[position]
            for column, texts in zip(columns, cells, strict=False):
                column.extend(texts, cells[position])
    if not labels:
        raise ValueError(f"{path} has no rows after its header. Use a file with rows.")
    # NumPy drops NUL at the end of a text, which would merge labels.
    no_label = {label for label in set(labels) if is_missing(label) or label.endswith("\0")}
    missing = [row for row, label in enumerate(labels) if label in no_label]
    if missing:
        raise ValueError(
            f"The column {target!r} of {path} has no label in {len(missing)} rows; the first is "
            f"row {missing[0]} of the data, with {labels[missing[0]]!r}. Drop those rows, or "
            "rename the class if it is one."
        )
    del columns[position]
    reasons = {column.name: column.reason_to_leave_out() for column in columns}
    reasons |= name_others(known, **others)
    left_out = {name: reason for name, reason in reasons.items() if reason}
    data = pd.DataFrame({c.name: c.numbers() for c in columns if not reasons[c.name]})
    infinite = data.columns[np.isinf(data).any()].tolist()
    refuse_features(path, target, data.columns.tolist(), infinite, left_out)
    return Bunch(data=data, target=to_labels(labels), left_out=left_out)


def advise_layout(names: Sequence[str]) -> str:
    """Return what to do where a column is not found."""
    if len(names) == 1:
        return " The file was read as one column: state its separator with sep= (--sep)."
    return (
        " A file without names of columns needs header=False (--no-header): they are then 0, 1..."
    )


@dataclass
class _Layout:
    """How the rows of a file are laid out.

    Attributes
    ----------
    sep : str
    n_skipped : int
        Lines before the header.
    has_header : bool
    names : list of str
        Of all columns but the last one if ``has_tail``.
    has_tail : bool
        Whether every row ends with a separator, that is, has an empty last cell without a name.
    """

    sep: str
    n_skipped: int
    has_header: bool
    names: list[str]
    has_tail: bool


def _find_layout(path, header, sep, decimal):
    with _open(path) as file:
        first = re.fullmatch(r'"?sep=(.)"?\s*', file.readline(), re.IGNORECASE)
    n_skipped = 1 if first else 0
    if sep is None:
        sep = first[1] if first else _detect_separator(path, n_skipped, header, decimal)
    rows = list(_sample(path, sep, n_skipped))
    if not rows:
        raise ValueError("it has no rows")
    width, names, has_tail = _width(rows, header), [str(i) for i in range(len(rows[0]))], False
    if header:
        names = rows[0]
        has_tail = width > len(names) and all(row[-1] == "" for row in rows[1:])
        if width > len(names) and not has_tail:
            names = ["", *names]
        names = [name or f"Unnamed: {i}" for i, name in enumerate(names)]
    return _Layout(sep, n_skipped, header, names, has_tail)


def _detect_separator(path, n_skipped, header, decimal):
    """Return the separator that cuts all rows alike and, of several, most cells into numbers."""
    samples, scores = {}, {}
    # With decimal commas, commas separate nothing.
    for sep in (sep for sep in SEPARATORS if sep != decimal):
        rows = samples[sep] = []
        with suppress(ValueError):
            for row in _sample(path, sep, n_skipped):
                rows.append(row)
            scores[sep] = _score(rows, header)
    best = [sep for sep, score in scores.items() if (0, 0) < score == max(scores.values())]
    if len(best) > 1:
        raise ValueError(
            f"the separator may be {' or '.join(map(repr, best))}; pass it as sep= (--sep)"
            + ", and decimal=',' (--decimal ,) if numbers have a decimal comma" * ("," in best)
        )
    # Reading the file with a separator that does not fit names the line.
    return best[0] if best else max(samples, key=lambda sep: len((samples[sep] or [[]])[0]))


def _score(rows, header):
    """Return the share of numbers among the cells and the cells of a row; 0, 0 if rows differ."""
    width = _width(rows, header)
    if width == 1 or any(len(row) != width for row in rows[header:]):
        return 0, 0
    cells = [cell for row in rows[header:] for cell in row if not is_missing(cell)]
    numbers = [cell for cell in cells if is_number(cell, ".") or is_number(cell, ",")]
    return len(numbers) / max(len(cells), 1), width


def _width(rows, header):
    """Return how many cells most rows have, which may be one more than the header has."""
    width = mode(len(row) for row in rows[header:] or rows)
    n_names = len(rows[0])
    return width if not header or width == n_names + 1 else n_names


def _sample(path, sep, n_skipped):
    with _open(path) as file:
        for _, row in islice(_read_rows(file, sep, n_skipped), SAMPLE_ROWS + 1):
            yield row


def _read_parts(path, layout):
    """Yield the cells of some rows at a time, column by column."""
    width = len(layout.names) + layout.has_tail
    with _open(path) as file:
        rows = _read_rows(file, layout.sep, layout.n_skipped)
        rows = _check_rows(islice(rows, int(layout.has_header), None), width, layout.has_tail)
        while part := list(islice(rows, max(PART_CELLS // width, PART_ROWS))):
            yield list(zip(*part, strict=True))


def _check_rows(rows, width, has_tail):
    for line, row in rows:
        if len(row) != width or (has_tail and row[-1]):
            allowed = f"{width - has_tail}{' and an empty last one' * has_tail}"
            raise ValueError(f"line {line} has {len(row)} cells, not {allowed} as others")
        yield row


def _read_rows(file, sep, n_skipped):
    """Yield the rows that are not blank with the numbers of their last lines."""
    for _ in range(n_skipped):
        next(file)
    reader = csv.reader(file, delimiter=sep, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num + n_skipped, row
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num + n_skipped}: {error}") from error


def _open_zip(path, mode):
    archive = zipfile.ZipFile(path)
    (name,) = archive.namelist()
    return archive.open(name)


OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": _open_zip}


def _open(path):
    open_ = OPENERS.get(Path(path).suffix.lower(), open)
    return io.TextIOWrapper(open_(path, "rb"), encoding="utf-8-sig", newline="")


@contextmanager
def _errors_named(path):
    try:
        yield
    # A damaged archive raises nearly anything.
    except Exception as error:
        # Errors of the operating system name the file already.
        if isinstance(error, MemoryError) or getattr(error, "filename", None):
            raise
        raise ValueError(
            f"{path} cannot be read as a table of values: {str(error).strip()}. Save it as CSV in "
            "UTF-8, with as many cells in every line."
        ) from error


def _make_distinct(names):
    """Return the names with the repetitions numbered, as pandas does."""
    distinct = {}
    for name in names:
        new, number = name, 0
        while new in distinct:
            number += 1
            new = f"{name}.{number}"
        distinct[new] = None
    return list(distinct)
