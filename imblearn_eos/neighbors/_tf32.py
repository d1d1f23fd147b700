"""Rows and queries in TF32, which tensor cores multiply, and the bound of estimates from them.

TF32 is float32 with 11 significant bits. Rows and queries are rounded to it beforehand, so that no
device has to, and their products are exact in float32.

The largest estimate
--------------------
Let q and x be a query and a row of coarse coordinates, q' and x' the same rounded to TF32, d the
number of features, and v the unit roundoff of float32. Let r be the largest of |x - x'| / (|x| + t)
over all rows, with t = 2^-100, and X the largest |x|. A score is

    S = (|x|^2 - 2 q'x') + |q|^2.

It differs from D = |q - x|^2 by the following errors.

- Rounding to TF32: 2 |qx - q'x'| <= 2 (|q - q'| |x| + |q'| |x - x'|), which is at most
  2 b |x| + 2 r t |q'| with b = |q - q'| + r |q'|.
- Accumulation: tensor cores align the terms that they add to the largest, truncate what is below
  its 24th bit, and may truncate the sum as well [1]_ [2]_. They add four or more products at a time
  to an accumulator, which may begin with |x|^2. So at most 1.5 d numbers are truncated, each by at
  most 2v times |x|^2 + 2 |q'| |x'|, which no sum of these terms exceeds. With
  2 |q| |x| <= |q|^2 + |x|^2 this is at most 6dv (|q|^2 + |x|^2), but for v times roundoffs.
- Coordinates are rounded to float32 before, the squared lengths, computed in float64, as well, and
  two additions are: less than 12v (|q|^2 + |x|^2).

With a third to spare, as for the steps in float64, the last two are at most h (|q|^2 + |x|^2) with
h = 8 (d + 16) v. Now |x| <= |q| + D^(1/2) gives |x|^2 <= 2 |q|^2 + 2D, and with s = 2^-10

    2 b |x| <= 2 b |q| + 2 b D^(1/2) <= 2 b |q| + b^2 / s + s D,

where b is at most about s |q|. If X is smaller than what stands for |x| here, it is 2 b X. So S is
at most m(D) = (1 + s + 2h) D + o(q), and D is at most (S + o(q)) / (1 - s - 2h), with

    o(q) = 2 b min(X, |q| + b / 2s) + 3h |q|^2 + 2 r t |q'|,

and what may vanish because it is too small for float32.

Scores without their last bits
------------------------------
A score gives its last 10 of 24 bits to a number. So the estimate E is S with zeros there, which is
nearer to zero by less than p |E|, where p = 2^-13. If S >= 0, then E <= S <= m(D), and

    D (1 - s - 2h) <= S + o(q) <= (1 + p) E + o(q)

gives D <= (E + o(q)) / (1 - s - 2h - p). If S < 0, then S <= E <= 0. So the slope of the ``Bound``
is s + 2h + p.

References
----------
.. [1] M. Fasi, N. J. Higham, M. Mikaitis, S. Pranesh, "Numerical behavior of NVIDIA tensor cores",
   PeerJ Computer Science 7:e330, 2021.
.. [2] F. A. Khattak, M. Mikaitis, "Accurate Models of NVIDIA Tensor Cores", arXiv:2512.07004, 2025.
"""

import math

import torch

from imblearn_eos.neighbors._certificate import Bound, tolerance, vanished

# Bits of a score that hold a number, and s, p and t of the bound.
NUMBER_BITS = 10
SLOPE, PACKING, SHORT = 2.0**-10, 2.0 ** (NUMBER_BITS - 23), 2.0**-100
# Bits that TF32 lacks.
LOST_BITS = 13


def round_to_tf32(values):
    """Round float32 numbers to TF32, and those below the smallest normal number to zero."""
    half, kept = 1 << (LOST_BITS - 1), -1 << LOST_BITS
    rounded = ((values.view(torch.int32) + half) & kept).view(torch.float32)
    return rounded.masked_fill_(values.abs() < torch.finfo(torch.float32).tiny, 0)


class Tf32Rows:
    """The rows to search among, in TF32.

    Parameters
    ----------
    coarse : CoarseRows
    width : int
        At least the number of features; zeros fill up rows.
    multiple : int
        The number of rows is filled up to a multiple of this, with rows that are not found.

    Attributes
    ----------
    values : torch.Tensor of shape (n_filled, width), dtype=float32
    norms : torch.Tensor of shape (n_filled,), dtype=float32
        Squared lengths before rounding; infinity for rows that are not found.
    """

    def __init__(self, coarse, width, multiple):
        self.unit = coarse.unit
        self.n_rows, self.n_features = coarse.rows.shape
        n_filled = -(-self.n_rows // multiple) * multiple
        device = coarse.rows.device
        self.values = torch.zeros(n_filled, width, dtype=torch.float32, device=device)
        self.norms = torch.full((n_filled,), math.inf, dtype=torch.float32, device=device)
        # Kept where they are: the host need not know them.
        self.residual = torch.zeros((), dtype=torch.float64, device=device)
        self.longest = self.residual.clone()
        start = 0
        for rows, _, _ in coarse.tiles():
            rounded = round_to_tf32(rows.float())
            self.values[start : start + len(rows), : self.n_features] = rounded
            length = _lengths(rows)
            self.norms[start : start + len(rows)] = length.square()
            residual = (_lengths(rows.double() - rounded) / (length + SHORT)).amax()
            self.residual = torch.maximum(self.residual, residual)
            self.longest = torch.maximum(self.longest, length.amax())
            start += len(rows)

    def norms_of(self, allowed):
        """Return norms that are infinite where rows are not allowed, too."""
        if allowed is None:
            return self.norms
        n_filling = len(self.norms) - self.n_rows
        is_out = torch.nn.functional.pad(~allowed, (0, n_filling), value=True)
        return self.norms.masked_fill(is_out, math.inf)

    def factors(self, queries):
        """Return -2 q' and the squared lengths of queries.

        Parameters
        ----------
        queries : torch.Tensor of shape (n_queries, n_features), dtype=float64
            Centred and scaled.

        Returns
        -------
        factors : torch.Tensor of shape (n_queries, width), dtype=float32
        lengths : torch.Tensor of shape (n_queries,), dtype=float32
        """
        factors = -2 * round_to_tf32(queries.float())
        n_filling = self.values.shape[1] - self.n_features
        return torch.nn.functional.pad(factors, (0, n_filling)), queries.square().sum(1).float()

    def bound(self, queries):
        """Return the bound of estimates, as :meth:`Engine.bound`."""
        rounded = round_to_tf32(queries.float()).double()
        length, rounded_length = _lengths(queries), _lengths(rounded)
        b = _lengths(queries - rounded) + self.residual * rounded_length
        h = 2 * tolerance(self.n_features, torch.float32)
        offset = (
            2 * b * torch.minimum(self.longest, length + b / (2 * SLOPE))
            + 3 * h * length.square()
            + 2 * self.residual * SHORT * rounded_length
            + vanished(2 * self.n_features + 2, torch.float32, self.unit)
        )
        # Where queries overflow float32, nothing is known.
        offset = offset.masked_fill(~rounded_length.isfinite(), math.inf)
        return Bound(SLOPE + 2 * h + PACKING, offset)


def _lengths(rows):
    return torch.linalg.vector_norm(rows.double(), dim=1)
