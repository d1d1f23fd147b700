"""The engine in bfloat16: its bound, and when it is used."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from imblearn_eos import _device
from imblearn_eos.neighbors import _base, _bfloat16, _choose
from imblearn_eos.neighbors._exact import Rows


@pytest.fixture(scope="module", params=["torch", "compiled"])
def engine_type(request):
    if request.param == "torch":
        return _bfloat16.Bfloat16
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    from imblearn_eos.neighbors import _compiled_bfloat16

    return _compiled_bfloat16.CompiledBfloat16


def make_rows(n_rows, n_features, spread, seed):
    random_state = np.random.RandomState(seed)
    rows = random_state.standard_normal(
        (n_rows, n_features)
    ) * spread ** random_state.standard_normal((n_rows, 1))
    return torch.from_numpy(rows)


def make_engine(rows, engine_type):
    coarse = _base.CoarseRows(Rows(rows, rows.device), torch.float32, 2**24)
    coarse.tile_rows = 64
    return engine_type(coarse)


def search(engine, queries, n_kept, allowed=None):
    """Queries are centred and scaled."""
    return engine.candidates(None, queries, n_kept, allowed)


@settings(max_examples=60, deadline=None)
@given(
    n_features=st.sampled_from([1, 3, 64, 300]),
    spread=st.sampled_from([1, 3, 100]),
    scale=st.sampled_from([0, 1e-3, 1, 1e3]),
    seed=st.integers(0, 2**31),
)
def test_no_row_has_a_larger_estimate_than_the_bound_of_its_distance(
    engine_type, n_features, spread, scale, seed
):
    rows = make_rows(150, n_features, spread, seed)
    engine = make_engine(rows, engine_type)
    rows = engine.coarse.kept.values.double()
    other = engine.coarse.centred(make_rows(20, n_features, spread, seed + 1))
    queries = torch.cat([rows[:20], other * scale])
    # Of all rows but the last, the least estimate of what is left out is that of the last.
    for column in range(0, 150, 7):
        allowed = torch.zeros(150, dtype=torch.bool)
        allowed[column] = True
        estimate = search(engine, queries, 1, allowed).limit
        distance = (queries - rows[column]).square().sum(1)
        bound = engine.bound(queries).largest_estimate(distance)
        assert not (estimate > bound).any()


def test_what_is_kept_has_the_least_estimates(engine_type):
    engine = make_engine(make_rows(300, 20, 1, 0), engine_type)
    queries = engine.coarse.kept.values[:50].double()
    found = search(engine, queries, 30)
    for query in range(50):
        each = torch.stack(
            [
                search(engine, queries[query : query + 1], 1, row).limit
                for row in torch.eye(300).bool()
            ]
        )
        least = each[:, 0].nan_to_num(0).sort()
        # Lines may hold more, and what fills them up.
        rows = found.rows[query, found.estimates[query].argsort()[:30]]
        assert len(rows.unique()) == 30
        kept = each[rows, 0].nan_to_num(0).sort().values
        assert torch.equal(kept, least.values[:30])
        assert found.limit[query] == kept[-1]


def test_used_where_it_tells_near_rows_from_others(engine_type):
    rows = torch.rand(2000, 30, generator=torch.Generator().manual_seed(0)) - 0.5
    engine = make_engine(rows, engine_type)
    assert engine.pays(20)
    assert 20 <= engine.n_candidates(20) < 80
    far = rows / 1000
    far[0] = 1
    assert not make_engine(far, engine_type).pays(20)
    assert not make_engine(rows[:50], engine_type).pays(20)


@pytest.mark.parametrize("is_supported", [False, True])
def test_chosen_where_the_processor_multiplies_bfloat16(engine_type, is_supported, monkeypatch):
    monkeypatch.setattr(_choose, "has_bfloat16", lambda device: is_supported)
    monkeypatch.setattr(_choose, "_is_compiled", lambda: engine_type is not _bfloat16.Bfloat16)
    size = _choose.Size(10**5, 64, 10**5, 20, True, torch.device("cpu"), torch.float32, 2**30)
    chains = _choose.choose_engines(size)
    assert any(chain[0] is engine_type for chain in chains) == is_supported
    # For many neighbors, candidates cost more than the products save.
    # For few numbers, the products are not what takes the time.
    for other in (size._replace(n_wanted=100), size._replace(n_rows=10**4)):
        chains = _choose.choose_engines(other)
        assert not any(chain[0] is engine_type for chain in chains)
    # Little memory, and products of low precision.
    for other in (size._replace(n_bytes=2**20), size._replace(dtype=torch.float64)):
        assert [chain[0].__name__ for chain in _choose.choose_engines(other)] == ["Tiles"]


@pytest.mark.parametrize("seconds", [0.5, 0.9, 2.0])
@pytest.mark.parametrize("has_instructions", [False, True])
def test_processors_are_asked_whether_bfloat16_is_fast(monkeypatch, has_instructions, seconds):
    # On some, its instructions take twice the time of those of float32.
    dtypes = []

    def measure(dtype):
        dtypes.append(dtype)
        return seconds if dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(_device, "cpu_has_bfloat16", lambda: has_instructions)
    monkeypatch.setattr(_device, "_seconds_of_product", measure)
    ask = cache(_device._cpu_is_fast_in_bfloat16.__wrapped__)
    monkeypatch.setattr(_device, "_cpu_is_fast_in_bfloat16", ask)
    for _ in range(2):
        assert _device.has_bfloat16("cpu") == (has_instructions and seconds < 0.75)
    # Once in a process.
    assert len(dtypes) == 2 * has_instructions


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_product_that_is_timed_is_as_named_whatever_torch_is_told(monkeypatch, dtype):
    found = []

    def repeat(multiply, number, repeat):
        found.append(multiply())
        return [2.0, 1.0, 3.0]

    monkeypatch.setattr(_device, "repeat", repeat)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
            assert _device._seconds_of_product(dtype) == 1
    finally:
        torch.set_default_dtype(default)
    (product,) = found
    assert (product.dtype, product.device.type, float(product[0, 0])) == (dtype, "cpu", 256)


@pytest.mark.parametrize("is_supported", [True, False])
def test_few_queries_are_not_worth_boxes_beside_bfloat16(monkeypatch, is_supported):
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    monkeypatch.setattr(_choose, "has_bfloat16", lambda device: is_supported)
    monkeypatch.setattr(_choose, "_is_compiled", lambda: True)
    size = _choose.Size(10**6, 32, 2000, 20, True, torch.device("cpu"), torch.float32, 2**30)
    names = [chain[0].__name__ for chain in _choose.choose_engines(size)]
    assert ("CompiledBoxes" in names) == (not is_supported)
    names = [chain[0].__name__ for chain in _choose.choose_engines(size._replace(n_queries=5000))]
    assert names[0] == "CompiledBoxes"


def test_integers_have_the_order_of_the_numbers():
    values = torch.tensor([0.0, 1e-30, 0.5, 1.0, 3.0, 1e30, np.inf]).bfloat16()
    bits = values.view(torch.int16)
    assert_array_equal(bits.argsort(), np.arange(len(bits)))
    assert bits[-1] == _bfloat16.INFINITY_BITS
