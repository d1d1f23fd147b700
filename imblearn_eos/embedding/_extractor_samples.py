"""Samples of any kind as a frozen backbone takes them, read one by one in worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from imblearn_eos._extras import import_extra
from imblearn_eos._frames import refuse_lazy
from imblearn_eos._images import convert_image, is_content, read_image
from imblearn_eos._torch_datasets import is_dataset
from imblearn_eos._validation import to_array

# Bytes of a file that are hashed at once.
CHUNK = 1 << 20


class Failure(str):
    """Why a sample cannot be embedded."""


class Samples(Dataset):
    """The rows of X, opened and preprocessed when they are asked for.

    Parameters
    ----------
    X : sequence or torch.utils.data.Dataset
        As :meth:`FeatureExtractor.transform` takes it.
    preprocess : callable or None
        From a PIL image to what the module takes.
    takes_text : bool
        Whether strings are texts rather than paths.
    """

    def __init__(self, X: Any, preprocess: Callable | None, takes_text: bool) -> None:
        self.X = check_sequence(X)
        self.preprocess = preprocess
        self.takes_text = takes_text
        if not takes_text:
            import_extra("PIL", "images")
            is_dataset = isinstance(self.X, Dataset)
            if preprocess is None and not is_dataset and len(self) and _is_image(self.X[0]):
                raise ValueError(
                    "The 'preprocess' parameter is None, but X holds images: pass a function from "
                    "a PIL image to a tensor. A function for --backbone returns the pair of the "
                    "module and its preprocess."
                )

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, row: int) -> tuple[int, Any]:
        """Return a row with its prepared sample, or with the Failure that it met."""
        try:
            return row, self._prepare(self._read(row))
        # Decoders, datasets and transforms raise anything.
        except Exception as error:
            return row, Failure(f"{self.label(row)}: {type(error).__name__}: {error}")

    def label(self, row: int) -> str:
        """Return the path of a sample, or where it is in X."""
        item = None if isinstance(self.X, Dataset) else self.X[row]
        is_path = isinstance(item, (str, os.PathLike)) and not self.takes_text
        return str(item) if is_path else f"row {row} of X"

    def digest(self, row: int) -> bytes | None:
        """Return a hash of what a sample holds, or None if it is cheaper or safer not to."""
        # Reading a dataset costs as much as embedding it, and may be random.
        if isinstance(self.X, Dataset):
            return None
        item = self.X[row]
        hasher = blake2b(type(item).__name__.encode(), digest_size=16)
        if self.takes_text:
            hasher.update(str(item).encode())
        elif isinstance(item, (str, os.PathLike)):
            hasher = blake2b(digest_size=16)
            try:
                with open(item, "rb") as file:
                    while chunk := file.read(CHUNK):
                        hasher.update(chunk)
            # It is reported when it is read for its pixels.
            except OSError:
                return None
        elif is_content(item):
            hasher.update(item)
        elif isinstance(item, Mapping):
            return None
        else:
            values = np.asarray(to_array(_to_image(item)))
            hasher.update(f"{values.dtype} {values.shape}".encode() + values.tobytes())
        return hasher.digest()

    def sort(self, rows: list[int]) -> list[int]:
        """Return rows in an order that is fast: texts of one length share a batch."""
        return sorted(rows, key=lambda row: len(str(self.X[row]))) if self.takes_text else rows

    def is_random(self) -> bool:
        """Return whether two reads of the first sample of a dataset differ."""
        if not isinstance(self.X, Dataset) or not len(self):
            return False
        first, second = (self[0][1] for _ in range(2))
        if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
            return not torch.equal(first, second)
        return False

    def _read(self, row):
        item = self.X[row]
        # Datasets return pairs of a sample and a label.
        return item[0] if isinstance(item, (tuple, list)) else item

    def _prepare(self, item):
        if self.takes_text:
            return str(item)
        item = _to_image(item)
        if not isinstance(item, (np.ndarray, torch.Tensor, Mapping)):
            item = self.preprocess(item)
        if isinstance(item, Mapping):
            return {name: torch.as_tensor(values) for name, values in item.items()}
        return torch.as_tensor(item, dtype=torch.float32)


def check_sequence(X: Any) -> Any:
    """Return X as something with a length and one sample per position."""
    refuse_lazy(X)
    if is_dataset(X):
        return X
    # One image of Pillow has the shape of many grey images.
    is_single = isinstance(X, (str, bytes, os.PathLike)) or hasattr(X, "getbands")
    if not is_single and not isinstance(X, (list, tuple, torch.Tensor)):
        X = np.asarray(X)
        # One column of a table.
        if X.ndim == 2 and X.shape[1] == 1 and X.dtype.kind in "OUTS":
            X = X[:, 0]
    if is_single or getattr(X, "ndim", 1) in (0, 2) or not len(X):
        found = f"shape {tuple(X.shape)}" if hasattr(X, "shape") else repr(X)[:80]
        found += " alone: pass a list, [X]" * is_single
        raise ValueError(
            "X must be a list or an array of paths, images or texts, an array of images (n, "
            f"height, width, channels), or a torch Dataset, with at least one sample, got {found}."
        )
    return X


def collate(samples: list[tuple[int, Any]]) -> tuple[list[int], Any, dict[int, Failure]]:
    """Return the rows of a batch that can be embedded, their inputs, and the other rows."""
    failures = {row: item for row, item in samples if isinstance(item, Failure)}
    good = [(row, item) for row, item in samples if row not in failures]
    if good:
        shape = _shape(good[0][1])
        for row, item in good:
            if _shape(item) != shape:
                failures[row] = Failure(
                    f"row {row} of X: the shape after 'preprocess' is {_shape(item)}, but {shape} "
                    "for other rows; let 'preprocess' resize images"
                )
        good = [(row, item) for row, item in good if row not in failures]
    rows, items = [row for row, _ in good], [item for _, item in good]
    is_text = bool(items) and isinstance(items[0], str)
    return rows, items if is_text or not items else default_collate(items), failures


class Batches:
    """Batches of the rows that are wanted next, for a DataLoader that lives longer."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows: list[int] = []

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        return (self.rows[i : i + self.size] for i in range(0, len(self.rows), self.size))


def _is_image(item):
    """Return whether a sample becomes an image of Pillow."""
    is_pixels = isinstance(item, np.ndarray) and item.dtype == np.uint8
    is_file = isinstance(item, (str, os.PathLike)) or is_content(item)
    return is_pixels or is_file or hasattr(item, "getbands")


def _to_image(item):
    """Return an image in RGB of what is one, and anything else as it is."""
    from PIL import Image

    if isinstance(item, (str, os.PathLike)) or is_content(item):
        return read_image(item)
    if isinstance(item, np.ndarray) and item.dtype == np.uint8:
        item = Image.fromarray(item[..., 0] if item.shape[2:] == (1,) else item)
    return convert_image(item) if isinstance(item, Image.Image) else item


def _shape(item):
    if isinstance(item, Mapping):
        return {name: tuple(values.shape) for name, values in item.items()}
    return None if isinstance(item, str) else tuple(item.shape)
