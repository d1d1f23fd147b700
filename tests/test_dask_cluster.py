"""Dask's distributed scheduler: the same bits, also when workers die."""

import multiprocessing
import os
import signal
import sys
from functools import partial

import numpy as np
import oracle
import pytest
from numpy.testing import assert_array_equal

from imblearn_eos import EOS, TorchNearestNeighbors

dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")

CHUNKS = (13,) * 7
LAST = len(CHUNKS) - 1


@pytest.fixture(scope="module")
def start_method():
    """Fork workers from a process that has imported what takes seconds, but not this package."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        yield
        return
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        # The first call names other modules.
        context = distributed.utils.get_mp_context()
        context.set_forkserver_preload(["distributed", "dask.array", "imblearn", "numba", "torch"])
        yield


@pytest.fixture(scope="module")
def client(start_method):
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def data():
    X, y = oracle.three_classes(3, (55, 24, 12))
    return X.astype(np.float32), y


def read(X, log, deadly, block_info=None):
    """Read a block of X. At the reading of the last block of this number, the worker dies."""
    start, stop = block_info[None]["array-location"][0]
    if stop == len(X):
        with open(log, "ab") as file:
            file.write(b".")
            file.flush()
            n_read = file.tell()
        if n_read == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
    return X[start:stop]


def lazy_rows(X, log, deadly=0):
    log.write_bytes(b"")
    return da.map_blocks(
        partial(read, X, str(log), deadly),
        chunks=(CHUNKS, (X.shape[1],)),
        dtype=X.dtype,
        meta=np.empty((0, 0), X.dtype),
    )


def assert_same_bits(X, y, lazy, **params):
    single = EOS(random_state=0, **params)
    expected = *single.fit_resample(X, y), single.base_indices_, single.enemy_indices_
    sampler = EOS(random_state=0, **params)
    results = sampler.fit_resample(lazy, da.from_array(y, chunks=(CHUNKS,)))
    found = distributed.default_client().compute(
        [*results, sampler.base_indices_, sampler.enemy_indices_], sync=True
    )
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.mark.parametrize("enemy_search", ["neighborhood", "nearest"])
def test_the_bits_of_the_single_machine(client, enemy_search):
    X, y = data()
    assert_same_bits(X, y, da.from_array(X, chunks=(CHUNKS, 2)), enemy_search=enemy_search)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("deadly", "enemy_search"),
    [
        pytest.param(1, "nearest", id="queries"),
        pytest.param(2, "neighborhood", id="search"),
        pytest.param(3, "neighborhood", id="output"),
    ],
)
def test_a_worker_that_dies_changes_no_bit(client, tmp_path, deadly, enemy_search):
    X, y = data()
    log = tmp_path / "reads"
    assert_same_bits(X, y, lazy_rows(X, log, deadly), enemy_search=enemy_search)
    assert log.stat().st_size > deadly, "the block was read again after the death"


def test_rows_are_read_three_times(client, tmp_path):
    X, y = data()
    assert_same_bits(X, y, lazy_rows(X, tmp_path / "reads"))
    assert (tmp_path / "reads").stat().st_size == 3


def test_errors_of_workers_name_the_row(client):
    X, y = data()
    X[61, 2] = np.nan
    with pytest.raises(ValueError, match="Row 61 of X contains NaN, but EOS needs"):
        EOS().fit_resample(da.from_array(X, chunks=(CHUNKS, 2)), y)


def test_neighbors_have_the_bits_of_the_single_machine(client):
    X, _ = data()
    fitted = TorchNearestNeighbors(5).fit(da.from_array(X, chunks=(CHUNKS, 2)))
    expected = TorchNearestNeighbors(5).fit(X).kneighbors(X[:9])
    for found, array in zip(fitted.kneighbors(X[:9]), expected, strict=True):
        assert_array_equal(found.compute(), array)


def torch_threads():
    import torch

    from imblearn_eos._dask._search import is_beside_others
    from imblearn_eos._threads import one_thread

    torch.set_num_threads(2)
    with one_thread(is_beside_others()):
        return torch.get_num_threads()


def choose_threads(value):
    """Set or unset the environment variable, and return what it was."""
    given = os.environ.pop("OMP_NUM_THREADS", None)
    if value is not None:
        os.environ["OMP_NUM_THREADS"] = value
    return given


def test_workers_use_one_thread_unless_told_otherwise(client):
    given = client.run(choose_threads, None)
    assert set(client.run(torch_threads).values()) == {1}
    client.run(choose_threads, "2")
    assert set(client.run(torch_threads).values()) == {2}
    for worker, value in given.items():
        client.run(choose_threads, value, workers=[worker])
