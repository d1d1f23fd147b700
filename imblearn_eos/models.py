"""Networks for images, and a head for them."""

from functools import partial
from numbers import Integral

from torch import nn
from torch.nn import functional


class SmallCNN(nn.Module):
    """A small convolutional network for images of any size from 8 x 8 pixels.

    Three 3 x 3 convolutions, each with batch normalization and ReLU, the last two with stride 2,
    then the mean over all pixels and a linear head. It trains in seconds on small images, which is
    its purpose; for the best accuracy on your own images, use a deeper network.

    Parameters
    ----------
    n_classes : int
        Outputs of the head.
    in_channels : int, default=1
        Channels of the images: 1 for grey, 3 for colour.
    width : int, default=32
        Channels after the first two convolutions.
    embedding_dim : int, default=64
        Channels after the last convolution, hence the number of features that the head receives.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.models import SmallCNN
    >>> SmallCNN(n_classes=10, in_channels=3)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, n_classes, in_channels=1, width=32, embedding_dim=64):
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(in_channels, width, stride=1),
            *_convolution(width, width, stride=2),
            *_convolution(width, embedding_dim, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(embedding_dim, n_classes)

    def forward(self, X):
        """Return the logits, of shape (n_samples, n_classes), of images (n_samples, c, h, w)."""
        return self.head(self.trunk(X))


class ResNet(nn.Module):
    """The residual network for small images, such as those of CIFAR.

    Three stages of residual blocks with 16, 32 and 64 channels, shortcuts without parameters, the
    mean over all pixels and a linear head: section 4.2 of [1]_. Images may have any size from 8 x 8
    pixels. An embedding has 64 features.

    Parameters
    ----------
    n_classes : int
        Outputs of the head.
    depth : int, default=32
        Number of layers, 6 n + 2 for stages of n blocks: 20, 32, 44, 56 and 110 in the paper.
    in_channels : int, default=3
        Channels of the images: 1 for grey, 3 for colour.
    head : callable, default=torch.nn.Linear
        Makes the head from the numbers of its inputs and outputs; it must be a
        :class:`torch.nn.Linear`, for example a :class:`NormalizedLinear`.

    Raises
    ------
    ValueError
        When there is no network of this depth.

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

    def __init__(self, n_classes, depth=32, in_channels=3, head=nn.Linear):
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

    def forward(self, X):
        """Return the logits, of shape (n_samples, n_classes), of images (n_samples, c, h, w)."""
        return self.head(self.trunk(X))


class WideResNet(nn.Module):
    """The wide residual network for small images, such as those of CIFAR.

    Fewer layers than :class:`ResNet` and more channels, and within a block batch normalization and
    ReLU come before the convolution [1]_. Images may have any size from 8 x 8 pixels. An embedding
    has ``64 * widen_factor`` features. WRN-28-10, the default, has 36.5 million parameters;
    WRN-40-2 has 2.2 million.

    Parameters
    ----------
    n_classes : int
        Outputs of the head.
    depth : int, default=28
        Number of layers, 6 n + 4 for stages of n blocks: 16, 22, 28 and 40 in the paper.
    widen_factor : int, default=10
        How many times more channels than a :class:`ResNet` has.
    dropout : float, default=0.0
        Share of values that is dropped between the two convolutions of a block.
    in_channels : int, default=3
        Channels of the images: 1 for grey, 3 for colour.
    head : callable, default=torch.nn.Linear
        Makes the head from the numbers of its inputs and outputs; it must be a
        :class:`torch.nn.Linear`, for example a :class:`NormalizedLinear`.

    Raises
    ------
    ValueError
        When there is no network of this depth.

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
        self, n_classes, depth=28, widen_factor=10, dropout=0.0, in_channels=3, head=nn.Linear
    ):
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

    def forward(self, X):
        """Return the logits, of shape (n_samples, n_classes), of images (n_samples, c, h, w)."""
        return self.head(self.trunk(X))


class NormalizedLinear(nn.Linear):
    """A linear head whose logits are multiples of cosine similarities.

    Each logit is ``scale`` times the cosine of the angle between the embedding and the weights of
    the class, so that no class has larger logits because its weights are longer: the head that
    goes with :class:`imblearn_eos.losses.LDAMLoss` [1]_. There is no bias.

    Parameters
    ----------
    in_features : int
        Length of an embedding.
    out_features : int
        Number of classes.
    scale : float, default=30.0
        The largest possible logit, more than 0. For another than the default, give a network
        ``head=functools.partial(NormalizedLinear, scale=...)``, and its loss the same.

    Raises
    ------
    ValueError
        When ``scale`` is not more than 0.

    References
    ----------
    .. [1] Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with Label-Distribution-
       Aware Margin Loss", NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> from imblearn_eos.models import NormalizedLinear, ResNet
    >>> net = ResNet(n_classes=10, head=NormalizedLinear)
    >>> bool(net(torch.rand(2, 3, 32, 32)).abs().max() <= 30)
    True
    """

    def __init__(self, in_features, out_features, scale=30.0):
        if not scale > 0:
            raise ValueError(f"scale must be more than 0, got {scale!r}.")
        super().__init__(in_features, out_features, bias=False)
        self.scale = scale

    def forward(self, input):
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
    """Take every second pixel of every second row, and add channels of zeros on both sides."""

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
    if not isinstance(depth, Integral):
        raise TypeError(f"depth must be an int, got {depth!r}.")
    # Three stages of blocks of two layers each.
    n_blocks, rest = divmod(depth - other_layers, 6)
    if rest or n_blocks < 1:
        nearest = 6 * max(1, round((depth - other_layers) / 6)) + other_layers
        raise ValueError(
            f"depth must be 6 n + {other_layers} for a whole n of at least 1, got {depth!r}. The "
            f"nearest is {nearest}."
        )
    return n_blocks


def _stages(make_block, n_blocks, width):
    """Make the blocks of three stages, each with half the height and width of the one before."""
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
