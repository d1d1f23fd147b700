"""The smallest of many scores, by thresholds: without a look at each, and without sorting."""

import math

import numpy as np
import torch

# With fewer groups for each score that is kept, all scores are read.
GROUPS_PER_KEPT = 8
# Where an offer has more small scores for each that is kept, most of them are equal.
MOST_FOUND = 4
# Scores that wait for one query are merged from so many for each that is kept.
MOST_WAITING = 16


class SmallestScores:
    """The smallest scores offered so far, for each query, and the rows that have them.

    Selection costs more than the product that gives the scores, unless most scores are never looked
    at one by one. So a threshold comes first: the n-th smallest of the minima of groups of scores
    is at least the n-th smallest score, and not much larger. Groups whose minima exceed it are left
    out. So are groups that exceed the limit of earlier offers, which spares most other offers the
    threshold. What is found waits until it is as much as is kept, and only then lowers the limit.

    Parameters
    ----------
    n_queries, n_kept : int
    like : torch.Tensor
        Scores have its dtype and device.

    Attributes
    ----------
    limit : torch.Tensor of shape (n_queries,)
        At least the ``n_kept``-th smallest score, and that once all are merged: nothing below it
        was ever dropped.
    """

    infinity = math.inf

    def __init__(self, n_queries, n_kept, like):
        self.n_kept = n_kept
        self.scores = like.new_empty((n_queries, 0))
        self.rows = torch.empty(n_queries, 0, dtype=torch.int64, device=like.device)
        self.limit = like.new_full((n_queries,), self.infinity)
        # Queries, scores and rows.
        self.waiting = []
        self.n_waiting = self.most_waiting = 0

    @staticmethod
    def below(limit):
        """Return the next smaller number."""
        return limit.nextafter(torch.full_like(limit, -math.inf))

    def offer(self, scores, rows):
        """Keep what is smaller among the scores of more rows.

        Parameters
        ----------
        scores : torch.Tensor of shape (n_queries, n_rows)
        rows : torch.Tensor of shape (n_rows,), dtype=int64
            The row of each column.
        """
        query, column = self.find(scores)
        self.add(query, scores.view(-1)[query * len(rows) + column], rows[column])

    def find(self, scores):
        """Return which scores of more rows are small enough to be kept.

        Parameters
        ----------
        scores : torch.Tensor of shape (n_queries, n_rows)

        Returns
        -------
        query, column : torch.Tensor of shape (n_found,), dtype=int64
            By query.
        """
        n_queries, n_rows = scores.shape
        # What only equals the limit is not needed.
        threshold = self.below(self.limit)
        few = self._minima(scores)
        place = small_places(few, threshold)
        if len(place) > self.n_kept * n_queries and n_rows > self.n_kept:
            threshold = torch.minimum(threshold, kth_smallest(few, self.n_kept))
            place = small_places(few, threshold)
        most_found = MOST_FOUND * self.n_kept * n_queries
        if len(place) <= most_found:
            place, query = self._read(scores, few, place, threshold)
            if len(place) <= most_found:
                return torch.from_numpy(query), torch.from_numpy(place - query * n_rows)
        return self._find_some(scores, threshold)

    def find_by_bounds(self, bounds, most):
        """Return which scores may be small enough to be kept, by lower bounds of them.

        Parameters
        ----------
        bounds : torch.Tensor of shape (n_queries, n_rows)
        most : float
            Of more than these, none are returned.

        Returns
        -------
        query, column : torch.Tensor of shape (n_found,), dtype=int64
            By query. None instead where there are more than ``most``.
        """
        threshold = self.below(self.limit)
        few = self._minima(bounds)
        place = small_places(few, threshold)
        if len(place) <= most:
            place, query = self._read(bounds, few, place, threshold)
            if len(place) <= most:
                return torch.from_numpy(query), torch.from_numpy(place - query * bounds.shape[1])
        return None

    def _minima(self, scores):
        """Return the minima of groups of scores; the scores themselves where these are few."""
        n_rows = scores.shape[1]
        n_groups = max(math.isqrt(n_rows * self.n_kept), n_rows // 8)
        return group_minima(scores, n_groups) if n_groups < n_rows // 2 else scores

    def _read(self, scores, few, place, threshold):
        """Return the places of scores up to a threshold, and their queries, from those of minima.

        Parameters
        ----------
        scores, few : torch.Tensor
            Scores and their minima, as :meth:`_minima` returns them.
        place : ndarray of shape (n_found,), dtype=int64
            Places in the flattened minima, ascending.
        threshold : torch.Tensor of shape (n_queries,)
        """
        n_rows, n_groups = scores.shape[1], few.shape[1]
        if few is not scores:
            if GROUPS_PER_KEPT * self.n_kept <= n_groups:
                return in_groups(place, place // n_groups, scores, few, threshold)
            # Where most of the scores would be read, they are read in order.
            place = small_places(scores, threshold)
        return place, place // n_rows

    def _find_some(self, scores, threshold):
        """Return as many as are kept of the scores of each query, where very many are equal."""
        least, column = scores.topk(self.n_kept, largest=False, sorted=False)
        query, place = (least <= threshold[:, None]).nonzero(as_tuple=True)
        return query, column[query, place]

    def add(self, query, scores, rows):
        """Keep some scores: tensors of shape (n_found,), by query."""
        self.waiting.append((query, scores, rows))
        self.n_waiting += len(query)
        # All lines are as long as the longest.
        self.most_waiting += int(query.bincount(minlength=1).max())
        n_kept, n_queries = self.n_kept, len(self.limit)
        if self.n_waiting >= n_kept * n_queries or self.most_waiting >= MOST_WAITING * n_kept:
            self.merge()

    def merge(self):
        """Return all that is kept, after what waits was added to it.

        Returns
        -------
        scores : torch.Tensor of shape (n_queries, at least n_kept)
            In no particular order; infinity where there are no more.
        rows : torch.Tensor of the same shape, dtype=int64
        """
        if not self.waiting:
            return self.scores, self.rows
        query, *found = (torch.cat(parts) for parts in zip(*self.waiting, strict=True))
        if len(self.waiting) > 1:
            order = torch.from_numpy(np.argsort(query.numpy(), kind="stable"))
            query, found = query[order], [x[order] for x in found]
        self.waiting, self.n_waiting, self.most_waiting = [], 0, 0
        lines = in_lines(query, len(self.limit), (found[0], self.infinity), (found[1], 0))
        self.scores = torch.cat([self.scores, lines[0]], dim=1)
        self.rows = torch.cat([self.rows, lines[1]], dim=1)
        n_missing = self.n_kept - self.scores.shape[1]
        if n_missing > 0:
            self.scores = torch.nn.functional.pad(self.scores, (0, n_missing), value=self.infinity)
            self.rows = torch.nn.functional.pad(self.rows, (0, n_missing))
        elif self.scores.shape[1] > 2 * self.n_kept:
            self.scores, kept = self.scores.topk(self.n_kept, largest=False, sorted=False)
            self.rows = self.rows.gather(1, kept)
        self.limit = kth_smallest(self.scores, self.n_kept)
        return self.scores, self.rows


def small_places(values, threshold):
    """Return the places, in the flattened array, of values up to the threshold of their line."""
    # Faster than torch.
    return np.flatnonzero((values <= threshold[:, None]).numpy())


def kth_smallest(values, k):
    """Return the k-th smallest value of each line."""
    if values.device.type == "cpu":
        # Several times as fast as torch.
        return torch.from_numpy(np.partition(values.numpy(), k - 1, axis=1)[:, k - 1])
    return values.topk(k, largest=False, sorted=False).values.amax(1)


def in_lines(line, n_lines, *parts):
    """Put values that belong to lines, and stand in their order, into the lines of arrays.

    Parameters
    ----------
    line : torch.Tensor of shape (n_values,), dtype=int64
        Ascending.
    n_lines : int
    *parts : tuples of (torch.Tensor of shape (n_values,), float)
        Values, and what fills up short lines.

    Returns
    -------
    list of torch.Tensor of shape (n_lines, length of the longest line)
    """
    if line.device.type == "cpu":
        count = torch.bincount(line, minlength=n_lines)
    else:
        # Without the wait for the largest number that bincount has.
        count = torch.zeros(n_lines, dtype=torch.int64, device=line.device)
        count.scatter_add_(0, line, torch.ones_like(line))
    place = torch.arange(len(line), device=line.device) - (count.cumsum(0) - count)[line]
    longest = int(count.max())
    arrays = [values.new_full((n_lines, longest), fill) for values, fill in parts]
    for array, (values, _) in zip(arrays, parts, strict=True):
        array[line, place] = values
    return arrays


def in_groups(group, query, scores, minima, threshold):
    """Return the places of scores up to a threshold, and their queries, from groups with some.

    With NumPy, which takes and finds single numbers faster than torch.

    Parameters
    ----------
    group, query : ndarray of shape (n_found,), dtype=int64
        Places in the flattened minima, ascending, and their queries.
    scores, minima : torch.Tensor
        As of :func:`group_minima`.
    threshold : torch.Tensor of shape (n_queries,)
    """
    n_rows, n_groups = scores.shape[1], minima.shape[1]
    depth = -(-n_rows // n_groups)
    place = (group + query * (n_rows - n_groups))[:, None] + np.arange(depth) * n_groups
    if depth * n_groups > n_rows:
        # The last member of some groups is missing, and the first stands for it.
        is_missing = place[:, -1] >= (query + 1) * n_rows
        place[is_missing, -1] = place[is_missing, 0]
    is_small = scores.numpy().reshape(-1).take(place) <= threshold.numpy()[query, None]
    if depth * n_groups > n_rows:
        is_small[is_missing, -1] = False
    found = np.flatnonzero(is_small)
    return place.reshape(-1)[found], query[found // depth]


def group_minima(scores, n_groups):
    """Compute the least score of each group of columns: group j holds j, j + n_groups, ..."""
    n_queries, n_rows = scores.shape
    # With these groups minima are taken over whole rows of memory.
    depth = n_rows // n_groups
    whole = depth * n_groups
    minima = scores[:, :whole].view(n_queries, depth, n_groups).amin(1)
    rest = n_rows - whole
    if rest:
        torch.minimum(minima[:, :rest], scores[:, whole:], out=minima[:, :rest])
    return minima
