"""Samples in the form that a net takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from skorch.helper import SliceDataset
from torch.utils.data import Dataset, Subset

from imblearn_eos._frames import refuse_lazy
from imblearn_eos._torch_datasets import LABEL_KEYS, arrays_of, is_dataset
from imblearn_eos._validation import check_numbers, check_samples

# What networks are fitted to and applied to: of shape (n_samples, ...), a dict of such, or a
# dataset.
Samples = ArrayLike | torch.Tensor | Mapping | Dataset | SliceDataset


def as_samples(X, *, estimator, preprocess=None, min_samples=1):
    """Validate samples, of any kind that an Embedder takes.

    Parameters
    ----------
    X : array-like, torch.Tensor, mapping, torch.utils.data.Dataset or skorch.helper.SliceDataset
        The samples.
    estimator : estimator object
        Named in errors.
    preprocess : callable, default=None
        What turns one sample into what the network takes. If there is one, X may be any sequence.
    min_samples : int, default=1
        The least number of samples.

    Returns
    -------
    ndarray, torch.Tensor or dataset
        As :func:`check_samples` returns them. A mapping and whatever will be preprocessed become
        datasets.
    """
    refuse_lazy(X)
    if isinstance(X, Mapping):
        X = DictDataset(X, estimator=estimator)
    elif preprocess is not None and not is_dataset(X):
        X = ListDataset(X)
    return check_samples(X, estimator=estimator, min_samples=min_samples)


def first_samples(X, n_samples):
    """Return the first few samples of an array, tensor or dataset, as a net takes them."""
    if not is_dataset(X):
        return X[:n_samples]
    return Subset(X, range(min(n_samples, len(X))))


def is_random(X):
    """Return whether reading the first few samples of a dataset again gives other samples.

    Parameters
    ----------
    X : ndarray, torch.Tensor or dataset
        Samples that were validated. A dataset is read with the global random states.
    """
    if not is_dataset(X) or isinstance(X.dataset, DictDataset) or arrays_of(X.dataset):
        return False
    # A flip with a probability of one half changes at least one of so many.
    return not all(_is_same(X[i][0], X[i][0]) for i in range(min(8, len(X))))


def _is_same(a, b):
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_is_same(a[key], b[key]) for key in a)
    return not isinstance(a, torch.Tensor) or torch.equal(a, b)


class DictDataset(Dataset):
    """A dict of arrays as a dataset of dicts.

    Parameters
    ----------
    columns : mapping of str to {array-like, torch.Tensor} of shape (n_samples, ...)
        The inputs of the network by the names that its ``forward`` gives them.
    estimator : estimator object
        Named in errors.
    """

    def __init__(self, columns: Mapping, *, estimator: Any) -> None:
        self.columns = {
            name: values if isinstance(values, torch.Tensor) else np.asarray(values)
            for name, values in columns.items()
        }
        shapes = {name: tuple(values.shape) for name, values in self.columns.items()}
        lengths = {shape[0] if shape else None for shape in shapes.values()}
        if len(lengths) != 1 or None in lengths:
            raise ValueError(
                f"{type(estimator).__name__} expects a dict of arrays of equal length as X, got "
                f"the shapes {shapes}."
            )
        self.length: Any = lengths.pop()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        return {name: values[index] for name, values in self.columns.items()}


class ListDataset(Dataset):
    """Samples of any type, such as paths or images of Pillow, as a dataset.

    Parameters
    ----------
    samples : sequence, Series or ndarray
        Has a length and is indexed by positions.
    """

    def __init__(self, samples: Any) -> None:
        # A Series is indexed by its labels.
        self.samples = samples.to_numpy() if hasattr(samples, "to_numpy") else samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple:
        return (self.samples[index],)


class Labelled(Dataset):
    """The samples of a dataset as float32, with labels from elsewhere.

    In dicts, integers and booleans stay as they are, and labels are left out; other structures are
    passed on to torch as they are.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or skorch.helper.SliceDataset
        Of samples, or of pairs of a sample and a label that is not used.
    codes : ndarray of shape (n_samples,), default=None
        The labels. None sets all of them to 0.
    preprocess : callable, default=None
        Turns one sample into what the network takes.
    """

    def __init__(
        self,
        dataset: Any,
        codes: np.ndarray | None = None,
        preprocess: Callable | None = None,
    ) -> None:
        self.dataset = dataset
        self.targets = torch.from_numpy(
            np.zeros(len(dataset), np.int64) if codes is None else codes
        )
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple:
        sample = self.dataset[index]
        if not isinstance(self.dataset, SliceDataset) and isinstance(sample, (tuple, list)):
            sample = sample[0]
        if isinstance(sample, Mapping):
            sample = {key: value for key, value in sample.items() if key not in LABEL_KEYS}
        if self.preprocess is not None:
            sample = self.preprocess(sample)
        name = f"Sample {index} of {type(self.dataset).__name__}"
        if isinstance(sample, Mapping):
            sample = {
                key: _as_float32(value, f"{key!r} of {name}", keep_integers=True)
                for key, value in sample.items()
            }
        else:
            sample = _as_float32(sample, name, keep_integers=self.preprocess is not None)
        return sample, self.targets[index]


def _as_float32(values, name, keep_integers):
    """Return the numbers of a sample as a tensor; return anything else as it is."""
    if not isinstance(values, (np.ndarray, np.generic, torch.Tensor)):
        return values
    values = torch.as_tensor(values)
    if keep_integers and not values.is_floating_point():
        return values
    return check_numbers(values, estimator="Embedder", name=name, dtype=torch.float32)
