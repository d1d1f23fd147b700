"""What estimates leave open: which candidates must be measured, to know the nearest ones.

The estimates of candidates are within a bound of their distances (``_certificate.py``), so most
pairs of candidates have a certain order. Only candidates that are in doubt are measured. On a GPU
all are measured where an order is wanted, because to wait for their number would take longer.
Compiled loops measure all that may be near if few are wanted, because to sort them twice would.
"""

from multiprocessing.pool import ThreadPool

import numpy as np
import torch

from imblearn_eos.neighbors._selection import in_lines, kth_smallest

# To sort so many takes a few times as long as to start a thread.
NUMBERS_FOR_A_THREAD = 2**16


def select(found, bound, unit, n_neighbors, result, measure):
    """Select the nearest candidates.

    Parameters
    ----------
    found : Candidates
        Overwritten.
    bound : Bound
        Of the candidates' estimates.
    unit : float
        Squared distances times this are in the unit of estimates.
    n_neighbors : int
        At most the number of candidates.
    result : {"distances", "order", "sets"}
        As in :meth:`ExactSearch.nearest`.
    measure : callable
        Takes numbers of queries, ascending, and of rows, and returns squared distances.

    Returns
    -------
    rows : torch.Tensor of shape (n_queries, n_neighbors), dtype=int64
        Ascending for "sets"; else nearest first, equal distances by row number.
    squared : torch.Tensor of shape (n_queries, n_neighbors), dtype=float64, or None
        Squared distances, for "distances" only.
    farthest : torch.Tensor of shape (n_queries,), dtype=float64
        At least the largest squared distance of the selected rows.
    """
    if result == "sets":
        rows, farthest = as_set(found, bound, unit, n_neighbors, measure)
        return rows, None, farthest
    measure_all = result == "distances"
    rows, squared = in_order(found, bound, unit, n_neighbors, measure, measure_all=measure_all)
    return rows, squared if measure_all else None, squared[:, -1]


def in_order(found, bound, unit, n_neighbors, measure, *, measure_all):
    """Return the nearest candidates, nearest first; the parameters are those of :func:`select`.

    Parameters
    ----------
    measure_all : bool
        Whether to measure candidates that are not in doubt, too.

    Returns
    -------
    rows : torch.Tensor of shape (n_queries, n_neighbors), dtype=int64
    squared : torch.Tensor of shape (n_queries, n_neighbors), dtype=float64
        Squared distances; at least these for candidates that were not measured.
    """
    if found.rows.device.type != "cpu":
        return _all_in_order(found, n_neighbors, measure)
    rows, estimates = found.rows, found.estimates
    if not found.is_sorted:
        estimates, rows = sort_by(estimates, rows)
    every = bound.of(slice(None))
    # Candidates form runs: whatever is in different runs has a certain order.
    largest = every.largest_distance(estimates)
    is_apart = estimates[:, 1:] > every.largest_estimate(largest[:, :-1])
    if not measure_all and is_apart[:, :n_neighbors].all():
        return rows[:, :n_neighbors], largest[:, :n_neighbors] / unit
    run = torch.nn.functional.pad(is_apart.cumsum(1), (1, 0))
    is_near = run <= run[:, n_neighbors - 1, None]
    is_joined = is_near & (
        torch.nn.functional.pad(~is_apart, (1, 0)) | torch.nn.functional.pad(~is_apart, (0, 1))
    )
    # These keep the order between runs.
    squared = largest / unit
    query, place = (is_near if measure_all else is_joined).nonzero(as_tuple=True)
    squared[query, place] = measure(query, rows[query, place])
    # Only within runs, which are consecutive, does anything change its place.
    query, place = is_joined.nonzero(as_tuple=True)
    run = query * run.shape[1] + run[query, place]
    row, measured = rows[query, place], squared[query, place]
    is_wrong = (measured[1:] < measured[:-1]) | (
        (measured[1:] == measured[:-1]) & (row[1:] < row[:-1])
    )
    wrong = run[1:][is_wrong & (run[1:] == run[:-1])]
    some = torch.isin(run, wrong.unique_consecutive()).nonzero()[:, 0]
    keys = [key[some].numpy() for key in (row, measured, run)]
    order = some[torch.from_numpy(np.lexsort(keys))]
    query, place = query[some], place[some]
    rows[query, place], squared[query, place] = row[order], measured[order]
    return rows[:, :n_neighbors], squared[:, :n_neighbors]


def _all_in_order(found, n_neighbors, measure):
    """Measure all candidates, and sort them, as :func:`in_order`."""
    query = torch.arange(len(found.rows), device=found.rows.device)
    query = query[:, None].expand_as(found.rows).flatten()
    squared = measure(query, found.rows.flatten()).view_as(found.estimates)
    # The query's own row, and what fills up lines.
    squared.masked_fill_(found.estimates.isinf(), torch.inf)
    rows, order = found.rows.sort(dim=1)
    squared, order = squared.gather(1, order).sort(dim=1, stable=True)
    return rows.gather(1, order)[:, :n_neighbors], squared[:, :n_neighbors]


def as_set(found, bound, unit, n_neighbors, measure):
    """Return the nearest candidates by row number; the parameters are those of :func:`select`.

    Returns
    -------
    rows : torch.Tensor of shape (n_queries, n_neighbors), dtype=int64
        Ascending.
    farthest : torch.Tensor of shape (n_queries,), dtype=float64
        At least the largest of their squared distances.
    """
    rows, estimates = found.rows, found.estimates
    if rows.device.type != "cpu":
        # Where they overflowed, all candidates are in doubt.
        estimates = estimates.nan_to_num(torch.inf, torch.inf)
    is_sorted = found.is_sorted
    last = estimates[:, n_neighbors - 1] if is_sorted else kth_smallest(estimates, n_neighbors)
    farthest = bound.largest_distance(last) / unit
    is_member = estimates <= bound.reach(last)[:, None]
    if rows.device.type == "cpu":
        lines = (is_member.sum(1) > n_neighbors).nonzero()[:, 0]
    else:
        # A GPU would wait for their number.
        lines = torch.arange(len(rows), device=rows.device)
    if len(lines):
        # Nearer than the last for certain, or in doubt.
        some = estimates[lines]
        is_open = is_member[lines] & (bound.of(lines).reach(some) >= last[lines, None])
        query, place = is_open.nonzero(as_tuple=True)
        row = rows[lines[query], place]
        measured = measure(lines[query], row)
        n_wanted = n_neighbors - (is_member[lines] & ~is_open).sum(1)
        open_rows, squared, places = in_lines(
            query, len(lines), (row, len(rows)), (measured, torch.inf), (place, 0)
        )
        order = open_rows.argsort(dim=1)
        squared, by_distance = squared.gather(1, order).sort(dim=1, stable=True)
        order = order.gather(1, by_distance)
        is_chosen = torch.arange(order.shape[1], device=order.device) < n_wanted[:, None]
        farthest[lines] = squared.gather(1, n_wanted[:, None] - 1)[:, 0]
        # What fills up short lines is not chosen, and has the place of another.
        n_chosen = torch.zeros_like(is_open, dtype=torch.uint8)
        n_chosen.scatter_add_(1, places.gather(1, order), is_chosen.byte())
        is_member[lines] = (is_member[lines] & ~is_open) | (n_chosen > 0)
    if len(rows):
        # Members stand before others.
        rows = rows.masked_fill(~is_member, rows.max() + 1)
    return sort_lines(rows)[:, :n_neighbors], farthest


def sort_by(values, rows):
    """Sort lines of values, equal ones in any order, and rows with them, on the CPU."""
    # Several times as fast as torch.
    order = torch.from_numpy(np.argsort(values.numpy(), axis=1))
    return values.gather(1, order), rows.gather(1, order)


def in_threads(sort, lines):
    """Call a function that sorts lines in place, on a part of them in each of torch's threads.

    Parameters
    ----------
    sort : callable
        Such as a call of NumPy, which lets other threads run.
    lines : ndarray of shape (n_lines, n_numbers)
    """
    n_threads = min(torch.get_num_threads(), lines.size // NUMBERS_FOR_A_THREAD)
    if n_threads <= 1:
        sort(lines)
        return
    with ThreadPool(n_threads) as pool:
        pool.map(sort, np.array_split(lines, n_threads))


def sort_lines(rows):
    """Sort row numbers in each line."""
    if rows.device.type != "cpu":
        return rows.sort(dim=1).values
    numbers = rows.numpy()
    is_short = numbers.size and int(numbers.max()) <= np.iinfo(np.int32).max
    # Short numbers are sorted faster. This is a copy in any case.
    numbers = numbers.astype(np.int32 if is_short else np.int64)
    in_threads(lambda lines: lines.sort(axis=1), numbers)
    return torch.from_numpy(numbers.astype(np.int64, copy=False))
