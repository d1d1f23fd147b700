"""Which columns or arrays of a file hold the labels, names, groups and parts of its rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from imblearn_eos.datasets._labeled import SPLITS, split_name

# What the columns are usually called; taken where exactly one of them is there.
USUAL_NAMES = {
    "target": ("label", "labels", "y", "target", "class"),
    "id": ("path", "id", "ids"),
    "group": (),
    "split": ("split",),
}


@dataclass
class Columns:
    """The columns or arrays of a file, to be read one by one.

    Attributes
    ----------
    path : path-like
        The file.
    names : sequence of str
        Of the columns.
    read : callable
        Called with a name; returns the values, None for missing ones, of shape (n,).
    kind : str
        What a column is called in errors.
    hint : str
        What errors say in addition where no column is found.
    """

    path: str | os.PathLike
    names: Sequence[str]
    read: Callable[[str], np.ndarray]
    kind: str = "column"
    hint: str = ""

    def choose(self, option: str, given: str | None, usual: Sequence[str]) -> str:
        """Return the column that is named, or else the only one that has a usual name."""
        found = [name for name in self.names if name == given or (given is None and name in usual)]
        if len(found) != 1:
            names, flag = shorten(self.names) or "none", f"(--{option} on the command line)"
            problem, hint = f"{option}={given!r} {flag} names {len(found) or 'none'}", ""
            if given is None:
                problem = f"The data need {option}= {flag}, the name of one"
                if not set(usual) <= set(self.names):
                    hint = f" Without it, the only one of {', '.join(usual)} is taken."
            if option == "target" and self.kind != "column":
                hint += " A file of labels is named as labels= (--labels)."
            raise ValueError(
                f"{problem} of the {self.kind}s of {self.path}: {names}.{hint}{self.hint}"
            )
        return found[0]

    def read_complete(self, name: str, option: str | None = None) -> np.ndarray:
        """Return the values of a column, which an option names; refuse missing ones."""
        values = self.read(name)
        if values.dtype == object:
            missing = np.flatnonzero([value is None for value in values])
        else:
            missing = np.flatnonzero(values != values)
        if len(missing):
            flag = f" (--{option})" if option else ""
            raise ValueError(
                f"The {self.kind} {name!r}{flag} of {self.path} has no value in {len(missing)} "
                f"rows; the first is row {missing[0]}. Drop those rows, or fill in the values."
            )
        return values


def read_labels(
    columns: Columns,
    target: str | None,
    id: str | None = None,
    group: str | None = None,
    split: str | None = None,
    guess: bool = True,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return y, ids, groups and split, and the columns that they come from, by option.

    Columns that are not named are looked for under their usual names; but for the target they need
    not be there. ``guess=False`` is for tables, any column of which may be a feature.
    """
    given = {"target": target, "id": id, "group": group, "split": split}
    used = {}
    for option, name in given.items():
        usual = USUAL_NAMES[option] if guess or option == "split" else ()
        is_there = sum(column in usual for column in columns.names) == 1
        # A column of this name may hold something else.
        if option == "split" and name is None and is_there:
            is_there = all(map(split_name, columns.read("split")))
        if name is not None or is_there or option == "target":
            used[option] = columns.choose(option, name, usual)
    values = {option: columns.read_complete(name, option) for option, name in used.items()}
    if not len(values["target"]):
        raise ValueError(f"{columns.path} has no rows.")
    found: dict[str, Any] = {"y": to_label_array(values["target"])}
    _refuse_fractions(columns, used["target"], found["y"])
    if "id" in values:
        found["ids"] = np.array([str(value) for value in values["id"]], dtype=object)
    if "group" in values:
        found["groups"] = to_label_array(values["group"])
    if "split" in values:
        found["split"] = _to_split(columns.path, used["split"], values["split"])
    return found, used


def _refuse_fractions(columns, target, y):
    if y.dtype.kind == "f" and len(fractions := y[y % 1 != 0]):
        raise ValueError(
            f"target={target!r} (--target on the command line) has {len(np.unique(y))} distinct "
            f"numbers in {columns.path} that are not all whole, such as {fractions[0]}. Name the "
            f"{columns.kind} of the classes: whole numbers or texts."
        )


def to_label_array(values: np.ndarray) -> np.ndarray:
    """Return values with the dtype str if they are objects."""
    return np.array([str(value) for value in values]) if values.dtype == object else values


def _to_split(path, name, values):
    parts = {value: split_name(value) for value in set(values.tolist())}
    if unknown := sorted(str(value) for value, part in parts.items() if part is None):
        raise ValueError(
            f"The column {name!r} of {path} must name the part of each row, one of "
            f"{', '.join(SPLITS)}; it has {shorten(unknown)}."
        )
    split = np.array([parts[value] for value in values.tolist()])
    return split if len(set(parts.values())) > 1 else None


@contextmanager
def errors_named(path: object, wanted: str, *others: object) -> Iterator[None]:
    """Say which file an error comes from, if its message names neither this nor another one."""
    try:
        yield
    # A damaged file raises nearly anything.
    except Exception as error:
        is_named = getattr(error, "filename", None)
        is_named = is_named or any(str(file) in str(error) for file in (path, *others))
        if is_named or isinstance(error, (ImportError, MemoryError)):
            raise
        raise ValueError(
            f"{path} cannot be read as {wanted} ({type(error).__name__}: {str(error).strip()})."
        ) from error


def check_finite(path: object, X: np.ndarray) -> None:
    """Refuse rows with NaN or infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        is_finite = np.isfinite(X.reshape(len(X), -1).sum(axis=1))
    if not is_finite.all():
        # The sum of finite numbers may be infinite.
        is_finite = np.isfinite(X).reshape(len(X), -1).all(axis=1)
    if not is_finite.all():
        raise ValueError(
            f"{path} has NaN, infinity or a value beyond float32 in {np.sum(~is_finite)} of "
            f"{len(X)} rows; the first is row {is_finite.argmin()}. Drop or mend these rows."
        )


def describe(columns: dict[str, str]) -> str:
    """Return names of columns as one phrase, each with what there is to say of it."""
    return shorten(columns, notes=[f" ({note})" for note in columns.values()])


def shorten(names: Iterable[object], most: int = 20, notes: Iterable[str] | None = None) -> str:
    """Return names as one phrase, the first ones of many, each with its note."""
    texts = [repr(str(name)) for name in names]
    if notes is not None:
        texts = [text + note for text, note in zip(texts, notes, strict=True)]
    return ", ".join(texts[:most]) + f" and {len(texts) - most} more" * (len(texts) > most)
