"""Splits of a net's training data into a part to train on and a part to validate on."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from skorch.dataset import Dataset
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset

from imblearn_eos._torch_datasets import arrays_of, dataset_labels, named_labels
from imblearn_eos._validation import check_samples, encode_known_labels, to_array
from imblearn_eos.embedding._samples import Labelled


class EncodedSplit:
    """A net's ``train_split`` that sees the user's labels, of which the net sees the codes.

    A split need not return samples that it was given. The validation set of
    :func:`skorch.helper.predefined_split`, for example, has the labels that the user gave it.
    Labels are therefore encoded in what a split returns, wherever it has them from.

    Parameters
    ----------
    train_split : callable
        The user's split, of a dataset and its labels into two datasets.
    classes : ndarray of shape (n_classes,)
        The labels whose positions are the codes.
    dtype : numpy.dtype
        Of the codes.
    """

    def __init__(self, train_split: Callable, classes: np.ndarray, dtype: np.dtype) -> None:
        self.train_split = train_split
        self.classes = classes
        self.dtype = dtype

    def __call__(self, dataset: TorchDataset, y: Any = None, **params: Any) -> tuple:
        """Split encoded samples.

        Raises
        ------
        ValueError
            When a part has labels that are not in ``classes``.
        """
        codes = np.asarray(dataset_labels(dataset) if y is None else to_array(y, "y"))
        labels = self.classes[codes.astype(np.int64)]
        given = _with_labels(dataset, labels)
        parts = self.train_split(given, *([] if y is None else [labels]), **params)
        names = ("The training set of train_split", "The validation set of train_split")
        return tuple(
            self._encoded(part, given, dataset, name)
            for part, name in zip(parts, names, strict=True)
        )

    def _encoded(self, part, given, dataset, name):
        """Return a part of a split with codes as labels."""
        encoded = _with_base(part, given, dataset)
        if part is None or encoded is not None:
            return encoded
        # Names of classes stand for integers where y has names, too.
        read = named_labels if self.classes.dtype.kind in "UO" else dataset_labels
        codes = encode_known_labels(read(part), self.classes, name, "y")
        codes = codes.astype(self.dtype)
        arrays = arrays_of(part)
        if arrays is None:
            return Labelled(part, codes)
        # So that BatchLoader can index it.
        return Dataset(check_samples(arrays[0], estimator="Embedder"), codes)


def encode_split(train_split, classes, dtype):
    """Return a net's ``train_split`` for encoded labels; it may be one already, or None."""
    if isinstance(train_split, EncodedSplit):
        train_split = train_split.train_split
    return train_split and EncodedSplit(train_split, classes, dtype)


def _with_labels(dataset, labels):
    """Return a view of the samples that a net is fitted to, with other labels."""
    if isinstance(dataset, Dataset):
        view = copy(dataset)
        view.y = labels
        return view
    view = copy(dataset) if isinstance(dataset, Labelled) else Labelled(dataset)
    view.targets = labels
    return view


def _with_base(part, base, other):
    """Return the same samples of another dataset, or None if a part is not one of ``base``."""
    if part is base:
        return other
    # A subclass may change labels.
    if type(part) is not Subset:
        return None
    dataset = _with_base(part.dataset, base, other)
    return None if dataset is None else Subset(dataset, part.indices)
