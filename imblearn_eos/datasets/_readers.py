"""The formats that the command reads. To add one, add one entry to `READERS`."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from imblearn_eos._compat import Interval, validate_params
from imblearn_eos.datasets._arrays import read_npy, read_npz, read_safetensors
from imblearn_eos.datasets._arrow import is_arrow, is_parquet, read_arrow, read_parquet
from imblearn_eos.datasets._columns import errors_named
from imblearn_eos.datasets._csv_rows import read_csv
from imblearn_eos.datasets._folder import read_folder
from imblearn_eos.datasets._labeled import LabeledData, concatenate
from imblearn_eos.datasets._photos import to_images

ROWS = ("target", "id", "group", "split")
# Not of a format, but of what is done with photos once they are found.
PIXELS = ("pixels", "image_size")


@dataclass(frozen=True)
class Reader:
    """How the command reads one format.

    Attributes
    ----------
    format : str
        Description of the format, for help and errors.
    matches : callable
        Called with an existing path; returns whether it has this format.
    load : callable
        Called with the path and some of the ``options``; returns `LabeledData`. `read` calls it.
    options : tuple of str, default=()
        The options of `read` that apply: those that ``load`` takes as keyword arguments, and
        `PIXELS` where the data may be photos.
    """

    format: str
    matches: Callable[[Path], bool]
    load: Callable[..., LabeledData]
    options: tuple[str, ...] = ()


def _has_suffix(*suffixes):
    return lambda path: path.is_file() and path.suffix.lower() in suffixes


def _is_csv(path):
    # Also .csv.gz.
    return path.is_file() and ".csv" in [suffix.lower() for suffix in path.suffixes]


def _is_npz(path):
    if path.suffix.lower() == ".npz" or not zipfile.is_zipfile(path):
        return path.suffix.lower() == ".npz"
    # Other formats, such as those of torch and of spreadsheets, are archives, too.
    with zipfile.ZipFile(path) as archive:
        return all(name.endswith(".npy") for name in archive.namelist())


# The first that matches is taken.
READERS = {
    "arrow": Reader(
        "a folder of datasets.save_to_disk",
        is_arrow,
        read_arrow,
        options=(*ROWS, "text", "embedding", "drop", *PIXELS),
    ),
    "parquet": Reader(
        "Parquet (a file, or a folder of such)",
        is_parquet,
        read_parquet,
        options=(*ROWS, "text", "embedding", "drop", "sample", *PIXELS),
    ),
    "folder": Reader(
        "a folder with one sub-folder of images per class, also within train, validation and test",
        Path.is_dir,
        read_folder,
        options=PIXELS,
    ),
    "csv": Reader(
        "a .csv file (with --target)",
        _is_csv,
        read_csv,
        options=(*ROWS, "text", "no_header", "sep", "decimal", "drop", *PIXELS),
    ),
    "npy": Reader(
        "an .npy file (with --labels)",
        _has_suffix(".npy"),
        read_npy,
        options=("labels", "target"),
    ),
    "safetensors": Reader(
        "a .safetensors file with X and y",
        _has_suffix(".safetensors"),
        read_safetensors,
        options=(*ROWS, "embedding", "labels"),
    ),
    "npz": Reader(
        "an .npz file with X and y, numbers or strings",
        _is_npz,
        read_npz,
        options=(*ROWS, "embedding", "labels"),
    ),
}


@validate_params(
    {
        "pixels": ["boolean"],
        "image_size": [Interval(Integral, 1, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def read(
    path: str | os.PathLike,
    *,
    test: str | os.PathLike | None = None,
    validation: str | os.PathLike | None = None,
    pixels: bool = False,
    image_size: int | None = None,
    **options: Any,
) -> LabeledData:
    """Read labeled data in any format.

    Parameters
    ----------
    path : str or path-like
        A file or folder, in one of the formats of `READERS`.
    test, validation : str, path-like or None, default=None
        Files or folders of further rows of the same kind, read with the same options.
    pixels : bool, default=False
        Decode photos: they become images of kind "images".
    image_size : int or None, default=None
        Side of the squares that photos become; needs ``pixels``. None: see `to_images`.
    **options : object
        Some of the reader's ``options``; None and False are as if not given.
        ``target``, ``id``, ``group``, ``split``, ``text``, ``embedding``: names of columns or
        arrays. ``labels``: path of a file of labels. ``no_header``, ``sep``, ``decimal``: of a
        .csv file. ``drop``: names of columns of a table to leave out. ``sample``: how many rows of
        each file or folder of Parquet to draw, always the same ones.

    Returns
    -------
    LabeledData
        Photos are paths, and only their headers have been read, unless ``pixels``.

    Raises
    ------
    ValueError
        When the format is not known, an option does not apply to it, or the rows are unusable.
    """
    data = _read_part(path, {**options, "image_size": image_size})
    # A file of labels belongs to one file of rows.
    labels, options = options.get("labels"), options | {"labels": None}
    parts = {"test": test, "validation": validation}
    bare = [str(part) for part in parts.values() if str(part).lower().endswith(".npy")]
    if labels is not None and bare:
        raise ValueError(
            f"labels={str(labels)!r} (--labels) are those of {path}, and {bare[0]} has none. Save "
            "it as an .npz file with X and y."
        )
    others = {name: _read_part(part, options) for name, part in parts.items() if part is not None}
    data = concatenate(data, **others)
    return to_images(path, data, image_size) if pixels and data.kind == "photos" else data


def _read_part(path, options):
    path = Path(path)
    reader = find_reader(path)
    given = {name: value for name, value in options.items() if is_given(name, value)}
    if unused := sorted(set(given) - set(reader.options)):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise ValueError(f"{names} does not apply to {path}, which is read as {reader.format}.")
    given = {name: value for name, value in given.items() if name not in PIXELS}
    with errors_named(path, reader.format, *filter(None, [given.get("labels")])):
        data = reader.load(path, **given)
    if "drop" in given and data.kind != "table":
        raise ValueError(f"--drop does not apply to {path}, which holds {data.kind}, not a table.")
    return data


def is_given(name, value):
    # The command passes all options, and the point as the default of this one.
    return value is not None and value is not False and (name, value) != ("decimal", ".")


def find_reader(path: str | os.PathLike) -> Reader:
    """Return the reader of a file or folder, by its name or content."""
    if not Path(path).exists():
        raise ValueError(f"{path} does not exist.")
    for reader in READERS.values():
        if reader.matches(Path(path)):
            return reader
    raise ValueError(f"{path} has none of the formats that are read: {describe_formats()}.")


def describe_formats() -> str:
    """Return the formats that are read as one phrase."""
    *formats, last = (reader.format for reader in READERS.values())
    return f"{', '.join(formats)}, or {last}"
