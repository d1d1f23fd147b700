"""Networks for images."""

from torch import nn


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


def _convolution(in_channels, out_channels, stride):
    return (
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
