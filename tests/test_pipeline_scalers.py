"""Scalers between the network and the head, which become part of the head's layer."""

import numpy as np
import pytest
import torch
from networks import make_data
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    StandardScaler,
)

from imblearn_eos import CommonScaler, EmbeddingPipeline


@pytest.mark.parametrize(
    "scaler",
    [
        CommonScaler(),
        StandardScaler(),
        StandardScaler(with_mean=False),
        MaxAbsScaler(),
        MinMaxScaler(),
    ],
)
def test_scalers_before_the_head_are_folded_into_the_module(scaler):
    X, y = make_data()
    X = X[:, :, None, None]
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(X.shape[1], 7))
    pipeline = EmbeddingPipeline.from_module(module, trained_on_rows=False, layer="")
    pipeline.set_params(scaler=scaler)
    pipeline.fit(X, y)
    probabilities = pipeline.to_module()(torch.from_numpy(X)).softmax(dim=1).detach()
    assert_allclose(probabilities, pipeline.predict_proba(X), atol=1e-5)


class SquaredScaler(StandardScaler):
    def transform(self, X):
        return super().transform(X) ** 2


@pytest.mark.parametrize(
    "step", [PCA(3), MinMaxScaler(clip=True), FunctionTransformer(np.tanh), SquaredScaler()]
)
def test_other_transformers_before_the_head_cannot_be_folded(step):
    X, y = make_data()
    module = torch.nn.Linear(X.shape[1], 7)
    pipeline = EmbeddingPipeline.from_module(module, trained_on_rows=False, sampler="passthrough")
    pipeline.steps.insert(2, ("before", step))
    pipeline.fit(X, y)
    with pytest.raises(ValueError, match=r"step 'before' \(\w+\) transforms embeddings"):
        pipeline.to_module()


def test_the_size_of_frozen_embeddings_does_not_matter():
    X, y = make_data()
    probabilities = []
    for factor in (1, 1 / 64):
        torch.manual_seed(0)
        module = torch.nn.Linear(X.shape[1], 7)
        with torch.no_grad():
            module.weight *= factor
            module.bias *= factor
        pipeline = EmbeddingPipeline.from_module(
            module, trained_on_rows=False, layer="", random_state=0
        )
        probabilities.append(pipeline.fit(X, y).predict_proba(X))
    assert_allclose(*probabilities, atol=1e-5)
