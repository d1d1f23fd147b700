import pytest
import torch
from torch import nn

from imblearn_eos.models import SmallCNN


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 32, 32), (2, 9, 31)])
def test_gives_one_logit_per_class_for_images_of_any_size(channels, height, width):
    net = SmallCNN(n_classes=5, in_channels=channels)
    assert net(torch.zeros(4, channels, height, width)).shape == (4, 5)


def test_head_is_a_linear_layer_on_the_embedding():
    net = SmallCNN(n_classes=3, width=4, embedding_dim=7).eval()
    X = torch.rand(2, 1, 8, 8)
    assert isinstance(net.head, nn.Linear)
    assert net.trunk(X).shape == (2, 7)
    torch.testing.assert_close(net(X), net.head(net.trunk(X)))


def test_trains_on_a_batch_of_one_smallest_image():
    # Batch normalization needs more than one value per channel; 8 x 8 pixels leave 2 x 2.
    net = SmallCNN(n_classes=2).train()
    net(torch.rand(1, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
