"""The smallest of many scores, without a look at each."""

import math

import torch


class SmallestScores:
    """The smallest scores offered so far, for each query, and the rows that have them.

    Selection costs more than the product that gives the scores, unless most scores are never looked
    at one by one. They are taken in groups: a group is opened only if its minimum is below the
    largest score that is kept.

    Parameters
    ----------
    n_queries, n_kept : int
    like : torch.Tensor
        Scores have its dtype and device.

    Attributes
    ----------
    scores : torch.Tensor of shape (n_queries, n_kept)
        In no particular order; infinity until enough were offered.
    rows : torch.Tensor of shape (n_queries, n_kept), dtype=int64
    limit : torch.Tensor of shape (n_queries,)
        The largest score kept: nothing below it was ever dropped.
    """

    def __init__(self, n_queries, n_kept, like):
        self.n_kept = n_kept
        self.scores = like.new_full((n_queries, n_kept), math.inf)
        self.rows = torch.zeros(n_queries, n_kept, dtype=torch.int64, device=like.device)
        self.limit = like.new_full((n_queries,), math.inf)

    def offer(self, scores, rows):
        """Keep what is smaller among the scores of more rows.

        Parameters
        ----------
        scores : torch.Tensor of shape (n_queries, n_rows)
        rows : torch.Tensor of shape (n_rows,), dtype=int64
            The row of each column.
        """
        n_queries, n_rows = scores.shape
        if n_rows <= 4 * self.n_kept:
            return self._keep(scores, rows.expand(n_queries, -1))
        n_groups = math.isqrt(n_rows * self.n_kept)
        minima = group_minima(scores, n_groups)
        is_hit = minima < self.limit[:, None]
        offsets = torch.arange(0, n_rows, n_groups, device=scores.device)
        if int(is_hit.sum()) > n_queries * self.n_kept // 2:
            group = minima.topk(self.n_kept, largest=False, sorted=False).indices
            column = (group[:, :, None] + offsets).flatten(1)
            found = scores.gather(1, column.clamp(max=n_rows - 1))
            found.masked_fill_(column >= n_rows, math.inf)
            return self._keep(found, rows[column.clamp_(max=n_rows - 1)])
        query, group = is_hit.nonzero(as_tuple=True)
        column = group[:, None] + offsets
        found = scores[query[:, None], column.clamp(max=n_rows - 1)]
        is_hit = (found < self.limit[query, None]) & (column < n_rows)
        hit, place = is_hit.nonzero(as_tuple=True)
        if len(hit):
            self._keep(
                *in_lines(
                    query[hit],
                    n_queries,
                    (found[hit, place], math.inf),
                    (rows[column[hit, place]], 0),
                )
            )
        return None

    def _keep(self, scores, rows):
        scores = torch.cat([self.scores, scores], dim=1)
        rows = torch.cat([self.rows, rows], dim=1)
        self.scores, kept = scores.topk(self.n_kept, largest=False, sorted=False)
        self.rows = rows.gather(1, kept)
        self.limit = self.scores.amax(1)


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
    count = torch.bincount(line, minlength=n_lines)
    place = torch.arange(len(line), device=line.device) - (count.cumsum(0) - count)[line]
    arrays = [values.new_full((n_lines, int(count.max())), fill) for values, fill in parts]
    for array, (values, _) in zip(arrays, parts, strict=True):
        array[line, place] = values
    return arrays


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
