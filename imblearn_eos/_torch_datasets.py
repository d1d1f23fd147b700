"""Torch datasets as samples: their labels, their names of classes and their arrays."""

from collections.abc import Mapping

import numpy as np
import torch
from skorch.dataset import Dataset as SkorchDataset
from skorch.helper import SliceDataset
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

# Items that are dicts have their label under one of these keys.
LABEL_KEYS = ("label", "labels")


def is_dataset(X):
    """Return whether X is a torch dataset or a slice of one, and not an array or a tensor.

    Raises
    ------
    TypeError
        When X is None, a DataLoader, or a dataset without a length.
    """
    found = isinstance(X, (Dataset, SliceDataset))
    is_stream = isinstance(X, (DataLoader, IterableDataset))
    if X is None or is_stream or (found and not hasattr(X, "__len__")):
        raise TypeError(
            "X must be an array, a tensor or a map-style torch.utils.data.Dataset with a length, "
            f"got {type(X).__name__}. Instead of a DataLoader, pass its dataset."
        )
    return found


def dataset_labels(dataset):
    """Read the labels of a torch dataset.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or skorch.helper.SliceDataset
        Of pairs of a sample and a label. Its attribute ``targets``, if it has one, is used;
        otherwise every sample is loaded once.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    TypeError
        When the items are not pairs of a sample and one label.
    """
    labels = _targets(dataset)
    if labels is None:
        source, indices = dataset, range(len(dataset))
        if isinstance(dataset, SliceDataset):
            source, indices = dataset.dataset, dataset.indices_
        labels = np.asarray([_label_of(source[i], source) for i in indices])
    return labels


def named_labels(dataset, in_order=False):
    """Read the labels of a torch dataset, as names if it has them.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or skorch.helper.SliceDataset
        As for :func:`dataset_labels`. If it, or the dataset of a subset, has an attribute
        ``classes`` with distinct strings, and its labels are positions in it, as in torchvision's
        ImageFolder, the strings become the labels.
    in_order : bool, default=False
        Whether to use names only if they are in sorted order, so that the positions of labels in
        sorted order stay what they are.

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    labels, names = dataset_labels(dataset), _class_names(dataset)
    is_list = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if not is_list or len(set(names)) != len(names) or labels.dtype.kind not in "iu":
        return labels
    if in_order and list(names) != sorted(names):
        return labels
    is_position = len(labels) > 0 and labels.min() >= 0 and labels.max() < len(names)
    return np.asarray(names)[labels] if is_position else labels


def _class_names(dataset):
    # Another subclass of Subset may change labels.
    is_part = isinstance(dataset, SliceDataset) or type(dataset) is Subset
    return _class_names(dataset.dataset) if is_part else getattr(dataset, "classes", None)


def _targets(dataset):
    """Return the labels that a dataset, or the dataset of a subset, holds as ``targets``."""
    if isinstance(dataset, SliceDataset):
        labels, indices = _targets(dataset.dataset), dataset.indices_
    # A subclass may change labels.
    elif type(dataset) is Subset:
        labels, indices = _targets(dataset.dataset), indices_of(dataset)
    elif (arrays := arrays_of(dataset)) is not None and len(arrays) == 2 and arrays[1].ndim == 1:
        labels, indices = arrays[1], slice(None)
    else:
        labels, indices = getattr(dataset, "targets", None), slice(None)
    return None if labels is None else _on_host(labels)[indices]


def indices_of(subset):
    """Return the positions of a subset's samples as an array."""
    return _on_host(subset.indices)


def _on_host(values):
    """Return a list, or a tensor on any device, as an array."""
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)


def arrays_of(dataset):
    """Return the arrays behind a dataset, of samples and labels, or None if there are none.

    Datasets of skorch, of tensors, and subsets of them have arrays; those of a subset are copies.
    Where skorch's dataset has no labels, there is one 0 for each sample, as its items have.
    """
    arrays = None
    if type(dataset) is Subset:
        whole, indices = arrays_of(dataset.dataset), indices_of(dataset)
        return None if whole is None else tuple(array[indices] for array in whole)
    if type(dataset) is TensorDataset:
        arrays = dataset.tensors
    elif type(dataset) is SkorchDataset:
        # BatchLoader comes here for every batch, so it is a view of a single number.
        none = np.broadcast_to(np.float32(0), (len(dataset), 1))
        arrays = dataset.X, none if dataset.y is None else dataset.y
    is_plain = arrays and all(isinstance(array, (np.ndarray, torch.Tensor)) for array in arrays)
    return arrays if is_plain else None


def _label_of(item, dataset):
    label = None
    if isinstance(item, Mapping):
        label = next((item[key] for key in LABEL_KEYS if key in item), None)
    elif isinstance(item, (tuple, list)) and len(item) > 1:
        label = item[1]
    if label is None or np.ndim(label) != 0:
        raise TypeError(
            f"The items of {type(dataset).__name__} must be pairs (sample, label) with a single "
            "label, or dicts with one as 'label' or 'labels'. Pass the labels as y, or give the "
            "dataset an attribute 'targets'."
        )
    return label.item() if isinstance(label, torch.Tensor) else label
