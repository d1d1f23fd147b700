import pickle
from functools import partial

import numpy as np
import pytest
import torch
from networks import make_net
from numpy.testing import assert_allclose
from torch import nn
from torch.nn.functional import cosine_similarity

from imblearn_eos import Embedder, make_embedding_pipeline
from imblearn_eos.losses import LDAMLoss
from imblearn_eos.models import NormalizedLinear, ResNet, SmallCNN, WideResNet

SMALLEST = [
    SmallCNN,
    partial(ResNet, depth=8),
    partial(WideResNet, depth=10, widen_factor=2, dropout=0.3),
]


def numpy_outputs(module, X):
    with torch.no_grad():
        return module(torch.from_numpy(X)).numpy()


# --- all networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", SMALLEST)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 32, 32), (2, 9, 31)])
def test_gives_one_logit_per_class_for_images_of_any_size(make, channels, height, width):
    net = make(n_classes=5, in_channels=channels)
    assert net(torch.zeros(4, channels, height, width)).shape == (4, 5)


@pytest.mark.parametrize(
    ("net", "width"),
    [
        (SmallCNN(n_classes=3, width=4, embedding_dim=7, in_channels=3), 7),
        (ResNet(n_classes=3, depth=8), 64),
        (WideResNet(n_classes=3, depth=10, widen_factor=2), 128),
    ],
)
def test_head_is_a_linear_layer_on_the_embedding(net, width):
    X = torch.rand(2, 3, 8, 8)
    net.eval()
    assert isinstance(net.head, nn.Linear)
    assert net.trunk(X).shape == (2, width)
    torch.testing.assert_close(net(X), net.head(net.trunk(X)))


@pytest.mark.parametrize("make", SMALLEST)
def test_trains_on_a_batch_of_one_smallest_image(make):
    # Batch normalization needs more than one value per channel; 8 x 8 pixels leave 2 x 2.
    net = make(n_classes=2, in_channels=1).train()
    net(torch.rand(1, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("make", SMALLEST)
def test_pickle_and_export_give_the_same_logits(make):
    X = torch.rand(3, 3, 9, 12)
    net = make(n_classes=2, in_channels=3).eval()
    exported = torch.export.export(net, (X,)).module()
    for copy in (pickle.loads(pickle.dumps(net)), exported):
        torch.testing.assert_close(copy(X), net(X))


# --- residual networks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "n_parameters"),
    [
        (partial(ResNet, depth=20), 269_722),
        (partial(ResNet, depth=32), 464_154),
        (partial(ResNet, depth=56), 853_018),
        (partial(ResNet, depth=110), 1_727_962),
        (partial(WideResNet, depth=28, widen_factor=10), 36_479_194),
        (partial(WideResNet, depth=40, widen_factor=2), 2_243_546),
    ],
)
def test_number_of_parameters_is_that_of_the_published_networks(make, n_parameters):
    with torch.device("meta"):
        net = make(n_classes=10)
    assert sum(parameter.numel() for parameter in net.parameters()) == n_parameters


@pytest.mark.parametrize(
    ("model", "depth", "nearest"),
    [(ResNet, 33, 32), (ResNet, 2, 8), (WideResNet, 29, 28), (WideResNet, -5, 10)],
)
def test_depth_that_there_is_not_names_the_nearest(model, depth, nearest):
    with pytest.raises(ValueError, match=rf"depth must be .*got {depth}\. .* is {nearest}\."):
        model(n_classes=2, depth=depth)
    model(n_classes=2, depth=nearest)


def test_residual_shortcut_subsamples_and_adds_channels_of_zeros():
    # Blocks whose residual is zero: what is left of ResNet-8 is its shortcuts.
    net = ResNet(n_classes=2, depth=8)
    for block in net.trunk[3:6]:
        nn.init.zeros_(block.residual[-1].weight)
    X = np.random.RandomState(0).normal(size=(2, 16, 9, 12)).astype(np.float32)
    expected = np.zeros((2, 64, 3, 3))
    expected[:, 24:40] = np.maximum(X, 0)[:, :, ::4, ::4]
    assert_allclose(numpy_outputs(net.trunk[3:6], X), expected)


def test_wide_shortcut_is_not_activated():
    block = WideResNet(n_classes=2, depth=16, widen_factor=2).trunk[2]
    nn.init.zeros_(block.residual[-1].weight)
    X = np.random.RandomState(0).normal(size=(2, 32, 8, 8)).astype(np.float32)
    assert_allclose(numpy_outputs(block, X), X)


# --- the normalized head --------------------------------------------------------------------------


def test_normalized_head_scales_cosine_similarities():
    head = NormalizedLinear(6, 3, scale=5)
    Z = torch.rand(4, 6)
    assert head.bias is None
    torch.testing.assert_close(head(Z), 5 * cosine_similarity(Z[:, None], head.weight[None], dim=2))
    assert head(torch.zeros(1, 6)).tolist() == [[0, 0, 0]]


# --- in a pipeline --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params", [{}, {"module__head": NormalizedLinear, "criterion": LDAMLoss}], ids=str
)
def test_residual_network_in_a_pipeline_and_back(params):
    y = np.repeat([0, 1, 2], [20, 12, 8])
    X = np.random.RandomState(0).rand(40, 1, 8, 8).astype(np.float32)
    net = make_net(
        ResNet,
        module__n_classes=3,
        module__depth=8,
        module__in_channels=1,
        max_epochs=1,
        **params,
    )
    assert Embedder(net, random_state=0).fit_transform(X, y).shape == (40, 64)
    pipeline = make_embedding_pipeline(net, random_state=0).fit(X, y)
    assert pipeline["embedder"].layer_ == "head"
    proba = numpy_outputs(nn.Sequential(pipeline.to_module(), nn.Softmax(dim=1)), X)
    assert_allclose(proba, pipeline.predict_proba(X), atol=1e-5)
