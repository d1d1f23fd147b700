"""The certificate: when the candidates of a coarse pass are proven to hold all nearest rows.

A coarse pass estimates squared distances in low precision and keeps a few candidates for each
query. The candidates are measured again in float64, and only these measurements decide. The
certificate states for which queries no other row can be among the nearest.

Claim
-----
Let q and x be a centred query and row, |.| their lengths, D = |q - x|^2, d the number of features,
and E the estimate of D that an engine computes. An engine returns

- candidates, and a limit L such that E >= L for every row that is not a candidate;
- for a distance D, the largest estimate m(D) that a row at this distance can have. m grows with D.

Let D_k be the k-th smallest distance measured among the candidates. If

    L > m(D_k),

every row that is not a candidate is farther than D_k, so the k nearest candidates are the k nearest
rows. The inequality is strict, so rows tied with the k-th are candidates too. It is false, as it
should be, where the coarse pass overflowed and L is NaN.

Largest estimate of a product in float32 or float64
---------------------------------------------------
Let u be the unit roundoff of the dtype. The errors of E, in multiples of |q|^2 + |x|^2, are:

- rounding the coordinates moves q and x by at most u|q| and u|x|, hence D by at most 4u, and u^2;
- the product and the two norms are sums of d terms, in any order: at most 2du + 2du^2;
- adding the three: at most 6u. (With direct differences instead: at most 2(d + 2)u in all.)

A sketch (``_cells.py``) is as long as its row, and sketches, or boxes around them, are at most as
far apart as rows, before rounding. Their estimates sum fewer terms. So, with more than a factor of
1.5 to spare for u^2 and for the float64 steps,

    |E - D| <= g (|q|^2 + |x|^2),    g = 4 (d + 16) u.

Products that are added up from parts of the features, one after the other, pass through fewer
additions: those of the largest part, and one for each part. Their number takes the place of d. This
needs norms that are summed in float64, and products that sum each part from zero before they add it
to the others, which a test checks. A query may be rounded before its length is taken.

The length of x is not known for rows that were ruled out unseen, but |x| <= |q| + |q - x| gives
|x|^2 <= 2|q|^2 + 2D, and so

    m(D) = (1 + 2g) D + 3g |q|^2.

Products of coordinates below the smallest normal number t may vanish, which adds at most d t for
each norm and 2d t for the product. The same holds for the squares of measured distances, whose unit
is another one. The bounds of estimates in bfloat16 and in TF32 are in ``_bfloat16.py`` and
``_tf32.py``.

How near a row with a given estimate can be is bounded by the other side of the same inequality:
with |x|^2 <= 2|q|^2 + 2D again, D <= (E + 3g |q|^2) / (1 - 2g). Both sides are one ``Bound``, with
slope 2g and offset 3g |q|^2.

The order of candidates
-----------------------
Let E_i <= E_j be the estimates of two candidates, and D(E_i) the largest distance of a row with the
estimate E_i. If E_j > m(D(E_i)), row i is nearer than row j. Where the inequality is false the two
are in doubt, and their distances are measured. Others need not be, unless distances are asked for.

Without a proof
---------------
Queries that fail the test of one engine go to the next, more precise one. Those that fail the last
are searched in float64: every row with E <= m(D_k) is measured, with E and m of float64. D_k
bounds the k-th smallest distance of all rows, so these are all rows that matter.
"""

from typing import NamedTuple

import torch


class Bound(NamedTuple):
    """How far estimates of squared distances can be from the distances.

    All squared distances are in the unit of the coarse coordinates, of dtype float64 and of shape
    (n_queries,) or (n_queries, n_rows).

    Attributes
    ----------
    slope : float
    offset : torch.Tensor of shape (n_queries,) or (n_queries, 1), dtype=float64
    """

    slope: float
    offset: torch.Tensor

    def largest_estimate(self, squared):
        """Return m(D), the largest estimate that a row at a given distance can have."""
        return (1 + self.slope) * squared + self.offset

    def largest_distance(self, estimates):
        """Return D(E), the largest distance that a row with a given estimate can have."""
        # Infinity where the slope leaves nothing to be said.
        return (estimates + self.offset) / max(1 - self.slope, 0)

    def reach(self, estimates):
        """Return m(D(E)): a row with a larger estimate is farther than one with this estimate."""
        return self.largest_estimate(self.largest_distance(estimates))

    def of(self, lines):
        """Return the bound for some of the queries, for arrays of rows."""
        return Bound(self.slope, self.offset[lines, None])


def vanished(n_features, dtype, unit):
    """Return the most that numbers too small for a dtype, and for float64, can add up to."""
    return 4 * n_features * (torch.finfo(dtype).tiny + torch.finfo(torch.float64).tiny * unit)


def tolerance(n_features, dtype):
    """Return g, the error of an estimate in multiples of the squared lengths."""
    return 4 * (n_features + 16) * torch.finfo(dtype).eps / 2


def bound_of_products(queries, dtype, unit=1):
    """Return the bound of estimates in float32 or float64.

    Parameters
    ----------
    queries : torch.Tensor of shape (n_queries, n_features), dtype=float64
        Centred and scaled.
    dtype : torch.dtype
        The dtype of the estimates.
    unit : float, default=1
        Squared distances times this are in the unit of the coarse coordinates.

    Returns
    -------
    Bound
    """
    return bound_of_lengths(queries.square().sum(1), queries.shape[1], dtype, unit)


def bound_of_lengths(lengths, n_features, dtype, unit, n_terms=None):
    """Return what :func:`bound_of_products` does, from the squared lengths of queries.

    Products are added up from parts of ``n_terms`` features; None means that there is one part.
    Lengths of rows are sums in float64 then, rounded once, of squares in ``dtype``.
    """
    n_additions = n_features
    if n_terms is not None:
        n_additions = min(n_terms, n_features) + -(-n_features // n_terms)
    g = tolerance(n_additions, dtype)
    return Bound(2 * g, 3 * g * lengths + vanished(n_features, dtype, unit))
