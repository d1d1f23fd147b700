import signal
from pathlib import Path

import pytest

from imblearn_eos.neighbors import _coarse, _half


@pytest.fixture(autouse=True)
def _interruptible():
    """Tests press Ctrl-C, also where the test run itself ignores it, as under nohup."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data():
    """Give the path of a file of real data, which a user need not have."""

    def find(name):
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs the data file {name}, which is not part of the project")
        return path

    return find


@pytest.fixture(params=["tiles", "tree", "compiled tree", "compiled selection", "half"])
def engine(request, monkeypatch):
    """Make the coarse pass take one of its ways, which it takes by itself only for many rows."""
    if request.param == "tiles":
        return
    monkeypatch.setattr(_coarse, "MIN_TREE_PAIRS", 0)
    monkeypatch.setattr(_coarse, "MIN_TREE_ROWS", 1)
    monkeypatch.setattr(_coarse, "FIRST_ROWS", 16)
    monkeypatch.setattr(_coarse, "CELL_ROWS", 8)
    monkeypatch.setitem(_coarse.TILE_ROWS, "cpu", 64)
    monkeypatch.setitem(_coarse.BLOCK_QUERIES, "cpu", 32)
    if request.param != "tree":
        pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
        monkeypatch.setattr(_coarse, "MIN_KERNEL_PAIRS", 0)
        monkeypatch.setattr(_coarse, "MIN_PAIRS_TO_LOAD", 0)
        pays = request.param == "compiled tree"
        monkeypatch.setattr(_coarse.CoarseSearch, "_pays", lambda self, tree: pays)
        monkeypatch.setattr(
            _coarse,
            "make_half_rows",
            # Slow products in bfloat16 are right too, and so is what does not pay.
            lambda *args: (_half.HalfRows(*args), 1.5) if request.param == "half" else (None, 1),
        )
