"""What the kernel for CUDA computes, in a few lines of torch; and products as on tensor cores."""

import torch

from imblearn_eos.neighbors import _triton

NOTHING = 0x7FFFFFFF


def keep_smallest(factors, lengths, rows, norms, n_chunks, variant, multiply=None):
    """Return the smallest numbers of each lane, as :func:`_triton._launch`."""
    products = norms + factors @ rows.T if multiply is None else multiply(factors, rows, norms)
    scores = products + lengths[:, None]
    n_queries, n_rows = scores.shape
    tile = torch.arange(n_rows, device=rows.device) // (n_chunks * variant.block_rows)
    numbers = (scores.view(torch.int32) & ~_triton.NUMBER_MASK) | tile.int()
    n_lanes = n_chunks * variant.block_rows
    n_tiles = max(_triton.DEPTH, -(-n_rows // n_lanes))
    numbers = torch.nn.functional.pad(numbers, (0, n_tiles * n_lanes - n_rows), value=NOTHING)
    return numbers.view(n_queries, n_tiles, n_lanes).sort(dim=1).values[:, : _triton.DEPTH]


def truncated_products(factors, rows, norms, n_terms=4):
    """Add products to norms a few at a time, aligned to the largest and truncated to 24 bits."""
    total = norms.double().expand(len(factors), len(rows))
    for start in range(0, factors.shape[1], n_terms):
        left = factors[:, None, start : start + n_terms].double()
        terms = left * rows[None, :, start : start + n_terms].double()
        terms = torch.cat([total[:, :, None], terms], dim=2)
        exponent = torch.frexp(terms.abs().amax(2)).exponent[:, :, None]
        unit = torch.ldexp(torch.ones_like(exponent, dtype=torch.float64), exponent - 24)
        total = _truncate((terms / unit).trunc().mul(unit).sum(2))
    return total.float()


def _truncate(values):
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp(torch.ldexp(mantissa, torch.tensor(24)).trunc(), exponent - 24)
