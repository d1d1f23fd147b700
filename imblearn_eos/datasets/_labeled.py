"""Labeled data of any kind, as every reader returns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

# What folders and cells call the parts of a split.
SPLITS = {
    **dict.fromkeys(["train", "training"], "train"),
    **dict.fromkeys(["validation", "val", "valid", "dev"], "validation"),
    **dict.fromkeys(["test", "testing"], "test"),
}

# Rows that are listed by name.
MAX_NAMES = 10


@dataclass
class LabeledData:
    """Rows with labels, and what their file says about them.

    Parameters
    ----------
    kind : {"photos", "images", "embeddings", "table", "text"}
        What a row of ``X`` is: an image file, pixels, an embedding, numeric features, or a text.
    X : ndarray
        "photos": dtype object, of shape (n,), paths as str, or the content of image files as a
        buffer where a file of data holds it. "images": float32, of shape (n, channels, height,
        width). "embeddings": float32, of shape (n, d), finite. "table": float64, of shape
        (n, n_features), NaN for missing values. "text": dtype object, of shape (n,), str.
    y : ndarray of shape (n,)
        The labels.
    ids : ndarray of shape (n,), dtype object, or None
        A name of every row, as str.
    groups : ndarray of shape (n,) or None
        Rows of one group, such as a patient or a video, belong to the same part of a split.
    split : ndarray of shape (n,), dtype str, or None
        "train", "validation" or "test" per row. None where the data have one part only.
    facts : dict
        What the record of a comparison states: for tables ``features`` (names of the columns) and
        ``left_out`` (columns that are not used, with the reasons), for photos ``median_size``
        (height, width) and ``unreadable`` (see `leave_out`), for images ``scaling`` (what was done
        to the pixels), for embeddings ``embedding`` (name of the column or array) or, if a backbone
        made them, ``embedded`` (the kind of what it embedded). ``sampled_from``: the number of rows
        of the file, if only some of them were drawn.
    """

    kind: str
    X: np.ndarray
    y: np.ndarray
    ids: np.ndarray | None = None
    groups: np.ndarray | None = None
    split: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> LabeledData:
        """Return the data with these rows only, as positions or a mask."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "facts"}
        arrays = {name: v[rows] for name, v in values.items() if isinstance(v, np.ndarray)}
        return replace(self, **arrays)

    def names(self) -> np.ndarray:
        """Return what to call each row: its id, the path of its photo, or its number."""
        if self.ids is not None:
            return np.asarray(self.ids, dtype=str)
        if self.kind == "photos" and all(isinstance(source, str) for source in self.X):
            return self.X.astype(str)
        return np.array([f"row {row}" for row in range(len(self))])

    def leave_out(self, failed: Mapping[int, str]) -> LabeledData:
        """Return the data without the rows that cannot be read, by position with the reason.

        ``facts["unreadable"]`` lists name, label and problem of each, also of earlier ones.
        """
        names = self.names()
        found = [
            {"name": str(names[row]), "label": str(self.y[row]), "problem": failed[row]}
            for row in sorted(failed)
        ]
        facts = {**self.facts, "unreadable": [*self.facts.get("unreadable", ()), *found]}
        if not found:
            return replace(self, facts=facts)
        is_kept = ~np.isin(np.arange(len(self)), list(failed))
        # Numbers of rows count those that are left out.
        return replace(self, ids=names.astype(object), facts=facts).take(is_kept)


def describe_left_out(unreadable: list[dict[str, str]], n_left: int, kind: str) -> str:
    """Return a sentence on the rows that were left out."""
    shown = [f"{entry['name']} ({entry['problem']})" for entry in unreadable[:MAX_NAMES]]
    n_others = len(unreadable) - len(shown)
    others = f" and {n_others} other{'s' * (n_others > 1)}" * (n_others > 0)
    return (
        f"Left out {len(unreadable)} of {n_left + len(unreadable)} {kind} that cannot be read: "
        f"{', '.join(shown)}{others}."
    )


def split_name(name: object) -> str | None:
    """Return the part of a split that goes by this name: train, validation, test or None."""
    return SPLITS.get(str(name).strip().lower())


def concatenate(
    train: LabeledData,
    *,
    test: LabeledData | None = None,
    validation: LabeledData | None = None,
) -> LabeledData:
    """Return the parts as one, with the part of each row in ``split``.

    Parameters
    ----------
    train : LabeledData
        Its facts are those of the result, but all parts count for ``unreadable``.
    test, validation : LabeledData or None, default=None
        Of the same kind and width; the columns of tables are matched by name.

    Returns
    -------
    LabeledData
        ``train`` itself if there is no other part.

    Raises
    ------
    ValueError
        When the parts are of different kind or width, have a split of their own, or a part has
        labels that do not occur in ``train``.
    """
    others = {"validation": validation, "test": test}
    parts = {"train": train, **{name: part for name, part in others.items() if part is not None}}
    if len(parts) == 1:
        return train
    for name, part in parts.items():
        if problem := _find_problem(train, part):
            raise ValueError(f"The {name} data do not fit: {problem}.")
    parts = {name: _match_columns(train, part) for name, part in parts.items()}
    values = {name: _join(name, parts.values()) for name in ("X", "y", "ids", "groups")}
    sizes = [len(part) for part in parts.values()]
    facts = dict(train.facts)
    if "unreadable" in facts:
        facts["unreadable"] = [e for part in parts.values() for e in part.facts["unreadable"]]
    return replace(train, **values, split=np.repeat(list(parts), sizes), facts=facts)


def _find_problem(train, part):
    """Return why a part does not fit the training data, or None."""
    # The command says more about a class that has lost all training photos.
    if lost := [entry["label"] for entry in train.facts.get("unreadable", ())]:
        part = part.take(~np.isin(part.y.astype(str), lost))
    shapes = [data.X.shape[1:] for data in (train, part)]
    features = [set(data.facts.get("features", ())) for data in (train, part)]
    if part.split is not None:
        return "they have a split of their own; use that, or give files without"
    if part.kind != train.kind:
        return f"they are {part.kind}, not {train.kind}; give data of one kind"
    if missing := sorted(features[0] - features[1]):
        reasons = part.facts["left_out"]
        found = [f"{name!r} ({reasons.get(name, 'not there')})" for name in missing]
        return f"they lack the numeric columns {', '.join(found)}; add them, or use --drop for both"
    if train.kind != "table" and shapes[0] != shapes[1]:
        return f"their rows have the shape {shapes[1]}, not {shapes[0]}; read both in the same way"
    # Numbers may be whole in one file and floats in another.
    is_number = part.y.dtype.kind in "buif" and train.y.dtype.kind in "buif"
    found, known = (data.y if is_number else data.y.astype(str) for data in (part, train))
    if unknown := np.setdiff1d(found, known).tolist():
        return f"the labels {unknown} do not occur in training; remove these rows or rename them"
    return None


def _match_columns(train, part):
    if train.kind != "table" or "features" not in train.facts:
        return part
    names = list(part.facts["features"])
    return replace(part, X=part.X[:, [names.index(name) for name in train.facts["features"]]])


def _join(name, parts):
    values = [getattr(part, name) for part in parts]
    if all(value is None for value in values):
        return None
    filled = [
        np.full(len(part), "", dtype=object) if value is None else value
        for part, value in zip(parts, values, strict=True)
    ]
    return np.concatenate(filled)
