"""Samples that come one by one: torch datasets, and skorch's slices of them."""

import numpy as np
import torch
from skorch.helper import SliceDataset
from torch.utils.data import Dataset, IterableDataset, Subset


def is_dataset(X):
    """Whether X is a torch dataset or a slice of one."""
    return isinstance(X, (Dataset, SliceDataset))


def check_dataset(X, *, min_samples, estimator):
    """Raise TypeError or ValueError unless a dataset has a length, of at least so many samples."""
    name = type(estimator).__name__
    if isinstance(X, IterableDataset) or not hasattr(X, "__len__"):
        raise TypeError(
            f"{name} reads samples more than once and needs their number, but {type(X).__name__} "
            "has no length. Use a map-style torch.utils.data.Dataset."
        )
    if len(X) < min_samples:
        raise ValueError(
            f"{name} got a {type(X).__name__} of {len(X)} samples; at least {min_samples} are "
            "required."
        )


def first_samples(X, n_samples):
    """Give the first few samples of an array, tensor or dataset, as a net takes them."""
    if not is_dataset(X):
        return X[:n_samples]
    return Subset(X if isinstance(X, Labelled) else Labelled(X), range(min(n_samples, len(X))))


class Labelled(Dataset):
    """The samples of a dataset, with labels of ours.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset or skorch.helper.SliceDataset
        Of samples, or of pairs of a sample and a label that is not used.
    codes : ndarray of shape (n_samples,), default=None
        The labels; None means that they do not matter.
    """

    def __init__(self, dataset, codes=None):
        self.dataset = dataset
        self.targets = (
            torch.zeros(len(dataset), dtype=torch.int64)
            if codes is None
            else torch.from_numpy(codes)
        )

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        sample = self.dataset[index]
        if not isinstance(self.dataset, SliceDataset) and isinstance(sample, (tuple, list)):
            sample = sample[0]
        return self._checked(sample, index), self.targets[index]

    def _checked(self, sample, index):
        """Give numbers as float32, as those of arrays are; leave structures to torch."""
        if isinstance(sample, (np.ndarray, torch.Tensor)):
            sample = torch.as_tensor(sample)
            if sample.is_complex() or sample.layout != torch.strided:
                raise ValueError(
                    f"Sample {index} of {type(self.dataset).__name__} has dtype {sample.dtype} and "
                    f"layout {sample.layout}. Embedder needs dense arrays or tensors of real "
                    "numbers: convert such samples in the dataset."
                )
            sample = sample.to(torch.float32)
            if sample.isfinite().all():
                return sample
            raise ValueError(
                f"Sample {index} of {type(self.dataset).__name__} contains NaN or infinity. "
                "Embedder needs finite numbers: repair or drop such samples first."
            )
        if not isinstance(sample, (dict, tuple, list)):
            raise TypeError(
                f"Sample {index} of {type(self.dataset).__name__} is a {type(sample).__name__}; "
                "Embedder needs arrays or tensors. Convert it in the dataset, an image for example "
                "with torchvision.transforms.ToTensor()."
            )
        return sample
