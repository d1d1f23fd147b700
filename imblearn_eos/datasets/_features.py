"""Which columns of a table can be features, and what to do with the others."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from imblearn_eos.datasets._cells import OTHER_MARK
from imblearn_eos.datasets._columns import Columns, describe, shorten

# More numbers than this are seldom classes.
MANY_CLASSES = 20


def refuse_categories(path: object, n_values: dict[str, int], target: str, y: np.ndarray) -> None:
    """Raise an error if there are columns of categories, given their numbers of values."""
    if not n_values:
        return
    columns = describe({name: f"{n} values" for name, n in n_values.items()})
    drop = drop_option(n_values)
    if doubt := doubt_classes(y):
        raise ValueError(
            f"target={target!r} (--target on the command line) names a column of {doubt} in "
            f"{path}, which also has columns of categories: {columns}. Name the column of the "
            f"classes as the target; if it is {target!r}, leave out the others with {drop}."
        )
    raise ValueError(
        f"{path} has columns of categories, between which no over-sampler of numbers can "
        f"interpolate: {columns}. Leave them out with {drop}, encode them as numbers, for example "
        f"with pandas.get_dummies(table, columns={list(n_values)}), or over-sample in Python with "
        "imblearn.over_sampling.SMOTENC, which takes categories."
    )


def doubt_classes(y: np.ndarray) -> str | None:
    """Return what the labels are, if they look like something else than classes."""
    n_values, is_number = len(np.unique(y)), y.dtype.kind in "iuf"
    if n_values == 1 or (n_values > MANY_CLASSES and (is_number or n_values > len(y) / 2)):
        return f"{n_values} distinct {'number' if is_number else 'text'}{'s' * (n_values > 1)}"
    return None


def refuse_features(
    path: object, target: str, features: Collection, infinite: Collection, left_out: dict[str, str]
) -> None:
    """Raise an error if a table has no numeric column, or infinite numbers in some."""
    if not features:
        refuse_decimal_mark(path, left_out)
        raise ValueError(
            f"{path} has no numeric column besides the target {target!r} to tell the classes by; "
            f"left out: {describe(left_out) or 'none'}. Use a file with numbers, or encode "
            "categories as numbers."
        )
    if infinite:
        raise ValueError(
            f"{path} has infinite numbers in {shorten(infinite)}. Replace them, leave the cells "
            f"empty, which means missing, or leave the columns out with {drop_option(infinite)}."
        )


def is_category(n_values: int, n_rows: int) -> bool:
    """Return whether a text is a category: neither constant nor, as identifiers, mostly unique."""
    return 1 < n_values <= n_rows / 2


def refuse_decimal_mark(path: object, left_out: dict[str, str]) -> None:
    """Raise an error if columns are left out because their numbers have the other decimal mark."""
    for given, reason in OTHER_MARK.items():
        mark = "," if given == "." else "."
        if columns := [name for name, why in left_out.items() if why.startswith(reason)]:
            example = left_out[columns[0]].removeprefix(reason)
            raise ValueError(
                f"{path} has {reason} in {shorten(columns)}{example}. Read them with "
                f"decimal={mark!r} (--decimal {mark} on the command line), remove the mark if it "
                f"separates thousands, or leave the columns out with {drop_option(columns)}."
            )


def name_others(
    columns: Columns,
    drop: Sequence[str],
    id: str | None = None,
    group: str | None = None,
    split: str | None = None,
) -> dict[str, str]:
    """Return the columns that are named for other purposes, with the reason to leave them out."""
    options = {"id": id, "group": group, "split": split}
    others = {name: f"named by --{option}" for option, name in options.items() if name is not None}
    return others | dict.fromkeys((columns.choose("drop", name, ()) for name in drop), "dropped")


def drop_option(columns: Iterable[str]) -> str:
    """Return the option that leaves out columns, in Python and on the command line."""
    return f"drop= (--drop {shlex.join(columns)} on the command line)"
