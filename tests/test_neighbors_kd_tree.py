"""The engine for rows of few features is chosen for them, and finds what is allowed."""

import numpy as np
import oracle
import pytest
import torch
from numpy.testing import assert_array_equal

from imblearn_eos import TorchNearestNeighbors
from imblearn_eos.neighbors import _base, _choose, _exact, _kd_tree
from imblearn_eos.neighbors._nearest_neighbors import nearest_sets

SIZE = _choose.Size(10**4, 8, 10**4, 20, True, torch.device("cpu"), torch.float32, 2**30)


@pytest.mark.parametrize(
    ("size", "is_chosen"),
    [
        (SIZE, True),
        (SIZE._replace(n_features=64), False),
        (SIZE._replace(n_bytes=2**21), False),
        (SIZE._replace(device=torch.device("cuda")), False),
    ],
)
def test_chosen_for_few_features_in_enough_memory_on_the_cpu(size, is_chosen, monkeypatch):
    monkeypatch.setattr(_choose, "_load_triton", lambda device: None)
    monkeypatch.setattr(_choose, "_has_numba", lambda: False)
    chains = _choose.choose_engines(size)
    assert (chains[0] == (_kd_tree.KDTrees,)) == is_chosen
    # Others follow, for rows on which it does not pay.
    assert chains[-1] != (_kd_tree.KDTrees,)


def test_keeps_more_candidates_where_rows_tie():
    X = torch.from_numpy(np.random.RandomState(0).randn(100, 3))
    kept = {}
    for name, data in (("scattered", X), ("ties", X.round())):
        rows = _base.CoarseRows(_exact.Rows(data, torch.device("cpu")), torch.float32, 2**24)
        engine = _kd_tree.KDTrees(rows)
        engine.pays(20)
        kept[name] = engine.n_candidates(5 + _base.SPARE_CANDIDATES)
    assert kept == {"scattered": 5 + 1, "ties": 5 + _base.SPARE_CANDIDATES}


@pytest.mark.parametrize("kind", ["scattered", "ties"])
def test_finds_allowed_rows_only(kind, engine):
    X = np.random.RandomState(0).randn(150, 3)
    X = X.round() if kind == "ties" else X
    fitted = TorchNearestNeighbors().fit(X)
    # One search serves several choices of rows, and several sets of queries.
    for seed in (0, 1):
        allowed = np.random.RandomState(seed).rand(150) < 0.5
        rows = np.flatnonzero(allowed)
        for members in (np.flatnonzero(~allowed), rows[:9]):
            found = nearest_sets(
                fitted,
                members,
                7,
                allowed=torch.from_numpy(allowed),
            )
            squared = oracle.squared_distances(X[members], X[rows])
            squared[members[:, None] == rows] = np.inf
            expected = rows[np.argsort(squared, axis=1, kind="stable")[:, :7]]
            assert_array_equal(found, np.sort(expected, axis=1))
