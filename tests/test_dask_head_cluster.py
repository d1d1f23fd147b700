"""LinearHead, the gap and embeddings on Dask's distributed scheduler, also when workers die."""

import sys

import numpy as np
import pytest
from backbones import TinyNet
from deadly import CHUNKS, data, lazy_rows
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetClassifier
from torch import nn

from imblearn_eos import Embedder, FeatureExtractor, LinearHead
from imblearn_eos.metrics import generalization_gap

da = pytest.importorskip("dask.array", reason="needs dask, the extra 'dask'")
pytest.importorskip("distributed", reason="needs distributed, the extra 'dask'")


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, which Windows lacks")
def test_a_worker_that_dies_changes_no_weight(client, tmp_path):
    X, y = data()
    log, deadly = tmp_path / "reads", 3
    lazy = lazy_rows(X, log, deadly)
    head = LinearHead(alpha=1).fit(lazy, da.from_array(y, chunks=(CHUNKS,)))
    assert log.stat().st_size > deadly, "the block was read again after the death"
    expected = LinearHead(alpha=1).fit(X, y)
    assert_allclose(head.coef_, expected.coef_, rtol=1e-8)
    assert_allclose(head.intercept_, expected.intercept_, rtol=1e-8)
    assert_array_equal(head.predict(da.from_array(X, chunks=(CHUNKS, 2))), expected.predict(X))


def test_the_gap_of_the_single_machine(client):
    X, y = data()
    lazy = da.from_array(X, chunks=(CHUNKS, 2)), da.from_array(y, chunks=(CHUNKS,))
    assert generalization_gap(*lazy, X[::-1], y) == generalization_gap(X, y, X[::-1], y)


def test_networks_are_sent_to_workers(client):
    X, y = data()
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=4, module__out_features=3, criterion=nn.CrossEntropyLoss
    )
    fitted = Embedder(net.set_params(max_epochs=1, verbose=0), random_state=0).fit(X, y)
    found = fitted.transform(da.from_array(X, chunks=(CHUNKS, 2)))
    assert_allclose(found, fitted.transform(X), rtol=1e-6)
    images = np.random.RandomState(0).uniform(size=(20, 3, 8, 8)).astype(np.float32)
    extractor = FeatureExtractor(TinyNet()).fit(images)
    found = extractor.transform(da.from_array(images, chunks=(7, 3, 8, 8)))
    assert_allclose(found, extractor.transform(images), rtol=1e-5, atol=1e-6)
