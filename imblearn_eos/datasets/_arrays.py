"""Arrays with names: the files of NumPy and of safetensors."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from imblearn_eos._extras import import_extra
from imblearn_eos.datasets._cells import is_missing, to_labels
from imblearn_eos.datasets._columns import (
    Columns,
    check_finite,
    check_shape,
    errors_named,
    read_labels,
)
from imblearn_eos.datasets._csv_rows import find_names, read_columns
from imblearn_eos.datasets._labeled import LabeledData

# What the array of embeddings, features or images is usually called.
USUAL_NAMES = ("X", "embeddings", "embedding", "features")
# The array of a file without names, and what `EmbeddingWriter` writes beside arrays of rows.
ONLY, DESCRIPTION = "X", "description"


def read_npz(path: Path, **options: Any) -> LabeledData:
    """Read embeddings or images from an .npz file; see `_read_arrays`."""
    with open(path, "rb") as file, _load(path, np.load, file) as arrays:
        columns = Columns(path, list(arrays), partial(_load, path, arrays.__getitem__), "array")
        if "indptr" in columns.names:
            columns.hint = " A sparse matrix can be saved as an array X = matrix.toarray()."
        return _read_arrays(columns, **options)


def read_npy(path: Path, **options: Any) -> LabeledData:
    """Read the same from an .npy file and a file of labels."""
    array = _load(path, np.load, path)
    columns = Columns(path, [ONLY], lambda name: array, "array")
    return _read_arrays(columns, **options)


def read_safetensors(path: Path, **options: Any) -> LabeledData:
    """Read the same from the tensors of a safetensors file."""
    safetensors = import_extra("safetensors", "embeddings")

    def read(name):
        # NumPy has no bfloat16.
        tensor = file.get_tensor(name)
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()

    with safetensors.safe_open(path, framework="pt") as file:
        columns = Columns(path, list(file.keys()), read, "tensor")
        return _read_arrays(columns, **options)


def _load(path, load, name):
    """Return an array, without unpickling anything, because that could run code."""
    try:
        return load(name)
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        if "Object arrays" not in str(error):
            raise ValueError("it does not have NumPy's format") from error
        array = f" in the array {name!r}" if name != path else ""
        raise ValueError(
            f"{path} holds Python objects{array}, which are not loaded because that could run "
            "code. Drop missing values, and save strings or numbers: array.astype(str)."
        ) from error


def _read_arrays(
    columns: Columns,
    *,
    target: str | None = None,
    id: str | None = None,
    group: str | None = None,
    split: str | None = None,
    embedding: str | None = None,
    labels: str | os.PathLike | None = None,
) -> LabeledData:
    """Return embeddings or images, depending on the dimensions of the array.

    ``labels`` is a file of labels, in which ``target`` then names the column.
    """
    name = columns.choose("embedding", embedding, USUAL_NAMES)
    X = columns.read(name)
    if X.dtype.kind not in "buif" or X.ndim not in (2, 3, 4) or not X.size:
        raise ValueError(
            f"The {columns.kind} {name!r} of {columns.path} has shape {X.shape} and dtype "
            f"{X.dtype}. It must hold numbers: embeddings of shape (n, features), or images of "
            "shape (n, channels, height, width) or (n, height, width), none of which may be 0."
        )
    rest = replace(columns, names=[other for other in columns.names if other != name])
    if labels is not None:
        with errors_named(labels, "labels, which are .npy, .csv or text with one label per line"):
            y = read_label_file(Path(labels), target)
        rest = Columns(labels, ["labels"], lambda name: y)
        target = "labels"
    rows, used = read_labels(rest, target, id, group, split)
    option = "target" if labels is None else "labels"
    check_shape(rest, option, used["target"], rows["y"], X.shape[:1])
    is_image = X.ndim > 2
    scale = np.iinfo(X.dtype).max if is_image and X.dtype in (np.uint8, np.uint16) else 1
    facts = {} if is_image else {"embedding": name}
    with np.errstate(over="ignore"):
        X = X.astype(np.float32, copy=False)
    if scale > 1:
        X /= scale
        facts["scaling"] = f"divided by {scale}"
    if X.ndim == 3:
        X = X[:, np.newaxis]
    check_finite(columns.path, X)
    if DESCRIPTION in columns.names:
        facts[DESCRIPTION] = str(columns.read(DESCRIPTION))
    return LabeledData("images" if is_image else "embeddings", X, **rows, facts=facts)


def read_label_file(path: Path, target: str | None = None) -> np.ndarray:
    """Return the labels in a file: .npy, .csv with one column or ``target``, else one per line."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _load(path, np.load, path)
    if suffix == ".csv":
        layout: dict[str, Any] = {"header": True, "sep": None, "decimal": "."}
        names = find_names(path, **layout)
        columns = Columns(path, names, lambda name: read_columns(path, [name], **layout)[name])
        texts = columns.read(columns.choose("target", target, names))
    else:
        texts = path.read_text(encoding="utf-8-sig").splitlines()
    if any(map(is_missing, texts)):
        return np.array([None if is_missing(text) else text for text in texts], dtype=object)
    return to_labels(list(texts))
