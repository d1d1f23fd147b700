"""How the smallest of many scores are selected."""

import os
import subprocess
import sys
from threading import Barrier

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from imblearn_eos.neighbors import (
    _base,
    _bfloat16,
    _boxes,
    _cells,
    _direct,
    _exact,
    _order,
    _selection,
)
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

    kept_scores, kept_rows = best.merge()
    assert n_kept <= kept_scores.shape[1] <= 2 * n_kept
    assert_array_equal(best.limit, np.sort(scores.numpy(), axis=1)[:, n_kept - 1])
    column = rows.argsort()
    for query in range(7):
        is_real = kept_scores[query].isfinite()
        kept = kept_rows[query][is_real]
        assert len(set(kept.tolist())) == len(kept)
        assert_array_equal(scores[query, column[kept]], kept_scores[query][is_real])
        below = rows[scores[query] < best.limit[query]]
        assert set(below.tolist()) <= set(kept.tolist())


@pytest.mark.parametrize("near_share", [0, 1])
@pytest.mark.parametrize("dense_share", [0, 1])
@pytest.mark.parametrize("kind", ["clusters", "copies", "few"])
def test_boxes_find_the_nearest_rows_with_and_without_sketches(
    kind, dense_share, near_share, monkeypatch
):
    random_state = np.random.RandomState(0)
    X = random_state.normal(size=(700, 12))
    X[350:] += 20
    if kind == "copies":
        X = X.round()
        X[::2] = X[0]
    is_allowed = np.ones(700, dtype=bool)
    if kind == "few":
        is_allowed = random_state.permutation(700) < 5
    rows = _exact.Rows(torch.from_numpy(X.astype(np.float32)), torch.device("cpu"))
    coarse = _base.CoarseRows(rows, torch.float32, 2**28)
    coarse.tile_rows = 32
    options = {"cell_rows": 8, "first_rows": 16, "n_directions": 3, "near_share": near_share}
    monkeypatch.setattr(_boxes, "DENSE_SHARE", dense_share)
    engine = type("Small", (_boxes.Boxes,), options)(coarse)
    block = next(engine.blocks(rows, torch.arange(700), 5))
    queries = engine.centred(rows, block.numbers)
    were_sharp, offer_near = [], engine._offer_near
    engine._offer_near = lambda *given: were_sharp.append(offer_near(*given)) or were_sharp[-1]
    found = engine.candidates(block, queries, 5, torch.from_numpy(is_allowed))
    assert were_sharp
    assert all(were_sharp) == bool(near_share)
    among = coarse.centred(rows[torch.from_numpy(np.flatnonzero(is_allowed))])
    expected = torch.cdist(queries, among).square().sort(dim=1).values[:, :5]
    assert_allclose(found.estimates.sort(dim=1).values[:, :5], expected, rtol=1e-4, atol=1e-5)
    assert_allclose(found.limit, expected[:, -1], rtol=1e-4, atol=1e-5)
    estimates, order = found.estimates.sort(dim=1)
    kept = found.rows.gather(1, order[:, :5])
    assert is_allowed[kept].all()
    measured = queries[:, None] - coarse.centred(rows[kept.flatten()]).view(len(kept), 5, 12)
    assert_allclose(estimates[:, :5], measured.square().sum(2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_directions", [3, 12])
@pytest.mark.parametrize("huge", [1e60, 1e30, 5e19])
def test_a_query_that_overflows_leaves_others_of_its_block_their_cells(huge, n_directions):
    random_state = np.random.RandomState(0)
    X, queries = random_state.randn(400, 20), random_state.randn(60, 20)
    # The products of one query with all rows overflow to the same side.
    X[:, 3] = np.abs(X[:, 3]) + 1
    # Or only the sum of their squares does.
    queries[7, 3:] = huge
    rows, some = (_exact.Rows(torch.from_numpy(x), torch.device("cpu")) for x in (X, queries))
    coarse = _base.CoarseRows(rows, torch.float32, 2**28)
    options = {"cell_rows": 8, "first_rows": 64, "n_directions": n_directions}
    engine = type("Small", (_boxes.Boxes,), options)(coarse)
    (block,) = engine.blocks(some, torch.arange(60), 3)
    centred = engine.centred(some, block.numbers)
    limit = engine.candidates(block, centred, 3, None).limit
    is_huge = block.numbers == 7
    assert limit[is_huge].isnan().all()
    third = torch.cdist(centred, coarse.centred(rows[:])).square().sort(dim=1).values[:, 2]
    assert_allclose(limit[~is_huge], third[~is_huge], rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    n_directions=st.sampled_from([1, 3, 12]),
    spread=st.sampled_from([0.01, 1, 100]),
    seed=st.integers(0, 2**31),
)
def test_the_score_of_two_sketches_is_at_most_that_of_the_rows(n_directions, spread, seed):
    random_state = np.random.RandomState(seed)
    rows = random_state.normal(size=(60, 20)) * spread ** random_state.normal(size=20)
    rows = torch.from_numpy(rows)
    sketches = _cells.Sketch(rows[:30], n_directions)(rows).double()
    norms = rows.square().sum(1)
    error = 1e-6 * (norms[:, None] + norms)
    assert_allclose(sketches.square().sum(1), norms, rtol=1e-6)
    assert (sketches @ sketches.T >= rows @ rows.T - error).all()


def test_one_query_with_all_the_small_scores_takes_no_long_lines_for_others(monkeypatch):
    longest, in_lines = [], _selection.in_lines

    def note(line, n_lines, *parts):
        longest.append(int(line.bincount().max()))
        return in_lines(line, n_lines, *parts)

    monkeypatch.setattr(_selection, "in_lines", note)
    scores = torch.ones(200, 10_000)
    scores[0] = torch.arange(10_000, 0, -1)
    best = SmallestScores(200, 5, scores)
    for tile, rows in zip(scores.split(50, 1), torch.arange(10_000).split(50), strict=True):
        best.offer(tile.contiguous(), rows)
    assert_array_equal(best.merge()[0][0].sort().values[:5], [1, 2, 3, 4, 5])
    assert max(longest) <= 5 * _selection.MOST_WAITING + 50


@pytest.mark.parametrize("n_tile", [2000, 300])
def test_scores_in_bfloat16_are_kept_by_their_bits(n_tile):
    random_state = np.random.RandomState(0)
    # Many are equal, negative, infinite or no number.
    bits = random_state.randint(-(2**15), 2**15, (6, 2000), dtype=np.int16)
    bits[3:] = np.abs(bits[3:] // 64)
    bits[0, :50] = -(2**15)
    scores = torch.from_numpy(bits)
    best = _bfloat16.SmallestBits(6, 20, scores)
    for tile, rows in zip(scores.split(n_tile, 1), torch.arange(2000).split(n_tile), strict=True):
        best.offer(tile.contiguous(), rows)
    kept, kept_rows = best.merge()
    expected = np.sort(bits, axis=1)[:, :20]
    assert_array_equal(kept.sort(dim=1).values[:, :20], expected)
    assert_array_equal(best.limit, expected[:, -1])
    is_real = kept < _bfloat16.INFINITY_BITS
    assert_array_equal(scores.gather(1, kept_rows)[is_real], kept[is_real])


def test_where_many_bounds_are_small_none_are_read():
    scores = torch.arange(4000, dtype=torch.float32).view(2, 2000)
    best = SmallestScores(2, 3, scores)
    best.offer(scores[:, :1000].contiguous() + 0.5, torch.arange(1000))
    few = torch.where(scores % 2000 < 2, scores, torch.inf)
    query, column = best.find_by_bounds(few, 4)
    assert_array_equal(query, [0, 0, 1, 1])
    assert_array_equal(column, [0, 1, 0, 1])
    assert best.find_by_bounds(few, 3) is None
    # Eight in each of two groups.
    in_groups = torch.where(torch.arange(2000) % 250 == 0, scores - 1e6, torch.inf)
    assert len(best.find_by_bounds(in_groups, 16)[0]) == 16
    assert best.find_by_bounds(in_groups, 15) is None


@pytest.mark.parametrize("kind", ["clusters", "copies", "far", "few"])
@pytest.mark.parametrize("n_kept", [1, 19, 60])
def test_cells_of_near_boxes_have_the_nearest_rows(kind, n_kept):
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    from imblearn_eos.neighbors import _compiled, _compiled_boxes

    random_state = np.random.RandomState(0)
    X = random_state.normal(size=(700, 12))
    X[350:] += 20
    if kind == "copies":
        X = X.round()
        X[::2] = X[0]
    is_allowed = {
        # Half of the queries have none in their cluster.
        "far": np.arange(700) >= 350,
        "few": random_state.permutation(700) < n_kept,
    }.get(kind, np.ones(700, dtype=bool))
    rows = _exact.Rows(torch.from_numpy(X.astype(np.float32)), torch.device("cpu"))
    coarse = _compiled.CompiledRows(rows, torch.float32, 2**28)
    engine = type("Small", (_compiled_boxes.CompiledBoxes,), {"cell_rows": 8})(coarse)
    block = next(engine.blocks(rows, torch.arange(700), n_kept))
    queries = engine.centred(rows, block.numbers)
    found = engine.candidates(block, queries, n_kept, torch.from_numpy(is_allowed))
    among = coarse.centred(rows[torch.from_numpy(np.flatnonzero(is_allowed))])
    expected = torch.cdist(queries, among).square().sort(dim=1).values[:, :n_kept]
    assert_allclose(found.estimates.sort(dim=1).values, expected, rtol=1e-4, atol=1e-7)
    assert_array_equal(found.limit, found.estimates.max(dim=1).values)
    assert is_allowed[found.rows].all()
    assert all(len(set(line.tolist())) == n_kept for line in found.rows)


@pytest.mark.parametrize(
    "kind",
    ["any sign", "ties", "equal", "ascending", "descending", "few", "no numbers", "near", "late"],
)
@pytest.mark.parametrize(("n_rows", "n_kept"), [(40, 40), (300, 20), (3000, 70), (5000, 1010)])
@pytest.mark.parametrize("n_tile", [5000, 400, 37])
@pytest.mark.parametrize("is_tight", [False, True])
def test_many_scores_below_a_threshold_are_the_smallest(n_rows, n_kept, n_tile, is_tight, kind):
    kernels = pytest.importorskip(
        "imblearn_eos.neighbors._kernels", reason="needs numba, the extra 'fast'"
    )
    scores = np.random.RandomState(0).standard_normal((5, n_rows)).astype("float32")
    rank = scores.argsort(axis=1).argsort(axis=1)
    scores = {
        "any sign": scores,
        "ties": scores.round(),
        "equal": scores * 0,
        "ascending": np.sort(scores, axis=1),
        "descending": -np.sort(scores, axis=1),
        "few": np.where(rank < n_kept - 3, scores, np.float32(np.inf)),
        "no numbers": np.where(rank < n_kept, scores, np.float32(np.nan)),
        # One is so far off that halving the range again and again does not tell the others apart.
        "near": np.where(np.arange(n_rows) == 1, 1, rank * 1e-14).astype("float32"),
        "late": np.where(np.arange(n_rows) < 30, np.inf, rank * 1e-14).astype("float32"),
    }[kind]
    scores[:, 2] = 1 if kind == "late" else scores[:, 2]
    own = np.full(5, -1)
    n_places = kernels.FLAGS_IN_WORD + (n_kept if is_tight else 3 * n_kept)
    kept, rows = np.empty((5, n_places), "float32"), np.empty((5, n_places), "int32")
    counts, limits = np.zeros(5, dtype=np.int64), np.full(5, np.inf, dtype=np.float32)
    for first in range(0, n_rows, n_tile):
        tile = scores[:, first : first + n_tile].copy()
        kernels.keep_smallest(tile, own, first, n_kept, kept, rows, counts, limits)
    scores = np.where(np.isnan(scores), np.inf, scores)
    for i in range(5):
        found = rows[i, : counts[i]]
        assert len(found) >= min(n_kept, np.isfinite(scores[i]).sum())
        assert (found[1:] > found[:-1]).all()
        assert_array_equal(kept[i, : counts[i]], scores[i, found])
        # Nothing below the limit was left out.
        assert np.delete(scores[i], found).min(initial=np.inf) >= limits[i]

    found, estimates = np.empty((5, n_kept), dtype=np.int64), np.empty((5, n_kept))
    kernels.sort_kept(kept, rows, counts, limits, np.zeros(5), found, estimates)
    expected = np.sort(scores, axis=1)
    others, expected = expected[:, n_kept:].min(axis=1, initial=np.inf), expected[:, :n_kept]
    assert_array_equal(estimates, expected)
    assert (limits <= others).all()
    is_real = np.isfinite(expected)
    assert_array_equal(np.take_along_axis(scores, found, axis=1)[is_real], expected[is_real])
    for line, real, values in zip(found, is_real, expected, strict=True):
        assert len(set(line[real])) == real.sum()
        # Equal scores by row.
        is_equal = values[real][1:] == values[real][:-1]
        assert (np.diff(line[real])[is_equal] > 0).all()


@pytest.mark.parametrize("kind", ["noise", "copies", "period", "few", "none", "no numbers"])
@pytest.mark.parametrize("is_like", [True, False])
def test_limits_from_a_sample_leave_out_none_of_the_nearest(kind, is_like, monkeypatch):
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    from imblearn_eos.neighbors import _compiled

    n_rows, n_kept = 4000, 300
    X = np.random.RandomState(0).normal(size=(n_rows, 5)).astype("float32")
    if kind == "copies":
        X = X.round() // 2
    if kind == "period":
        # The sample has one of nine rows.
        X[::9] *= 0.1
    n_allowed = {"few": n_kept + 10, "none": n_kept - 10}.get(kind, n_rows)
    is_allowed = torch.arange(n_rows) < n_allowed
    engine = _compiled.CompiledTiles(
        _compiled.CompiledRows(
            _exact.Rows(torch.from_numpy(X), torch.device("cpu")), torch.float32, 2**28
        )
    )
    guess, guesses = engine._guess_limits, []

    def guess_limits(queries, *args):
        limits = guess(queries, *args)
        if not is_like:
            # Two of three are below all scores.
            limits = limits - np.float32(10) * (np.arange(len(limits)) % 3 > 0)
        guesses.append(limits.copy())
        return limits

    monkeypatch.setattr(engine, "_guess_limits", guess_limits)
    numbers = torch.arange(0, n_rows, 40)
    block = _base.Block(numbers, own=numbers)
    queries = engine.centred(engine.coarse.rows, numbers)
    if kind == "no numbers":
        queries[3] = torch.inf
    kept = engine.keep(block, queries, n_kept, is_allowed)
    (limits,) = guesses
    rows = engine.coarse.kept
    scores = _base.multiply(
        rows.norms, queries, rows.values, None, torch.empty(100, n_rows)
    ).numpy()
    scores[:, ~is_allowed] = np.inf
    scores[np.arange(100), numbers] = np.inf
    scores[np.isnan(scores)] = np.inf
    n_below = (scores < limits[:, None]).sum(axis=1)
    if is_like and kind in ("noise", "period"):
        # Somewhat more than are wanted, so that one pass is enough.
        assert (n_below >= n_kept).mean() > 0.95
        assert np.median(n_below) < 2 * n_kept
    for i in range(100):
        found = kept.rows[i, : kept.counts[i]]
        assert len(found) >= min(n_kept, np.isfinite(scores[i]).sum())
        assert (found[1:] > found[:-1]).all()
        assert_allclose(kept.scores[i, : kept.counts[i]], scores[i, found], atol=1e-4)
        assert np.delete(scores[i], found).min() >= kept.limits[i] - 1e-4


@pytest.mark.slow
def test_fast_math_of_one_loop_is_not_passed_on_to_others(tmp_path):
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    code = """if True:
        import numpy as np, torch
        from imblearn_eos.neighbors import _compiled, _compiled_boxes, _exact, _kernels

        rows = _exact.Rows(torch.rand(100, 2), torch.device("cpu"))
        # Its loops are compiled before others.
        _compiled_boxes.CompiledBoxes(_compiled.CompiledRows(rows, torch.float32, 2**20)).pays(20)
        # Fast math would tell zeros apart.
        scores = np.array([-0.0, -1], "float32")
        assert _kernels.range_between(scores, np.float32(-2), np.float32(0)) == (-1, -1)
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-np.inf, np.inf, (-2, 3)),
        (0, np.inf, (0, 3)),
        (-0.0, 0.5, (0, 0)),
        (-2, 0, (-2, -2)),
        (-2, -0.0, (-2, -2)),
        (1e-45, np.inf, (3, 3)),
        (4, -4, (np.inf, -np.inf)),
    ],
)
def test_range_of_scores_passes_over_what_is_no_number(low, high, expected):
    kernels = pytest.importorskip(
        "imblearn_eos.neighbors._kernels", reason="needs numba, the extra 'fast'"
    )
    scores = [0.0, np.nan, -2, -0.0, 3, -np.nan, np.inf]
    found = kernels.range_between(np.array(scores, "float32"), np.float32(low), np.float32(high))
    assert found == expected


@pytest.mark.parametrize("result", ["sets", "order", "distances"])
@pytest.mark.parametrize("slope", [0, 1e-6, 0.01, 2])
@pytest.mark.parametrize("kind", ["noise", "ties", "equal", "two ramps"])
@pytest.mark.parametrize(("n_rows", "n_neighbors"), [(1, 1), (40, 7), (40, 30), (900, 300)])
def test_candidates_by_row_are_selected_by_distance(n_rows, n_neighbors, kind, slope, result):
    """Estimates are nearly as far from the distances as the bound allows."""
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    from imblearn_eos.neighbors import _order_kernels as kernels

    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((n_rows, 3))
    ramps = np.arange(n_rows)[:, None] % (n_rows // 2 + 1) * np.ones(3) / n_rows
    X = {"noise": X, "ties": X.round(), "equal": X * 0, "two ramps": ramps}[kind]
    # The last three are not searched: one overflowed, and two have too few candidates.
    queries = random_state.standard_normal((7, 3))
    distances = np.square(queries[:, None] - X).sum(axis=2)
    lengths, offset = np.square(queries).sum(axis=1), slope / 10 + 1e-4
    error = random_state.choice([-1, 1], size=distances.shape)
    estimates = distances + error * (slope * distances + 0.95 * offset)
    if slope > 1:
        # Nothing is known then.
        estimates = random_state.uniform(size=estimates.shape)
    # What is not needed is left out of most.
    found = np.argsort(distances, axis=1, kind="stable")
    reach = np.take_along_axis(distances, found[:, [n_neighbors - 1]], axis=1)
    is_kept = estimates <= (1 + slope) * reach + offset if slope < 1 else estimates < np.inf
    is_kept[5] = False
    is_kept[6] = np.arange(n_rows) < n_neighbors - 1
    counts = is_kept.sum(axis=1)
    rows = np.argsort(~is_kept, axis=1, kind="stable").astype(np.int32)
    scores = np.take_along_axis((estimates - lengths[:, None]).astype(np.float32), rows, axis=1)
    lengths[4] = np.nan

    nearest, farthest = np.empty((7, n_neighbors), dtype=np.int64), np.empty(7)
    squared = np.empty(nearest.shape if result == "distances" else (0, 0))
    kernels.select_kept(
        queries,
        X,
        scores,
        rows,
        counts,
        lengths,
        float(slope),
        np.full(7, offset),
        1.0,
        kernels.RESULTS[result],
        nearest,
        squared,
        farthest,
    )
    expected = found[:4, :n_neighbors]
    expected_squared = np.take_along_axis(distances[:4], expected, axis=1)
    if result == "sets":
        expected = np.sort(expected, axis=1)
    assert_array_equal(nearest[:4], expected)
    if result == "distances":
        assert_allclose(squared[:4], expected_squared, rtol=1e-12)
    last = expected_squared[:, -1]
    assert (farthest[:4] >= last * (1 - 1e-12)).all()
    if slope < 1:
        largest = (1 + slope) * last + 2 * offset
        assert (farthest[:4] <= (largest + offset) / (1 - slope)).all()
    assert_array_equal(nearest[4:], 0)
    assert_array_equal(farthest[4:], np.inf)


def test_scores_that_are_no_number_are_not_kept():
    scores = torch.tensor([[np.nan, 2.0, np.nan, -1.0, 1.0]])
    best = SmallestScores(1, 3, scores)
    best.offer(scores, torch.arange(5))
    assert_array_equal(best.merge()[0].sort().values, [[-1, 1, 2]])


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


@pytest.mark.parametrize("n_queries", [1, 3, 64, 200])
@pytest.mark.parametrize("n_rows", [1, 17, 300, 1000])
@pytest.mark.parametrize("n_terms", [2, 31, 64])
def test_parts_of_products_are_summed_before_they_are_added(n_queries, n_rows, n_terms):
    # One by one, such small numbers would vanish beside the norm. The bounds rely on this.
    norms = torch.full((n_rows,), 2.0**24)
    queries, rows = torch.full((n_queries, 192), -0.75), torch.full((n_rows, 192), 0.5)
    scores = _base.multiply(norms, queries, rows, n_terms, torch.empty(n_queries, n_rows))
    exact = 2.0**24 + 0.75 * 192
    assert (scores - exact).abs().max() <= 2 * -(-192 // n_terms)


@pytest.mark.parametrize(
    ("kind", "expected"), [("clusters", True), ("few directions", True), ("noise", False)]
)
def test_boxes_are_used_where_they_rule_rows_out(kind, expected):
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((16384, 40))
    if kind == "clusters":
        X += 30 * random_state.standard_normal((40, 40))[random_state.randint(40, size=16384)]
    if kind == "few directions":
        # Every cell is near every block, but few rows are near a query.
        X = X / 50 + random_state.standard_normal((16384, 10)) @ random_state.rand(10, 40)
    rows = _exact.Rows(torch.from_numpy(X), torch.device("cpu"))
    assert _boxes.Boxes(_base.CoarseRows(rows, torch.float32, 2**28)).pays(20) == expected


@pytest.mark.parametrize("start", [0, 2**31 - 3, 2**40])
def test_lines_of_row_numbers_are_sorted(start):
    """Row numbers need not fit into int32."""
    rows = start + torch.tensor([[4, 2, 0, 3], [1, 4, 3, 2]])
    assert_array_equal(_order.sort_lines(rows) - start, [[0, 2, 3, 4], [1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("n_lines", "n_threads", "n_parts"), [(0, 2, 1), (1, 2, 1), (2, 2, 2), (7, 3, 3), (7, 1, 1)]
)
def test_many_lines_are_sorted_in_as_many_threads_as_torch_uses(
    n_lines, n_threads, n_parts, monkeypatch
):
    monkeypatch.setattr(_order, "NUMBERS_FOR_A_THREAD", 5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    lines = np.random.RandomState(0).randint(9, size=(n_lines, 5))
    # Passed only if all parts are sorted at the same time.
    expected, together = np.sort(lines, axis=1), Barrier(n_parts, timeout=60)

    def sort(part):
        together.wait()
        part.sort(axis=1)

    _order.in_threads(sort, lines)
    assert_array_equal(lines, expected)


@pytest.mark.parametrize("kind", ["nearly sorted", "shuffled", "ties", "equal"])
@pytest.mark.parametrize("n_rows", [1, 20, 500])
def test_compiled_runs_are_sorted_by_distance_and_row(n_rows, kind):
    kernels = pytest.importorskip(
        "imblearn_eos.neighbors._order_kernels", reason="needs numba, the extra 'fast'"
    )
    random_state = np.random.RandomState(0)
    rows = random_state.permutation(n_rows)
    squared = {
        "nearly sorted": np.arange(n_rows) + 1.5 * random_state.rand(n_rows),
        "shuffled": random_state.rand(n_rows),
        "ties": random_state.randint(4, size=n_rows).astype(float),
        "equal": np.ones(n_rows),
    }[kind]
    order = np.lexsort([rows, squared])
    expected = squared[order], rows[order]
    kernels._sort_run(squared, rows)
    assert_array_equal(squared, expected[0])
    assert_array_equal(rows, expected[1])
