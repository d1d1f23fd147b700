"""What a `FeatureExtractor` reads: images one by one, in workers, and texts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from imblearn_eos._images import convert, read_image


class Inputs(Dataset):
    """Samples as a backbone takes them, read when they are needed.

    An item is a pair of a tensor (or a text) and None, or of None and what went wrong.

    Parameters
    ----------
    samples : sequence or torch.utils.data.Dataset
        As `check_inputs` returns them.
    preprocess : callable or None
        As in `Backbone`.
    takes_texts : bool, default=False
        Whether the samples are texts, which are not paths then.
    """

    def __init__(
        self, samples: Any, preprocess: Callable | None, *, takes_texts: bool = False
    ) -> None:
        self.samples, self.preprocess, self.takes_texts = samples, preprocess, takes_texts

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, str | None]:
        try:
            sample = self.samples[index]
            return (sample if self.takes_texts else self._prepare(sample)), None
        # Pillow's decoders raise nearly anything on a broken file: OSError, SyntaxError...
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"

    def _prepare(self, sample):
        # Pairs of a sample and its label, as datasets of torch hold them.
        sample = sample[0] if isinstance(sample, (tuple, list)) else sample
        if isinstance(sample, torch.Tensor):
            return sample
        image = to_image(sample)
        if self.preprocess is not None:
            return self.preprocess(image)
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255

    def digest(self, index: int) -> str:
        """Return a hash of the content of a sample."""
        sample = self.samples[index]
        sample = sample[0] if isinstance(sample, (tuple, list)) else sample
        hasher = hashlib.blake2b(digest_size=20)
        if self.takes_texts:
            hasher.update(sample.encode("utf-8", errors="surrogatepass"))
        elif isinstance(sample, (str, os.PathLike)):
            try:
                with open(sample, "rb") as file:
                    hasher.update(file.read())
            # The image is not read either, and the error is told then.
            except OSError as error:
                hasher.update(repr(error).encode())
        elif _is_content(sample):
            hasher.update(sample)
        else:
            values = np.asarray(sample)
            mode = getattr(sample, "mode", "")
            hasher.update(f"{mode}{values.shape}{values.dtype.str}".encode())
            hasher.update(np.ascontiguousarray(values).view(np.uint8).data)
        return hasher.hexdigest()

    def name(self, index: int) -> str:
        """Return what to call a sample in errors."""
        is_path = isinstance(self.samples, np.ndarray) and isinstance(
            self.samples[index], (str, os.PathLike)
        )
        return str(self.samples[index]) if is_path and not self.takes_texts else f"sample {index}"


def to_image(sample: Any) -> Any:
    """Return a path, the content of a file, an array or an image of Pillow as an RGB image."""
    from PIL import Image

    if isinstance(sample, (str, os.PathLike)) or _is_content(sample):
        return read_image(sample)
    if isinstance(sample, np.ndarray):
        if sample.dtype != np.uint8 or sample.ndim not in (2, 3):
            raise ValueError(
                f"An image has dtype {sample.dtype} and shape {sample.shape}; arrays must be uint8 "
                "of shape (height, width) or (height, width, channels)."
            )
        # Pillow knows grey images without an axis of channels.
        sample = Image.fromarray(sample[..., 0] if sample.shape[2:] == (1,) else sample)
    if not isinstance(sample, Image.Image):
        raise ValueError(
            f"A sample is {type(sample).__name__}; it must be a path, an image of Pillow, a uint8 "
            "array or a tensor."
        )
    return convert(sample)


def collate(items: Sequence[tuple[Any, str | None]]) -> tuple[Any, list[int], list[str | None]]:
    """Return the good samples of a batch, their positions in it, and what went wrong elsewhere."""
    errors = [error for _, error in items]
    rows = [row for row, error in enumerate(errors) if error is None]
    good = [items[row][0] for row in rows]
    if good and isinstance(good[0], torch.Tensor):
        return torch.stack(good), rows, errors
    return good, rows, errors


def check_inputs(X: Any, takes: str) -> Any:
    """Return samples as a sequence or dataset with a length.

    Raises
    ------
    ValueError
        When X is empty, a single sample, or of a kind that the backbone does not take.
    """
    if isinstance(X, (str, os.PathLike)):
        raise ValueError(f"X is one path or text ({str(X)[:80]!r}); pass a list of them.")
    samples: Any = X
    if not (isinstance(X, Dataset) or getattr(X, "ndim", 1) > 2):
        # An array of strings may be a column of a data frame.
        samples = np.empty(len(X), dtype=object)
        samples[:] = list(np.asarray(X, dtype=object).ravel()) if _is_column(X) else list(X)
    if len(samples) == 0:
        raise ValueError("X has 0 samples; at least 1 is required.")
    if takes == "texts" and not all(isinstance(text, str) for text in samples):
        raise ValueError("X must be a list of str: the backbone embeds texts.")
    return samples


def _is_content(sample):
    """Return whether a sample is the content of a file: bytes, or any other buffer of them."""
    if isinstance(sample, (np.ndarray, torch.Tensor)):
        return False
    try:
        return memoryview(sample).ndim == 1
    except TypeError:
        return False


def _is_column(X):
    return getattr(X, "ndim", 1) == 2 and X.shape[1] == 1
