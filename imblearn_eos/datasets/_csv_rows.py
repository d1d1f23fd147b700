"""Rows of a CSV file of any kind: numbers, texts, or the paths and labels of photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imblearn_eos._extras import import_extra
from imblearn_eos.datasets._cells import is_missing, to_labels
from imblearn_eos.datasets._columns import Columns, read_labels
from imblearn_eos.datasets._csv import _errors_named, _find_layout, advise_layout, read_table
from imblearn_eos.datasets._features import (
    is_category,
    refuse_categories,
    refuse_decimal_mark,
)
from imblearn_eos.datasets._labeled import LabeledData
from imblearn_eos.datasets._photos import PATH, are_photos, find_files, make_photos


def read_csv(
    path: Path,
    *,
    target: str | None = None,
    id: str | None = None,
    group: str | None = None,
    split: str | None = None,
    text: str | None = None,
    no_header: bool = False,
    sep: str | None = None,
    decimal: str | None = None,
    drop: Sequence[str] = (),
) -> LabeledData:
    """Read texts (``text``), photos (a column "path" that names images), or else a table."""
    layout: dict[str, Any] = {"header": not no_header, "sep": sep, "decimal": decimal or "."}
    names = find_names(path, **layout)

    def read_texts(names):
        return read_columns(path, names, **layout)

    def read_values(name):
        return known[name] if name in known else _to_values(read_texts([name])[name])

    known: dict[str, np.ndarray] = {}
    columns = Columns(path, names, read_values, hint=advise_layout(names))
    if text is not None:
        column = columns.choose("text", text, ())
        texts = Columns(path, names, lambda name: _to_texts(read_texts([name])[name]))
        X = texts.read_complete(column)
        rows, _ = read_labels(columns, target, id, group, split)
        return LabeledData("text", X, **rows, facts={"text": text})
    if PATH in names and PATH not in drop and are_photos(read_texts([PATH])[PATH]):
        rows, _ = read_labels(columns, target, id, group, split)
        files = find_files(path.parent, columns.read_complete(PATH))
        return make_photos(path, files, rows)
    target = columns.choose("target", target, ())
    others: dict[str, Any] = {"id": id, "group": group, "split": split}
    table = read_table(path, target=target, drop=drop, **others, **layout)
    known[target] = table.target
    columns.names = [name for name in names if name not in drop]
    rows, used = read_labels(columns, target, **others, guess=False)
    left_out = {name: why for name, why in table.left_out.items() if name not in used.values()}
    texts = [name for name, why in left_out.items() if why == "text"]
    refuse_decimal_mark(path, left_out)
    n_values = {name: len(set(values)) for name, values in read_texts(texts).items()}
    n_values = {name: n for name, n in n_values.items() if is_category(n, len(table.target))}
    refuse_categories(path, n_values, target, table.target)
    data = table.data.drop(columns=list(used.values()), errors="ignore")
    facts = {"features": data.columns.tolist(), "left_out": left_out}
    return LabeledData("table", data.to_numpy(), **rows, facts=facts)


def find_names(path: Path, header: bool, sep: str | None, decimal: str) -> list[str]:
    """Return the names of the columns."""
    with _errors_named(path):
        return _find_layout(path, header, sep, decimal).names


def read_columns(
    path: Path, names: Sequence[str], header: bool, sep: str | None, decimal: str
) -> dict[str, np.ndarray]:
    """Return the cells of some columns as texts."""
    pd = import_extra("pandas", "tables")
    if not names:
        return {}
    with _errors_named(path):
        layout = _find_layout(path, header, sep, decimal)
        positions = {name: layout.names.index(name) for name in names}
        width = len(layout.names) + layout.has_tail
        frame = pd.read_csv(
            path,
            sep=layout.sep,
            skiprows=layout.n_skipped,
            header=0 if layout.has_header else None,
            names=range(width),
            usecols=list(positions.values()),
            index_col=False,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    return {name: frame[i].fillna("").to_numpy(dtype=object) for name, i in positions.items()}


def _to_values(texts):
    """Return texts as labels, or as objects if some are missing."""
    if any(map(is_missing, texts)):
        return np.array([None if is_missing(text) else text for text in texts], dtype=object)
    return to_labels(texts.tolist())


def _to_texts(texts):
    # "None" and "NA" are texts like others here.
    return np.array([text if text.strip() else None for text in texts], dtype=object)
