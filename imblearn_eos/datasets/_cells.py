"""The texts in the cells of a table: numbers, labels, identifiers and missing values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

# The texts that `pandas.read_csv` takes for a missing value.
MISSING = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
BOOLEANS = {"True": 1.0, "TRUE": 1.0, "true": 1.0, "False": 0.0, "FALSE": 0.0, "false": 0.0}
# Why a column is left out, by the decimal mark that was asked for.
OTHER_MARK = {".": "numbers with a decimal comma", ",": "numbers with a decimal point"}
ROW_NUMBER = "row number"
# Fewer rows may be counted by a feature by chance.
MIN_COUNTED = 10
# Alone in a line: integers with leading zeros, or more than the 15 digits that float64 holds.
SUSPECT = re.compile(r"^ *([+-]?(?:0\d+|\d{16,})) *$", re.MULTILINE)


def is_missing(text: str) -> bool:
    """Return whether a cell has no value."""
    return text.strip() in MISSING


def to_number(text: str, decimal: str = ".") -> float | None:
    """Return the number in a cell, NaN for a missing value, or None for other text."""
    text = text.strip()
    if text in MISSING:
        return math.nan
    if decimal != ".":
        # The point then separates thousands.
        text = text.replace(".", "?").replace(decimal, ".")
    # Python's numbers may have underscores, those of tables have none.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return BOOLEANS.get(text)


def find_identifier(lines: str) -> str | None:
    """Return the first line that consists of digits that a float64 would not print again."""
    for found in SUSPECT.finditer(lines):
        digits = found[1].lstrip("+-")
        if digits[0] == "0" or float(digits) != int(digits):
            return found[1]
    return None


def counts_rows(values: np.ndarray) -> bool:
    """Return whether numbers are whole and count the rows, from any start."""
    # Rows are often sorted by class, so that their numbers tell the label.
    if len(values) < MIN_COUNTED or not float(values[0]).is_integer():
        return False
    return np.array_equal(values, values[0] + np.arange(len(values)))


def is_number(text: str, decimal: str) -> bool:
    """Return whether a cell is a number or missing."""
    return to_number(text, decimal) is not None


def to_labels(texts: Sequence[str]) -> np.ndarray:
    """Return labels as numbers if they stay distinct and print as the same texts, else as texts."""
    distinct = set(texts)
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        try:
            numbers = {text: kind(text) for text in distinct}
            is_same = all(_prints(number, text) for text, number in numbers.items())
            if is_same and len(set(numbers.values())) == len(distinct):
                return np.array([numbers[text] for text in texts], dtype=dtype)
        except (ValueError, OverflowError):
            continue
    return np.array(texts, dtype=str)


def _prints(number, text):
    return math.isfinite(number) and text in (repr(number), repr(number).removesuffix(".0"))


class Column:
    """A column of features, read part by part.

    Parameters
    ----------
    name : str
        Its name.
    decimal : {".", ","}
        The decimal mark.
    """

    def __init__(self, name: str, decimal: str):
        self.name, self.decimal = name, decimal
        self._parts: list[np.ndarray] = []
        self._n_rows = self._n_texts = 0
        self._text: str | None = None
        self._identifier: str | None = None
        self._is_empty = self._is_target = self._has_other_mark = True

    def extend(self, cells: Sequence[str], labels: Sequence[str]) -> None:
        """Add the cells of further rows, with the labels of these rows."""
        numbers, texts = self._to_numbers(cells)
        if texts:
            self._text = self._text or texts[0]
            mark = "," if self.decimal == "." else "."
            others = (is_number(text, mark) for text in texts)
            self._has_other_mark = self._has_other_mark and all(others)
        else:
            part = np.array(numbers, dtype=np.float64)
            self._parts.append(part)
            self._is_empty = self._is_empty and bool(np.isnan(part).all())
            if self._identifier is None:
                # Most columns have no whole numbers, and a look at every text takes long.
                whole = np.flatnonzero(part == np.floor(part)).tolist()
                self._identifier = find_identifier("\n".join([cells[i] for i in whole]))
        self._n_rows += len(cells)
        self._n_texts += len(texts)
        self._is_target = self._is_target and cells == labels

    def _to_numbers(self, cells):
        """Return the cells as numbers, or else those that are texts."""
        # Most columns have plain numbers only, which Python converts faster without a look at each.
        if self.decimal == "." and "_" not in "".join(cells):
            with suppress(ValueError):
                return [float(cell or "nan") for cell in cells], []
        known = {cell: to_number(cell, self.decimal) for cell in set(cells)}
        return [known[cell] for cell in cells], [cell for cell in cells if known[cell] is None]

    def numbers(self) -> np.ndarray:
        """Return the cells as float64, NaN for missing values."""
        return np.concatenate([np.empty(0), *self._parts])

    def reason_to_leave_out(self) -> str | None:
        """Return why the column cannot be a feature, or None."""
        if self._is_empty and not self._n_texts:
            return "no values"
        if self._is_target:
            return "a copy of the target"
        if self.name.startswith("Unnamed: "):
            return "no name"
        if self._identifier and not self._n_texts:
            return f"an identifier, such as {self._identifier!r}"
        if not self._n_texts:
            return ROW_NUMBER if counts_rows(self.numbers()) else None
        if self._has_other_mark:
            return f"{OTHER_MARK[self.decimal]}, such as {self._text!r}"
        if 2 * self._n_texts < self._n_rows:
            return f"text in {self._n_texts} cells, such as {self._text!r}"
        return "text"
