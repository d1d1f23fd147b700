"""The coarse pass in bfloat16: its bound, and when it is used."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from imblearn_eos.neighbors import _half

kernels = pytest.importorskip(
    "imblearn_eos.neighbors._kernels", reason="needs numba, the extra 'fast'"
)


def make_rows(n_rows, n_features, spread, seed):
    random_state = np.random.RandomState(seed)
    rows = random_state.standard_normal(
        (n_rows, n_features)
    ) * spread ** random_state.standard_normal((n_rows, 1))
    rows = torch.from_numpy(rows / np.abs(rows).max()).float()
    tolerance = 4 * (n_features + 16) * 2.0**-24
    return rows, _half.HalfRows(rows, rows.square().sum(1), tolerance, 64, kernels)


@settings(max_examples=60, deadline=None)
@given(
    n_features=st.sampled_from([1, 3, 64, 300]),
    spread=st.sampled_from([1, 3, 100]),
    scale=st.sampled_from([0, 1e-3, 1, 1e3]),
    seed=st.integers(0, 2**31),
)
def test_no_row_has_a_larger_estimate_than_the_bound_of_its_distance(
    n_features, spread, scale, seed
):
    rows, half = make_rows(150, n_features, spread, seed)
    other, _ = make_rows(20, n_features, spread, seed + 1)
    queries = torch.cat([rows[:20], other * scale])
    # Of all rows but the last, the least estimate of what is left out is that of the last.
    for column in range(0, 150, 7):
        allowed = torch.zeros(150, dtype=torch.bool)
        allowed[column] = True
        _, estimate = half.search(queries, 1, allowed)
        distance = (queries.double() - rows[column].double()).square().sum(1)
        bound = half.largest_estimate(distance, queries.double())
        assert not (estimate > bound).any()


def test_what_is_kept_has_the_least_estimates():
    rows, half = make_rows(300, 20, 1, 0)
    places, limit = half.search(rows[:50], 30, None)
    for query in range(50):
        each = torch.stack(
            [half.search(rows[query : query + 1], 1, row)[1] for row in torch.eye(300).bool()]
        )
        least = each[:, 0].nan_to_num(0).sort()
        kept = each[places[query], 0].nan_to_num(0).sort().values
        assert torch.equal(kept, least.values[:30])
        assert limit[query] == kept[-1]


def test_used_where_it_tells_near_rows_from_others(monkeypatch):
    monkeypatch.setattr(_half, "has_bfloat16", lambda device: True)
    rows = torch.rand(2000, 30, generator=torch.Generator().manual_seed(0)) - 0.5

    def choose(rows):
        return _half.make_half_rows(rows, rows.square().sum(1), 1e-5, 256, kernels)

    half, candidates_per_neighbor = choose(rows)
    assert half is not None
    assert 1 <= candidates_per_neighbor < 4
    far = rows / 1000
    far[0] = 1
    assert choose(far)[0] is None
    assert choose(rows[:50])[0] is None
    monkeypatch.setattr(_half, "has_bfloat16", lambda device: False)
    assert choose(rows)[0] is None


def test_integers_have_the_order_of_the_numbers():
    values = torch.tensor([0.0, 1e-30, 0.5, 1.0, 3.0, 1e30, np.inf]).bfloat16()
    bits = values.view(torch.int16)
    assert_array_equal(bits.argsort(), np.arange(len(bits)))
    assert bits[-1] == _half.INFINITY_BITS
