"""Dask's distributed scheduler: the same bits, also when workers die."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from deadly import CHUNKS, data, lazy_rows
from numpy.testing import assert_array_equal

from imblearn_eos import EOS, TorchNearestNeighbors

dask = pytest.importorskip("dask", reason="needs dask, the extra 'dask'")
da = pytest.importorskip("dask.array", reason="needs dask, the extra 'dask'")
distributed = pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")

from imblearn_eos._dask._graph import Stage  # noqa: E402 (needs Dask)

LAST = len(CHUNKS) - 1


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


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, which Windows lacks")
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


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, which Windows lacks")
@pytest.mark.parametrize("deadly", [2, 3], ids=["search", "output"])
def test_all_workers_that_die_at_once_change_no_bit(client, tmp_path, deadly):
    X, y = data()
    client.wait_for_workers(2)
    victims = list(client.run(os.getpid).values())
    assert len(victims) == 2
    log = tmp_path / "reads"
    assert_same_bits(X, y, lazy_rows(X, log, deadly, victims))
    assert log.stat().st_size > deadly, "the block was read again after the deaths"
    client.wait_for_workers(2)
    assert not set(victims) & set(client.run(os.getpid).values())


@contextmanager
def pressed_when(path):
    """Press Ctrl-C when a file is there."""

    def press():
        while not path.exists():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    yield
    thread.join()


def rows_by(read, X, folder):
    """Return X as a Dask array whose blocks are read by a function."""
    return da.map_blocks(
        partial(read, X, folder),
        chunks=(CHUNKS, (X.shape[1],)),
        dtype=X.dtype,
        meta=np.empty((0, 0), X.dtype),
    )


def read_slowly(X, folder, block_info=None):
    """Read a block of X, but not before a file is there."""
    (folder / "started").touch()
    while not (folder / "go on").exists():
        time.sleep(0.01)
    start, stop = block_info[None]["array-location"][0]
    return X[start:stop]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals to threads, which Windows lacks")
@pytest.mark.parametrize(
    "call",
    [
        lambda X, y: EOS().fit_resample(X, y),
        lambda X, y: TorchNearestNeighbors().fit(X).kneighbors(X[:5])[0].compute(),
    ],
    ids=["sampler", "neighbors"],
)
def test_ctrl_c_leaves_the_cluster_usable(client, tmp_path, call):
    X, y = data()
    slow = rows_by(read_slowly, X, tmp_path)
    with pressed_when(tmp_path / "started"), pytest.raises(KeyboardInterrupt):
        call(slow, y)
    (tmp_path / "go on").touch()
    assert_same_bits(X, y, da.from_array(X, chunks=(CHUNKS, 2)))
    # Nothing of what was interrupted is left, once messages have arrived.
    stop = time.monotonic() + 10
    while client.run_on_scheduler(n_tasks) and time.monotonic() < stop:
        time.sleep(0.01)
    assert client.run_on_scheduler(n_tasks) == 0


def n_tasks(dask_scheduler):
    return len(dask_scheduler.tasks)


def test_rows_are_read_three_times(client, tmp_path):
    X, y = data()
    assert_same_bits(X, y, lazy_rows(X, tmp_path / "reads"))
    assert (tmp_path / "reads").stat().st_size == 3


def read_and_count(X, folder, block_info=None):
    """Read a block of X; when the first is read again, wait, and count reads of others."""
    start, stop = block_info[None]["array-location"][0]
    with open(folder / "reads", "ab") as file:
        file.write(b".")
        file.flush()
        n_read = file.tell()
    if start == 0 and n_read > len(CHUNKS):
        time.sleep(1)
        n_meanwhile = (folder / "reads").stat().st_size - len(CHUNKS) - 1
        (folder / "others").write_text(str(n_meanwhile))
    return X[start:stop]


def test_no_block_is_read_before_its_round_of_the_search(client, tmp_path):
    X, y = data()
    lazy = rows_by(read_and_count, X, tmp_path)
    EOS().fit_resample(lazy, y)
    assert int((tmp_path / "others").read_text()) <= 1, "each worker has one block of a round"


def test_labels_in_memory_are_split_as_rows_are():
    X, y = data()
    _, y_resampled = EOS().fit_resample(da.from_array(X, chunks=(CHUNKS, 2)), y)
    graph = dict(y_resampled.__dask_graph__())
    sizes = [len(value) for value in graph.values() if isinstance(value, np.ndarray)]
    assert sizes == list(CHUNKS)


def test_a_stage_sends_only_what_its_tasks_need(monkeypatch):
    sent = []
    monkeypatch.setattr(dask, "persist", lambda *parts, **params: sent.extend(parts) or parts)
    with dask.annotate(retries=3):
        blocks = da.from_array(data()[0], chunks=(CHUNKS, 2)).to_delayed().ravel()[:2]
    stage = Stage(*blocks[:1])
    keys = [stage.add("rows", len, block.key) for block in blocks]
    stage.persist(keys)
    graph = sent[0].dask
    assert set(graph) == {*keys, *(block.key for block in blocks)}
    # A graph of its own for each part would be sent as often as there are parts.
    assert all(part.dask is graph for part in sent)
    assert {"retries": 3} in [layer.annotations for layer in graph.layers.values()]


def draw_block(n_rows, n_features, block_info=None):
    random_state = np.random.default_rng(block_info[None]["chunk-location"][0])
    return random_state.random((n_rows, n_features), dtype=np.float32)


def memory():
    """Return the memory of this process in bytes, and its peak."""
    status = Path("/proc/self/status").read_text()
    return [int(status.split(name)[1].split()[0]) * 1024 for name in ("VmRSS:", "VmHWM:")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_workers_need_no_more_memory_than_the_guide_says(client):
    n_blocks, b, d, K = 60, 50_000, 128, 10
    X = da.map_blocks(
        partial(draw_block, b, d),
        chunks=((b,) * n_blocks, (d,)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )
    y = (np.arange(n_blocks * b) % 2000 == 0).astype(int)
    X_resampled, _ = EOS(n_neighbors=K, random_state=0).fit_resample(X, y)
    da.reduction(X_resampled, np.sum, np.sum, dtype=float).compute()
    limit = 140 * 2**20 + 4 * b * d * 4 + y.sum() * (8 * d + 216 * (K + 1))
    assert limit < n_blocks * b * d * 4 / 5, "a fifth of X on each worker exceeds it"
    for loaded, peak in client.run(memory).values():
        assert loaded < 660 * 2**20
        assert peak - loaded < limit


def test_errors_of_workers_name_the_first_bad_row(client):
    X, y = data()
    X[[61, 70, 80, 90], 2] = np.nan
    with pytest.raises(ValueError, match="Row 61 of X contains NaN, but EOS needs"):
        EOS().fit_resample(da.from_array(X, chunks=(CHUNKS, 2)), y)


def test_neighbors_that_exceed_the_memory_of_a_worker_are_refused(client, monkeypatch):
    info = {"workers": {"a": {"memory_limit": 0}, "b": {"memory_limit": 4000}}}
    monkeypatch.setattr(distributed.Client, "scheduler_info", lambda client: info)
    X, y = data()
    with pytest.raises(ValueError, match="rows need 6512 bytes, but a worker has 4000"):
        EOS(n_neighbors=29).fit_resample(da.from_array(X, chunks=(CHUNKS, 2)), y)


def test_progress_is_shown_by_the_bar_of_dask(client, capsys):
    X, y = data()
    EOS(verbose=True).fit_resample(da.from_array(X, chunks=(CHUNKS, 2)), y)
    assert "100% Completed" in capsys.readouterr().out


def test_neighbors_have_the_bits_of_the_single_machine(client):
    X, _ = data()
    fitted = TorchNearestNeighbors(5).fit(da.from_array(X, chunks=(CHUNKS, 2)))
    expected = TorchNearestNeighbors(5).fit(X).kneighbors(X[:9])
    for found, array in zip(fitted.kneighbors(X[:9]), expected, strict=True):
        assert_array_equal(found.compute(), array)


def threads():
    """Return how many threads torch and numba use in a task."""
    import numba
    import torch

    from imblearn_eos._dask._search import is_beside_others
    from imblearn_eos._threads import one_thread
    from imblearn_eos.neighbors._kernels import torch_threads

    torch.set_num_threads(2)
    with one_thread(is_beside_others()), torch_threads():
        return torch.get_num_threads(), numba.get_num_threads()


def choose_threads(value):
    """Set or unset the environment variable, and return what it was."""
    given = os.environ.pop("OMP_NUM_THREADS", None)
    if value is not None:
        os.environ["OMP_NUM_THREADS"] = value
    return given


def test_workers_use_one_thread_unless_told_otherwise(client):
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    given = client.run(choose_threads, None)
    assert set(client.run(threads).values()) == {(1, 1)}
    client.run(choose_threads, "2")
    assert set(client.run(threads).values()) == {(2, min(2, os.cpu_count()))}
    for worker, value in given.items():
        client.run(choose_threads, value, workers=[worker])
