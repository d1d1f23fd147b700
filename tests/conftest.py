import multiprocessing
import signal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from imblearn_eos.neighbors import (
    _base,
    _bfloat16,
    _boxes,
    _choose,
    _direct,
    _kd_tree,
    _search,
    _tiles,
    _topk,
)

HAS_CUDA = torch.cuda.is_available()

# Triton looks at this when it is imported, which libraries of backbones do as well.
if not HAS_CUDA and find_spec("triton"):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        import_module("imblearn_eos.neighbors._triton")


@pytest.fixture(autouse=True)
def _interruptible():
    """Tests press Ctrl-C, also where the test run itself ignores it, as under nohup."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture(scope="module")
def loaded_workers():
    """Fork Dask's workers from a process that has imported what takes seconds, not this package."""
    dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
    utils = pytest.importorskip("distributed.utils", reason="needs distributed, the extra 'dask'")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        yield
        return
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        # The first call names other modules.
        context = utils.get_mp_context()
        context.set_forkserver_preload(["distributed", "dask.array", "imblearn", "numba", "torch"])
        yield


@pytest.fixture(scope="module")
def client(loaded_workers):
    """Return a client of two workers of one thread on this machine."""
    dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
    distributed = pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")
    with (
        # A worker that starts again slowly would be given up, and without workers a fit would wait.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data():
    """Return the path of a file of real data, which a user need not have."""

    def find(name):
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs the data file {name}, which is not part of the project")
        return path

    return find


class SmallBoxes(_boxes.Boxes):
    """Boxes that rule rows out on the few rows of a test."""

    cell_rows = 8
    first_rows = 16

    def pays(self, n_wanted):
        # What does not pay is right too.
        return True


class SmallSketches(SmallBoxes):
    """Boxes whose sketches have few dimensions, and say first which rows to measure."""

    n_directions = 2
    near_share = 1


CUDA_ENGINES = ["topk", "kernel"]
# What does not pay is right too.
ALWAYS = {"pays": lambda self, n_wanted: True}


def chain_of(name):
    """Return the chain of engines that a name stands for."""
    if name == "tiles":
        return (_tiles.Tiles,)
    if name == "direct":
        return (_direct.Direct,)
    if name == "direct in float64":
        return (_direct.DoubleDirect,)
    if name == "k-d tree":
        return (type("AnyTree", (_kd_tree.KDTrees,), ALWAYS),)
    if name == "boxes":
        return (SmallBoxes,)
    if name == "sketches":
        return (SmallSketches,)
    if name == "topk":
        return (_topk.TopkTiles,)
    if name == "kernel":
        pytest.importorskip("triton", reason="needs Triton, which CUDA builds of torch bring")
        from imblearn_eos.neighbors import _triton

        return (type("AnyFused", (_triton.Fused,), ALWAYS), _topk.TopkTiles)
    if name == "bfloat16":
        return (type("Rough", (_bfloat16.Bfloat16,), ALWAYS), _tiles.Tiles)
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    from imblearn_eos.neighbors import _compiled, _compiled_bfloat16, _compiled_boxes, _few

    boxes = _compiled_boxes.CompiledBoxes
    small = type("SmallCompiledBoxes", (boxes,), {"cell_rows": 8, **ALWAYS})
    rough = type("Rough", (_compiled_bfloat16.CompiledBfloat16,), ALWAYS)
    # Samples of few rows are often unlike the others.
    few = {"max_kept_unsorted": 0, "min_kept_sampled": 4, "n_kept_in_sample": 2}
    sorting = type("Sorting", (_compiled.CompiledTiles,), few)
    return {
        "compiled boxes": (small,),
        "compiled tiles": (_compiled.CompiledTiles,),
        "compiled tiles, sorting": (sorting,),
        "few rows": (_few.FewRows,),
        "compiled bfloat16": (rough, _compiled.CompiledTiles),
    }[name]


@pytest.fixture
def use_engine(monkeypatch):
    """Return a function that makes every search use the engine of a name, where it can."""

    def use(name):
        chain = chain_of(name)
        if name not in CUDA_ENGINES:
            # "auto" is the CPU then.
            monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        elif name == "kernel" and not HAS_CUDA:
            import lanes

            # Many times as fast as the interpreter.
            monkeypatch.setattr("imblearn_eos.neighbors._triton._launch", lanes.keep_smallest)

        def choose(size):
            chains = _choose.choose_engines(size)
            n_bytes = _base.bytes_kept(size.n_rows, size.n_features, size.dtype, size.device)
            # Not a matter of speed: little memory, float64.
            is_fixed = n_bytes >= size.n_bytes / 2 or size.dtype != torch.float32
            return chains if is_fixed else [chain]

        monkeypatch.setattr(_search, "choose_engines", choose)
        # A few rows make several tiles and blocks.
        for kind in ("cpu", "cuda"):
            monkeypatch.setitem(_base.TILE_ROWS, kind, 64)
            monkeypatch.setitem(_base.BLOCK_QUERIES, kind, 32)

    return use


ENGINES = [
    # Other tests search few rows, which these do by themselves.
    pytest.param("direct", marks=pytest.mark.slow),
    pytest.param("direct in float64", marks=pytest.mark.slow),
    "tiles",
    "boxes",
    "sketches",
    "k-d tree",
    "compiled boxes",
    "compiled tiles",
    "compiled tiles, sorting",
    "few rows",
    "bfloat16",
    "compiled bfloat16",
    # Engines for CUDA, which run there if there is a device.
    *(pytest.param(name, marks=[] if HAS_CUDA else pytest.mark.slow) for name in CUDA_ENGINES),
]


@pytest.fixture(params=ENGINES)
def engine(request, use_engine):
    """Search with one engine after the other; by itself a search would choose by size."""
    use_engine(request.param)
    return request.param
