"""Distances measured directly in float64: the same bits on every device and for every tile."""

import torch
from scipy.sparse import issparse


class Rows:
    """Rows of a tensor or CSR matrix, read as float64 tensors on one device.

    Parameters
    ----------
    data : torch.Tensor or CSR of shape (n_rows, n_features)
        Finite real numbers of any dtype.
    device : torch.device
        Where they are read to.
    """

    def __init__(self, data, device):
        self.data = data if issparse(data) else data.to(device)
        self.device = device
        self.shape = data.shape

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        if issparse(self.data):
            index = index.cpu().numpy() if isinstance(index, torch.Tensor) else index
            part = torch.from_numpy(self.data[index].toarray())
        else:
            part = self.data[index]
        return part.to(device=self.device, dtype=torch.float64)

    def take(self, numbers):
        """Return copies of the rows of these numbers, in a dtype that subtracts from float64."""
        if issparse(self.data) or self.data.dtype == torch.bool:
            return self[numbers]
        return self.data.index_select(0, numbers)

    def as_array(self):
        """Return all rows as an array that compiled loops can read, or None."""
        is_plain = (
            isinstance(self.data, torch.Tensor)
            and self.data.dtype in (torch.float32, torch.float64)
            and self.data.is_contiguous()
        )
        return self.data.numpy() if is_plain else None


def as_slice(numbers):
    """Return numbers of consecutive rows as a slice, and others as they are.

    Slices are read without a copy.

    Parameters
    ----------
    numbers : torch.Tensor of shape (n_numbers,), dtype=int64
    """
    # A GPU would be waited for.
    if numbers.device.type == "cpu" and len(numbers):
        array = numbers.numpy()
        first, last = int(array[0]), int(array[-1])
        if last - first == len(array) - 1 and (array[1:] > array[:-1]).all():
            return slice(first, last + 1)
    return numbers


def measure(queries, rows, query, found, pairs_at_once):
    """Measure squared distances of pairs of a query and a row.

    Parameters
    ----------
    queries : torch.Tensor of shape (n_queries, n_features), dtype=float64
    rows : Rows
    query, found : torch.Tensor of shape (n_pairs,), dtype=int64
        Numbers of queries and of rows.
    pairs_at_once : int
        Bounds the memory that this takes.

    Returns
    -------
    torch.Tensor of shape (n_pairs,), dtype=float64
    """
    squared = queries.new_empty(len(query))
    for start in range(0, len(query), pairs_at_once):
        pairs = slice(start, start + pairs_at_once)
        difference = queries.index_select(0, query[pairs]).sub_(rows.take(found[pairs]))
        squared[pairs] = sum_of_squares(difference)
    return squared


def sum_of_squares(difference):
    """Sum squares over the last axis in one fixed tree of additions; overwrites its argument."""
    terms = difference.square_()
    while (width := terms.shape[-1]) > 1:
        half = width // 2
        folded = terms[..., :half].add_(terms[..., half : 2 * half])
        if width % 2:
            folded[..., 0] += terms[..., -1]
        terms = folded
    return terms[..., 0]


def first_by_distance(squared, indices, n_neighbors):
    """Keep the smallest distances; a stable sort leaves ties in the order in which they stand."""
    squared, order = squared.sort(dim=1, stable=True)
    return squared[:, :n_neighbors], indices.gather(1, order[:, :n_neighbors])
