"""Which columns or arrays of a file hold the labels, names, groups and parts of its rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
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
            names, flag = shorten(self.names), f"(--{option} on the command line)"
            problem, hint = f"{option}={given!r} {flag} names {len(found) or 'none'}", ""
            need = f"The data need {option}= {flag}"
            if given is None:
                problem = f"{need}, the name of one"
                if not set(usual) <= set(self.names):
                    hint = f" Without it, the only one of {', '.join(usual)} is taken."
            problem += f" of the {self.kind}s of {self.path}: {names}.{hint}"
            if not names:
                problem = f"{need}, but {self.path} has no {self.kind} that could be it."
            if option == "target" and self.kind != "column":
                problem += " A file of labels is named as labels= (--labels)."
            raise ValueError(problem + self.hint)
        return found[0]

    def read_complete(self, name: str, option: str | None = None) -> np.ndarray:
        """Return the values of a column, which an option names; refuse missing ones."""
        values, flag = self.read(name), f" (--{option})" if option else ""
        column = f"The {self.kind} {name!r}{flag} of {self.path}"
        if values.dtype.kind in "OU":
            cells = values.ravel().tolist()
            if nested := [cell for cell in cells if isinstance(cell, (list, dict, np.ndarray))]:
                raise ValueError(
                    f"{column} holds lists or structures, such as {str(nested[0])[:40]}. Name a "
                    f"{self.kind} of numbers or texts."
                )
            missing = np.flatnonzero([_is_missing(cell) for cell in cells])
        else:
            missing = np.flatnonzero(values != values)
        if len(missing):
            raise ValueError(
                f"{column} has no value in {len(missing)} rows; the first is row {missing[0]}. "
                "Drop those rows, or fill in the values."
            )
        return values


def _is_missing(cell):
    is_blank = isinstance(cell, str) and not cell.strip()
    return cell is None or is_blank or (isinstance(cell, float) and np.isnan(cell))


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
            is_there = any(map(split_name, columns.read("split")))
        if name is not None or is_there or option == "target":
            used[option] = columns.choose(option, name, usual)
    if used.get("group") == used["target"]:
        raise ValueError(f"--group and --target both name {used['group']!r} of {columns.path}.")
    values = {option: columns.read_complete(name, option) for option, name in used.items()}
    if not values["target"].size:
        raise ValueError(f"{columns.path} has no rows.")
    for option, name in used.items():
        check_shape(columns, option, name, values[option], values["target"].shape[:1])
    found: dict[str, Any] = {"y": to_label_array(values["target"])}
    _check_target(columns, used["target"], found["y"])
    if "id" in values:
        found["ids"] = np.array([str(value) for value in values["id"]], dtype=object)
    if "group" in values:
        found["groups"] = to_label_array(values["group"])
    if "split" in values:
        found["split"] = _to_split(columns.path, used["split"], values["split"])
    return found, used


def check_shape(
    columns: Columns, option: str, name: str, values: np.ndarray, shape: tuple[int, ...]
) -> None:
    """Raise an error if there is not one value for each row."""
    if values.shape != shape:
        raise ValueError(
            f"The {columns.kind} {name!r} (--{option}) of {columns.path} has shape {values.shape}, "
            f"not {shape}. Give one number or text for each row of the data."
        )


def _check_target(columns, target, y):
    problem = f"dtype {y.dtype}" if y.dtype.kind not in "biufU" else None
    if y.dtype.kind == "f" and len(fractions := y[y % 1 != 0]):
        problem = f"{len(np.unique(y))} distinct numbers, not all whole, such as {fractions[0]},"
    if problem:
        raise ValueError(
            f"target={target!r} (--target on the command line) has {problem} in {columns.path}. "
            f"Name the {columns.kind} of the classes: whole numbers or texts."
        )


def to_label_array(values: np.ndarray) -> np.ndarray:
    """Return values with the dtype str if they are objects or bytes."""
    if values.dtype.kind not in "OS":
        return values
    texts = [v.decode() if isinstance(v, bytes) else str(v) for v in values.ravel().tolist()]
    return np.array(texts).reshape(values.shape)


def _to_split(path, name, values):
    parts = {value: split_name(value) for value in set(values.tolist())}
    if unknown := sorted(str(value) for value, part in parts.items() if part is None):
        raise ValueError(
            f"The column {name!r} (--split) of {path} must name the part of each row, one of "
            f"{', '.join(SPLITS)}; it has {shorten(unknown)}. Rename these parts, remove their "
            "rows, or rename the column if it holds something else."
        )
    check_parts(path, parts.values(), values)
    split = np.array([parts[value] for value in values.tolist()])
    return split if len(set(parts.values())) > 1 else None


def check_parts(path: object, parts: Collection[str], names: Iterable[object]) -> None:
    """Raise an error if there is no part, or no training part beside others; given their names."""
    # A single part is all there is to split.
    if "train" not in parts and len(set(parts)) != 1:
        raise ValueError(
            f"{path} has the parts {shorten(sorted(set(map(str, names))))}, none of which is "
            "called train. Rename one, or use one of them as the data."
        )


@contextmanager
def errors_named(path: object, wanted: str, *others: object) -> Iterator[None]:
    """Add the file to an error whose message names neither this nor another one."""
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
