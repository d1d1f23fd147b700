"""Networks and heads in a forked process whose parent has used torch's threads."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing, sys
import numpy as np, torch
torch.set_num_threads(2)
import imblearn_eos

X = np.random.RandomState(0).randn(4000, 30).astype(np.float32)
y = (X[:, 0] > 1).astype(int)

def fit(name):
    from imblearn_eos import Embedder, LinearHead
    from skorch import NeuralNetClassifier

    n_threads = torch.get_num_threads()
    if name == "LinearHead":
        found = LinearHead().fit(X, y).predict_proba(X)
    else:
        net = NeuralNetClassifier(
            torch.nn.Linear, module__in_features=30, module__out_features=2, verbose=0,
            criterion=torch.nn.CrossEntropyLoss, max_epochs=1, batch_size=2000, train_split=None,
        )
        embedder = Embedder(net, random_state=0).fit(X, y)
        found = embedder.predict_proba(X), embedder.transform(X)
    assert torch.get_num_threads() == n_threads
    return np.hstack(found).round(4)

if __name__ == "__main__":
    # Threads for large tensors and for products of matrices.
    torch.ones(2_000_000).exp().sum(), torch.ones(500, 500) @ torch.ones(500, 500)
    expected = fit(sys.argv[1])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        (seen,) = pool.map_async(fit, [sys.argv[1]]).get(timeout=60)
    assert np.allclose(seen, expected, atol=1e-3)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which Windows lacks")
@pytest.mark.parametrize("name", ["LinearHead", "Embedder"])
def test_a_forked_child_does_not_wait_for_threads_of_its_parent(name):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    # A forked process cannot use a device.
    environment["CUDA_VISIBLE_DEVICES"] = ""
    subprocess.run([sys.executable, "-c", SCRIPT, name], check=True, env=environment, timeout=200)
