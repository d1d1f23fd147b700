"""Photos that a file of data names or contains, and their pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from imblearn_eos.datasets._image_files import (
    Problems,
    default_size,
    is_image_name,
    median_size,
    read_headers,
    read_pixels,
    warn_of_frames,
)
from imblearn_eos.datasets._labeled import LabeledData

# The column with the paths of photos.
PATH = "path"
READABLE = "readable images"


def are_photos(names: np.ndarray) -> bool:
    """Return whether the first of these texts names an image."""
    return len(names) > 0 and is_image_name(str(names[0]))


def find_files(folder: Path, names: np.ndarray) -> np.ndarray:
    """Return the paths of files that are named from a folder."""
    return np.array([str(folder / str(name)) for name in names], dtype=object)


def make_photos(path: object, sources: np.ndarray, rows: dict[str, Any]) -> LabeledData:
    """Return photos, without those whose headers are bad.

    Parameters
    ----------
    path : path-like
        The file that names or contains them.
    sources : ndarray of shape (n,), dtype object
        Paths, or contents of files.
    rows : dict
        y, ids, groups and split.
    """
    data = leave_out_unreadable(LabeledData("photos", sources, **rows))
    if not len(data):
        problems = Problems()
        add_left_out(problems, data)
        problems.refuse(path, READABLE)
    return data


def leave_out_unreadable(data: LabeledData) -> LabeledData:
    """Return the photos whose headers can be read; ``facts["unreadable"]`` lists the others."""
    headers, failed = read_headers(data.X, data.names())
    warn_of_frames(headers)
    data = data.leave_out(failed)
    if headers:
        data.facts["median_size"] = median_size(headers)
    return data


def add_left_out(problems: Problems, data: LabeledData) -> None:
    """Add the photos that were left out to the problems."""
    entries = data.facts["unreadable"]
    names = [entry["name"] for entry in entries]
    problems.add_unreadable(names, {i: entry["problem"] for i, entry in enumerate(entries)})


def to_images(path: object, data: LabeledData, image_size: int | None) -> LabeledData:
    """Return photos as pixels; ``facts["image_size"]`` is their (height, width).

    Without a size, photos that all have one small size stay as they are; others become squares of
    64 pixels.
    """
    problems, names = Problems(), data.names()
    headers, _ = read_headers(data.X, names)
    size = (image_size, image_size) if image_size else default_size(headers)
    X, failed = read_pixels(data.X, headers, size)
    add_left_out(problems, data)
    problems.add_unreadable(names, failed)
    problems.refuse(path, READABLE)
    facts = {**data.facts, "image_size": list(size)}
    return replace(data, kind="images", X=X, facts=facts)
