"""Rows in TF32, and the bound of estimates on tensor cores."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from imblearn_eos.neighbors import _base, _tf32
from imblearn_eos.neighbors._exact import Rows

pytest.importorskip("triton", reason="needs Triton, which CUDA builds of torch bring")
from lanes import truncated_products

from imblearn_eos.neighbors import _triton

WORST = 1 + 2.0**-11 + 2.0**-20


def make_rows(kind, n_rows, n_features, spread, random_state):
    rows = random_state.standard_normal((n_rows, n_features))
    if kind == "worst":
        # Rounded by almost the unit roundoff, in one direction; products have one sign.
        rows = np.full_like(rows, WORST) * random_state.choice([-1, 1], (n_rows, 1))
    elif kind == "exact":
        # Numbers of TF32 around zero: only sums are rounded, all in one direction.
        rows = _tf32.round_to_tf32(torch.from_numpy(rows[: n_rows // 2]).abs().float()).double()
        return torch.cat([rows, -rows])
    elif kind == "near duplicates":
        rows = rows[:1] + 1e-5 * rows
    return torch.from_numpy(rows * spread ** random_state.standard_normal((n_rows, 1)))


def estimates_of(tf32, queries, multiply):
    """Return estimates of all pairs, products made by a function."""
    factors, lengths = tf32.factors(queries)
    scores = multiply(factors, tf32.values, tf32.norms) + lengths[:, None]
    numbers = scores.view(torch.int32) & ~_triton.NUMBER_MASK
    return numbers.view(torch.float32)[:, : tf32.n_rows].double()


def rounded_products(factors, rows, norms):
    return norms + factors @ rows.T


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["random", "worst", "exact", "near duplicates"]),
    multiply=st.sampled_from([rounded_products, truncated_products]),
    n_features=st.sampled_from([1, 3, 64, 150]),
    spread=st.sampled_from([1, 3, 1e3, 1e15]),
    scale=st.sampled_from([0, 1e-25, 1e-3, 1, 1e3, 1e15]),
    seed=st.integers(0, 2**31),
)
def test_estimates_are_within_the_bound(kind, multiply, n_features, spread, scale, seed):
    random_state = np.random.RandomState(seed)
    rows = make_rows(kind, 60, n_features, spread, random_state)
    coarse = _base.CoarseRows(Rows(rows, rows.device), torch.float32, 2**24)
    tf32 = _tf32.Tf32Rows(coarse, _triton.width_of(n_features), 64)
    others = make_rows(kind, 10, n_features, spread, random_state)
    queries = torch.cat([coarse.centred(rows[:10]), coarse.centred(others) * scale])
    squared = (queries[:, None] - coarse.centred(rows)).square().sum(2)
    estimates = estimates_of(tf32, queries, multiply)
    bound = tf32.bound(queries).of(slice(None))
    # The search knows of squared lengths that overflow.
    estimates[tf32.factors(queries)[1].isinf()] = 0
    squared[tf32.factors(queries)[1].isinf()] = 0
    assert (estimates <= bound.largest_estimate(squared)).all()
    assert (squared <= bound.largest_distance(estimates)).all()


@pytest.mark.parametrize("n_features", [2, 64])
def test_the_bound_is_not_much_larger_than_the_worst_error(n_features):
    rows = torch.full((4, n_features), WORST, dtype=torch.float64)
    rows[:2] *= -1
    coarse = _base.CoarseRows(Rows(rows, rows.device), torch.float32, 2**24)
    tf32 = _tf32.Tf32Rows(coarse, _triton.width_of(n_features), 4)
    queries = coarse.centred(rows)
    estimates = estimates_of(tf32, queries, truncated_products)
    squared = (queries[:, None] - queries).square().sum(2)
    offset = tf32.bound(queries).offset[:, None]
    error = (estimates - squared).abs() / (offset + _tf32.SLOPE * squared)
    assert 0.4 < error.max() < 1


def test_numbers_are_rounded_to_eleven_bits():
    values = torch.tensor(
        [0, 1, 1 + 2.0**-10, 1 + 2.0**-11, 1 + 2.0**-12, -1 - 3 * 2.0**-11, 2.0**-127, math.inf]
    )
    expected = [0, 1, 1 + 2.0**-10, 1 + 2.0**-10, 1, -1 - 2.0**-9, 0, math.inf]
    assert _tf32.round_to_tf32(values).tolist() == expected
    values = torch.randn(1000)
    rounded = _tf32.round_to_tf32(values)
    assert_array_equal(rounded.view(torch.int32) % 2**13, 0)
    assert ((rounded - values).abs() <= 2.0**-11 * values.abs()).all()


def test_rows_are_filled_up_with_rows_that_are_not_found():
    rows = torch.randn(5, 3, dtype=torch.float64)
    coarse = _base.CoarseRows(Rows(rows, rows.device), torch.float32, 2**24)
    tf32 = _tf32.Tf32Rows(coarse, 16, 4)
    assert tf32.values.shape == (8, 16)
    assert tf32.norms[:5].isfinite().all()
    assert_array_equal(tf32.values[:, 3:], 0)
    assert_array_equal(tf32.norms[5:], math.inf)
    allowed = torch.tensor([True, False, True, True, True])
    norms = tf32.norms_of(allowed)
    assert_array_equal(norms.isinf(), [False, True, False, False, False, True, True, True])
