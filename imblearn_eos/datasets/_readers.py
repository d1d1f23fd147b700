"""The formats that the command reads. To add one, add one entry to `READERS`."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imblearn_eos.datasets._csv import load_table
from imblearn_eos.datasets._folder import load_image_folder
from imblearn_eos.datasets._npz import load_npz


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
        Called with the path and ``options``; returns X, y and a dict of facts for the record of the
        comparison. X is of shape (n_samples, channels, height, width), or for a table (n_samples,
        n_features); the facts on a table include ``features``, their names, and ``left_out``, the
        columns that are not used, with the reasons.
    is_table : bool, default=False
        Whether it holds rows of features instead of images.
    options : tuple of str, default=()
        The options of the command that ``load`` takes as keyword arguments.
    """

    format: str
    matches: Callable[[Path], bool]
    load: Callable[..., tuple]
    is_table: bool = False
    options: tuple[str, ...] = ()


def _load_folder(path, image_size):
    return *load_image_folder(path, size=image_size), {}


def _load_npz(path):
    return *load_npz(path), {}


def _load_csv(path, target, no_header, sep, decimal):
    table = load_table(path, target=target, header=not no_header, sep=sep, decimal=decimal)
    facts = {"features": table.data.columns.tolist(), "left_out": table.left_out}
    return table.data.to_numpy(), table.target, facts


def _is_csv(path):
    # Also .csv.gz.
    return ".csv" in [suffix.lower() for suffix in path.suffixes]


def _is_npz(path):
    return path.suffix.lower() == ".npz" or zipfile.is_zipfile(path)


# The first that matches is taken.
READERS = {
    "folder": Reader(
        "a folder with one sub-folder of images per class",
        Path.is_dir,
        _load_folder,
        options=("image_size",),
    ),
    "csv": Reader(
        "a .csv file (with --target)",
        _is_csv,
        _load_csv,
        is_table=True,
        options=("target", "no_header", "sep", "decimal"),
    ),
    "npz": Reader("an .npz file with X and y", _is_npz, _load_npz),
}


def find_reader(path: Path) -> Reader:
    """Return the reader of a file or folder, by its name or content."""
    for reader in READERS.values():
        if path.exists() and reader.matches(path):
            return reader
    raise ValueError(
        f"{path} does not exist, or has none of the formats that are read: {describe_formats()}."
    )


def describe_formats() -> str:
    """Return the formats that are read as one phrase."""
    *formats, last = (reader.format for reader in READERS.values())
    return f"{', '.join(formats)}, or {last}"
