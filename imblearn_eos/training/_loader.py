"""A data loader that indexes arrays once per batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset, default_collate

from imblearn_eos._torch_datasets import arrays_of, indices_of


class BatchLoader(DataLoader):
    """A data loader that takes each batch from an array with one index operation.

    torch's own loader takes samples one by one and stacks them. Use this one as ``iterator_train``
    or ``iterator_valid`` of a net that is fitted to arrays of numbers or tensors. Other data, such
    as arrays of objects, are read sample by sample, as by torch's loader.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Passed by skorch.
    **kwargs : dict
        As for :class:`torch.utils.data.DataLoader`, except ``collate_fn``.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from torch.nn import CrossEntropyLoss
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import BatchLoader
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=CrossEntropyLoss,
    ...     iterator_train=BatchLoader,
    ...     iterator_valid=BatchLoader,
    ... )
    """

    def __init__(self, dataset: torch.utils.data.Dataset, **kwargs: Any) -> None:
        super().__init__(_Batches(dataset), collate_fn=_unchanged, **kwargs)


class _Batches(torch.utils.data.Dataset):
    """A dataset that returns whole batches, as lists of samples and labels."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]

    def __getitems__(self, indices):
        dataset, indices = self.dataset, np.asarray(indices)
        while type(dataset) is Subset:
            dataset, indices = dataset.dataset, indices_of(dataset)[indices]
        arrays = arrays_of(dataset)
        if arrays is None or not all(map(_is_numeric, arrays)):
            return default_collate([dataset[i] for i in indices.tolist()])
        # Indexing with an array copies, in NumPy and in torch, so the user's data stays as it is.
        return [torch.as_tensor(array[indices]) for array in arrays]


def _is_numeric(array):
    """Return whether torch can make a tensor of an array, which may hold objects."""
    return isinstance(array, torch.Tensor) or array.dtype.kind in "biufc"


def _unchanged(batch):
    return batch
