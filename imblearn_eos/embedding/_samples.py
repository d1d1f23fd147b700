"""Samples in the form that a net takes them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from skorch.helper import SliceDataset
from torch.utils.data import Dataset, Subset

from imblearn_eos._validation import check_numbers, is_dataset

# What networks are fitted to and applied to: of shape (n_samples, ...), or a dataset.
Samples = ArrayLike | torch.Tensor | Dataset | SliceDataset


def first_samples(X, n_samples):
    """Return the first few samples of an array, tensor or dataset, as a net takes them."""
    if not is_dataset(X):
        return X[:n_samples]
    return Subset(X, range(min(n_samples, len(X))))


class Labelled(Dataset):
    """The samples of a dataset as float32, with labels from elsewhere.

    Structures, such as dicts of tensors, are passed on to torch as they are.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or skorch.helper.SliceDataset
        Of samples, or of pairs of a sample and a label that is not used.
    codes : ndarray of shape (n_samples,), default=None
        The labels. None sets all of them to 0.
    """

    def __init__(self, dataset, codes=None):
        self.dataset = dataset
        self.targets = torch.from_numpy(
            np.zeros(len(dataset), np.int64) if codes is None else codes
        )

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        sample = self.dataset[index]
        if not isinstance(self.dataset, SliceDataset) and isinstance(sample, (tuple, list)):
            sample = sample[0]
        if isinstance(sample, (np.ndarray, torch.Tensor)):
            sample = check_numbers(
                torch.as_tensor(sample),
                estimator="Embedder",
                name=f"Sample {index} of {type(self.dataset).__name__}",
                dtype=torch.float32,
            )
        return sample, self.targets[index]
