"""Networks for images, and a head for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional


class SmallCNN(nn.Module):
    """A small convolutional network for images of any size from 8 x 8 pixels.

    Three 3 x 3 convolutions with batch normalization and ReLU, the last two with stride 2, then the
    mean over all pixels and a linear head. It trains in seconds on small images and is meant for
    examples and tests. Use a deeper network for the best accuracy.

    Parameters
    ----------
    n_classes : int
        Outputs of the head.
    in_channels : int, default=1
        Channels of the images: 1 for gray, 3 for color.
    width : int, default=32
        Channels after the first two convolutions.
    embedding_dim : int, default=64
        Channels after the last convolution, which is the number of features of an embedding.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.models import SmallCNN
    >>> SmallCNN(n_classes=10, in_channels=3)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, n_classes: int, in_channels: int = 1, width: int = 32, embedding_dim: int = 64
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(in_channels, width, stride=1),
            *_convolution(width, width, stride=2),
            *_convolution(width, embedding_dim, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(embedding_dim, n_classes)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the logits, of shape (n_samples, n_classes), of images (n_samples, c, h, w)."""
        return self.head(self.trunk(X))


class ResNet(nn.Module):
    """The residual network for small images such as CIFAR.

    Three stages of residual blocks with 16, 32 and 64 channels, shortcuts without parameters, the
    mean over all pixels and a linear head, as in section 4.2 of [1]_. Images may have any size from
    8 x 8 pixels. An embedding has 64 features.

    Parameters
    ----------
    n_classes : int
        Outputs of the head.
    depth : int, default=32
        Number of layers, 6 n + 2 for stages of n blocks: 20, 32, 44, 56 and 110 in the paper.
    in_channels : int, default=3
        Channels of the images: 1 for gray, 3 for color.
    head : callable, default=torch.nn.Linear
        Called with the numbers of inputs and outputs. It must return a :class:`torch.nn.Linear`,
        for example a :class:`NormalizedLinear`.

    Raises
    ------
    ValueError
        When ``depth`` is not of the form 6 n + 2.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.models import ResNet
    >>> net = ResNet(n_classes=10)
    >>> net(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> sum(parameter.numel() for parameter in net.parameters())
    464154
    """

    def __init__(
        self,
        n_classes: int,
        depth: int = 32,
        in_channels: int = 3,
        head: Callable[[int, int], nn.Linear] = nn.Linear,
    ) -> None:
        super().__init__()
        n_blocks = _blocks_per_stage(depth, other_layers=2)
        self.trunk = nn.Sequential(
            *_convolution(in_channels, 16, stride=1),
            *_stages(_ResidualBlock, n_blocks, width=16),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.trunk.apply(_initialize)
        self.head = head(64, n_classes)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the logits, of shape (n_samples, n_classes), of images (n_samples, c, h, w)."""
        return self.head(self.trunk(X))


class WideResNet(nn.Module):
    """The wide residual network for small images such as CIFAR.

    It has fewer layers and more channels than :class:`ResNet`, and in its blocks batch
    normalization and ReLU come before the convolution [1]_. Images may have any size from 8 x 8
    pixels. An embedding has ``64 * widen_factor`` features. The default, WRN-28-10, has 36.5
    million parameters; WRN-40-2 has 2.2 million.

    Parameters
    ----------
    n_classes : int
        Outputs of the head.
    depth : int, default=28
        Number of layers, 6 n + 4 for stages of n blocks: 16, 22, 28 and 40 in the paper.
    widen_factor : int, default=10
        Multiple of the channels of :class:`ResNet`.
    dropout : float, default=0.0
        Dropout probability between the two convolutions of a block.
    in_channels, head
        As in :class:`ResNet`.

    Raises
    ------
    ValueError
        When ``depth`` is not of the form 6 n + 4.

    References
    ----------
    .. [1] Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.models import WideResNet
    >>> net = WideResNet(n_classes=10, depth=16, widen_factor=2)
    >>> net(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> net.head
    Linear(in_features=128, out_features=10, bias=True)
    """

    def __init__(
        self,
        n_classes: int,
        depth: int = 28,
        widen_factor: int = 10,
        dropout: float = 0.0,
        in_channels: int = 3,
        head: Callable[[int, int], nn.Linear] = nn.Linear,
    ) -> None:
        super().__init__()
        n_blocks = _blocks_per_stage(depth, other_layers=4)
        self.trunk = nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, padding=1, bias=False),
            *_stages(partial(_WideBlock, dropout=dropout), n_blocks, width=16 * widen_factor),
            nn.BatchNorm2d(64 * widen_factor),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.trunk.apply(_initialize)
        self.head = head(64 * widen_factor, n_classes)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the logits, of shape (n_samples, n_classes), of images (n_samples, c, h, w)."""
        return self.head(self.trunk(X))


class NormalizedLinear(nn.Linear):
    """A linear head whose logits are scaled cosine similarities.

    Each logit is ``scale`` times the cosine of the angle between the embedding and the weights of
    the class. The length of the weights therefore does not favor a class. There is no bias. Use it
    with :class:`imblearn_eos.losses.LDAMLoss`, whose paper describes it.

    Parameters
    ----------
    in_features : int
        Number of features of an embedding.
    out_features : int
        Number of classes.
    scale : float, default=30.0
        The largest possible logit, above 0. To change it, pass
        ``head=functools.partial(NormalizedLinear, scale=...)`` to a network, and the same ``scale``
        to its loss.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.models import NormalizedLinear, ResNet
    >>> net = ResNet(n_classes=10, head=NormalizedLinear)
    >>> bool(net(torch.rand(2, 3, 32, 32)).abs().max() <= 30)
    True
    """

    def __init__(self, in_features: int, out_features: int, scale: float = 30.0) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.scale = scale

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the logits, of shape (..., n_classes), of embeddings (..., n_features)."""
        directions = functional.normalize(self.weight, dim=-1)
        return self.scale * functional.linear(functional.normalize(input, dim=-1), directions)


class _ResidualBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(in_channels, out_channels, stride),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        is_same = in_channels == out_channels
        self.shortcut = nn.Identity() if is_same else _Subsample(out_channels - in_channels)

    def forward(self, X):
        return functional.relu(self.shortcut(X) + self.residual(X))


class _Subsample(nn.Module):
    """Drop every second row and column of pixels, and add channels of zeros on both sides."""

    def __init__(self, n_zeros):
        super().__init__()
        self.n_zeros = n_zeros

    def forward(self, X):
        before = self.n_zeros // 2
        return functional.pad(X[:, :, ::2, ::2], (0, 0, 0, 0, before, self.n_zeros - before))


class _WideBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride, dropout):
        super().__init__()
        self.activation = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU())
        self.residual = nn.Sequential(
            *_convolution(in_channels, out_channels, stride),
            nn.Dropout(dropout),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        )
        self.projection = None
        if in_channels != out_channels:
            self.projection = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, X):
        activated = self.activation(X)
        shortcut = X if self.projection is None else self.projection(activated)
        return shortcut + self.residual(activated)


def _blocks_per_stage(depth, other_layers):
    # Three stages of blocks of two layers each.
    n_blocks, rest = divmod(depth - other_layers, 6)
    if rest or n_blocks < 1:
        nearest = 6 * max(1, round((depth - other_layers) / 6)) + other_layers
        raise ValueError(
            f"depth must be 6 n + {other_layers} for an integer n of at least 1, got {depth!r}. "
            f"The nearest is {nearest}."
        )
    return n_blocks


def _stages(make_block, n_blocks, width):
    """Yield the blocks of three stages; each stage halves the height and width of the images."""
    in_channels = 16
    for out_channels, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
        for block in range(n_blocks):
            yield make_block(in_channels, out_channels, stride if block == 0 else 1)
            in_channels = out_channels


def _initialize(module):
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _convolution(in_channels, out_channels, stride):
    return (
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
