"""How the smallest of many scores are selected."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from imblearn_eos.neighbors import _base, _boxes, _direct, _exact, _order
from imblearn_eos.neighbors._selection import SmallestScores


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["any sign", "ties", "equal", "infinite", "descending"])
@pytest.mark.parametrize(
    ("n_rows", "n_kept", "n_tile"),
    [(1, 1, 1), (50, 1, 50), (50, 20, 7), (50, 50, 50), (3000, 19, 3000), (3000, 19, 700)],
)
def test_nothing_below_the_limit_is_dropped(n_rows, n_kept, n_tile, kind, dtype):
    random_state = np.random.RandomState(0)
    scores = random_state.standard_normal((7, n_rows))
    scores = {
        "any sign": scores,
        "ties": scores.round(),
        "equal": scores * 0,
        # As many numbers as are kept, and rows that must not be found.
        "infinite": np.where(scores.argsort(axis=1).argsort(axis=1) < n_kept, scores, np.inf),
        "descending": -np.sort(scores, axis=1),
    }[kind]
    scores = torch.from_numpy(scores).to(dtype)
    rows = torch.from_numpy(random_state.permutation(n_rows))
    best = SmallestScores(7, n_kept, scores)
    for tile, tile_rows in zip(scores.split(n_tile, dim=1), rows.split(n_tile), strict=True):
        best.offer(tile.contiguous(), tile_rows)

    assert n_kept <= best.scores.shape[1] <= 2 * n_kept
    assert_array_equal(best.limit, np.sort(scores.numpy(), axis=1)[:, n_kept - 1])
    column = rows.argsort()
    for query in range(7):
        is_real = best.scores[query].isfinite()
        kept = best.rows[query][is_real]
        assert len(set(kept.tolist())) == len(kept)
        assert_array_equal(scores[query, column[kept]], best.scores[query][is_real])
        below = rows[scores[query] < best.limit[query]]
        assert set(below.tolist()) <= set(kept.tolist())


def test_scores_that_are_no_number_are_not_kept():
    scores = torch.tensor([[np.nan, 2.0, np.nan, -1.0, 1.0]])
    best = SmallestScores(1, 3, scores)
    best.offer(scores, torch.arange(5))
    assert_array_equal(best.scores.sort().values, [[-1, 1, 2]])


@pytest.mark.parametrize("engine", [_direct.Direct, _direct.DoubleDirect])
@pytest.mark.parametrize(
    ("n_rows", "n_features", "n_kept"),
    [(1, 1, 1), (70, 3, 69), (300, 200, 15), (400, 5, 180), (1300, 2, 1), (1300, 700, 20)],
)
def test_few_rows_have_the_least_estimates_within_their_bound(n_rows, n_features, n_kept, engine):
    X = np.random.RandomState(0).standard_normal((n_rows, n_features)).round(1)
    rows = _exact.Rows(torch.from_numpy(X), torch.device("cpu"))
    direct = engine(_base.CoarseRows(rows, torch.float32, 2**28))
    numbers = torch.arange(0, n_rows, 7)
    block = _base.Block(numbers, own=numbers)
    queries = direct.centred(rows, numbers)
    found = direct.candidates(block, queries, n_kept, None)
    bound = direct.bound(queries).of(slice(None))

    squared = np.square(X[::7, None] - X).sum(axis=2) * direct.coarse.unit
    squared[np.arange(len(numbers)), numbers] = np.inf
    found_squared = torch.from_numpy(np.take_along_axis(squared, found.rows.numpy(), axis=1))
    assert (found.estimates <= bound.largest_estimate(found_squared)).all()
    assert (found_squared <= bound.largest_distance(found.estimates)).all()
    assert (found.estimates[:, 1:] >= found.estimates[:, :-1]).all()
    assert_array_equal(found.limit, found.estimates[:, -1])
    np.put_along_axis(squared, found.rows.numpy(), np.inf, axis=1)
    others = torch.from_numpy(squared.min(axis=1, keepdims=True))
    assert (found.limit[:, None] <= bound.largest_estimate(others)).all()


@pytest.mark.parametrize(("kind", "expected"), [("clusters", True), ("noise", False)])
def test_boxes_are_used_where_they_rule_rows_out(kind, expected):
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((16384, 40))
    if kind == "clusters":
        X += 30 * random_state.standard_normal((40, 40))[random_state.randint(40, size=16384)]
    rows = _exact.Rows(torch.from_numpy(X), torch.device("cpu"))
    assert _boxes.Boxes(_base.CoarseRows(rows, torch.float32, 2**28)).pays() == expected


@pytest.mark.parametrize("start", [0, 2**31 - 3, 2**40])
def test_members_are_sorted_before_others(start):
    """Row numbers need not fit into int32."""
    rows = start + torch.tensor([[4, 2, 0, 3], [1, 4, 3, 2]])
    is_member = torch.tensor([[True, False, True, True], [True, True, False, True]])
    found = _order._sort_members(rows, is_member)
    assert_array_equal(found[:, :3] - start, [[0, 3, 4], [1, 2, 4]])
