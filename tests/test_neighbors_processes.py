"""The search in fresh processes: it keeps torch's threads, and works in every kind of child."""

import os
import subprocess
import sys

import pytest

THREADS = """
import sys
import numpy as np, torch
from threadpoolctl import threadpool_info

def counts():
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}

n_threads = int(sys.argv[1])
torch.set_num_threads(n_threads)
from imblearn_eos import TorchNearestNeighbors
before = counts()
X = np.random.RandomState(0).randn(17_000, 8)
TorchNearestNeighbors(5).fit(X).kneighbors(X)
if "imblearn_eos.neighbors._kernels" in sys.modules:
    import numba
    assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
assert torch.get_num_threads() == n_threads, torch.get_num_threads()
after = counts()
assert before == {path: after[path] for path in before}, (before, after)
"""

CHILDREN = """
import multiprocessing, sys
import joblib, numpy as np, torch
torch.set_num_threads(2)
from imblearn_eos import EOS, TorchNearestNeighbors

X = np.random.RandomState(0).randn(4500, 8)
y = (X[:, 0] > 1.5).astype(int)
fitted = TorchNearestNeighbors(5).fit(X)

def search(numba):
    if numba == "with numba":
        # Loops that are loaded are used for so few rows.
        from imblearn_eos.neighbors import _kernels
    else:
        sys.modules["numba"] = None
    n_threads = torch.get_num_threads()
    found = fitted.kneighbors(X)[1].sum()
    again = TorchNearestNeighbors(5).fit(torch.from_numpy(X)).kneighbors(X)[1].sum()
    made = EOS(n_neighbors=500, random_state=0).fit_resample(torch.from_numpy(X), y)[0]
    assert torch.get_num_threads() == n_threads
    return int(found), int(again), made.double().numpy().tobytes()

if __name__ == "__main__":
    numba = sys.argv[2]
    expected = search(numba)
    # torch's own threads have been used, too.
    torch.ones(2_000_000).exp().sum()
    if sys.argv[1] == "loky":
        with joblib.parallel_config("loky"):
            seen = joblib.Parallel(2)(joblib.delayed(search)(numba) for _ in range(2))
    else:
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            seen = pool.map_async(search, [numba]).get(timeout=100)
    assert all(part == expected for part in seen)
"""


def run(*arguments, **environment):
    """Run a script in a fresh process, in which OpenMP may use all cores."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | environment
    # The threads are those of the CPU, and a forked process cannot use a device.
    environment["CUDA_VISIBLE_DEVICES"] = ""
    subprocess.run([sys.executable, *arguments], check=True, env=environment, timeout=300)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_first_large_search_keeps_every_number_of_threads(n_threads):
    run("-c", THREADS, str(n_threads))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("numba", ["with numba", "without numba"])
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow), "loky"])
def test_children_search_after_their_parent(start, numba, tmp_path):
    if numba == "with numba":
        pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    script = tmp_path / "search.py"
    script.write_text(CHILDREN)
    run(script, start, numba)


def test_a_fork_with_a_threading_layer_that_survives_it_keeps_the_compiled_loops(tmp_path):
    pytest.importorskip("numba", reason="needs numba, the extra 'fast'")
    script = tmp_path / "search.py"
    script.write_text(
        CHILDREN.replace(
            "    return int(found)",
            "    assert _kernels.is_usable()\n    return int(found)",
        )
    )
    run(script, "fork", "with numba", NUMBA_THREADING_LAYER="workqueue")
