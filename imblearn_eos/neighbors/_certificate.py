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

A box in the space of sketches (``_cells.py``) has a distance of at most D before rounding, and sums
fewer terms. So, with more than a factor of 1.5 to spare for u^2 and for the float64 steps,

    |E - D| <= g (|q|^2 + |x|^2),    g = 4 (d + 16) u.

The length of x is not known for rows that were ruled out unseen, but |x| <= |q| + |q - x| gives
|x|^2 <= 2|q|^2 + 2D, and so

    m(D) = (1 + 2g) D + 3g |q|^2.

Products of coordinates below the smallest normal number t may vanish, which adds at most d t. The
bound of estimates in bfloat16 is in ``_bfloat16.py``.

Without a proof
---------------
Queries that fail the test of one engine go to the next, more precise one. Those that fail the last
are searched in float64: every row with E <= m(D_k) is measured, with E and m of float64. D_k
bounds the k-th smallest distance of all rows, so these are all rows that matter.
"""

import torch


def tolerance(n_features, dtype):
    """Return g, the error of an estimate in multiples of the squared lengths."""
    return 4 * (n_features + 16) * torch.finfo(dtype).eps / 2


def largest_estimate(squared, queries, dtype):
    """Return m(D), the largest estimate that a row at a given distance can have.

    Parameters
    ----------
    squared : torch.Tensor of shape (n_queries,), dtype=float64
        Squared distances, in the unit of the coarse coordinates.
    queries : torch.Tensor of shape (n_queries, n_features), dtype=float64
        Centred and scaled.
    dtype : torch.dtype
        The dtype of the estimates, float32 or float64.

    Returns
    -------
    torch.Tensor of shape (n_queries,), dtype=float64
    """
    n_features = queries.shape[1]
    g = tolerance(n_features, dtype)
    vanished = torch.finfo(dtype).tiny * n_features
    return (1 + 2 * g) * squared + 3 * g * queries.square().sum(1) + vanished
