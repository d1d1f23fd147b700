"""Backbones of each library, loaded through its own loader from weights on disk."""

import os

import numpy as np
import pytest
import torch
from backbones import EfficientNetLite0, declare_torchvision_operators, save_photos
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from imblearn_eos import FeatureExtractor

declare_torchvision_operators()
# No test waits for a network that may not be there.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return save_photos(tmp_path_factory.mktemp("photos"), 5)


def embed(module, preprocess, paths):
    """Run a module on photos, one by one, without the package."""
    with torch.no_grad():
        return np.stack([module.eval()(preprocess(open_rgb(path))[None])[0] for path in paths])


def open_rgb(path):
    image = Image.open(path)
    if image.mode == "RGBA":
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def from_checkpoint(library, name, module, path, photos):
    torch.save(module.state_dict(), path)
    return FeatureExtractor(f"{library}/{name}@{path}").transform(photos)


# --- timm -----------------------------------------------------------------------------------------


def test_timm_has_the_features_of_the_same_weights_elsewhere(photos, tmp_path):
    timm = pytest.importorskip("timm")
    own = EfficientNetLite0()
    module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # Both list the same layers in the same order, under other names.
    weights = zip(module.state_dict(), own.network.state_dict().values(), strict=True)
    module.load_state_dict(dict(weights))
    Z = from_checkpoint("timm", "tf_efficientnet_lite0", module, tmp_path / "lite0.pth", photos)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module))
    assert_allclose(Z, embed(own, transform, photos), atol=1e-4)


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory):
    timm = pytest.importorskip("timm")
    from timm.models import save_for_hf

    folder = tmp_path_factory.mktemp("timm")
    torch.manual_seed(0)
    module = timm.create_model("test_efficientnet", pretrained=False)
    save_for_hf(module, folder, model_config={}, safe_serialization=True)
    return folder


def test_timm_reads_a_folder_and_checkpoints(timm_folder, photos, tmp_path):
    from safetensors.torch import load_file

    Z = FeatureExtractor(f"timm/{timm_folder}").transform(photos)
    assert Z.shape == (5, 256)
    weights = timm_folder / "model.safetensors"
    assert_array_equal(FeatureExtractor(f"timm/test_efficientnet@{weights}").transform(photos), Z)
    torch.save({"state_dict": load_file(weights), "epoch": 3}, tmp_path / "last.pth")
    named = FeatureExtractor(f"timm/test_efficientnet@{tmp_path}/last.pth")
    assert_array_equal(named.transform(photos), Z)


def test_checkpoint_of_another_model_is_refused(timm_folder):
    name = f"timm/test_vit@{timm_folder}/model.safetensors"
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit .* missing.*unknown"):
        FeatureExtractor(name).fit()


class Exploit:
    def __reduce__(self):
        return os.mkdir, ("exploited",)


def test_checkpoints_run_no_code(tmp_path, monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Exploit()}, "bad.pth")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        FeatureExtractor("timm/test_vit@bad.pth").fit()
    assert not (tmp_path / "exploited").exists()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("timm/resnet5", r"timm has no model 'resnet5'; names like it are .*resnet50"),
        ("torchvision/resnet5", r"torchvision has no model 'resnet5'; .*resnet50"),
        ("timm/resnet50@no/file.pth", r"checkpoint no/file\.pth: no such file"),
        ("torchvision/resnet50@V9", r"no weights 'V9', and there is no such file.*IMAGENET1K_V2"),
    ],
)
def test_error_names_models_like_an_unknown_one(name, match):
    pytest.importorskip(name.split("/")[0])
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        FeatureExtractor(name).fit()


def test_error_says_which_weights_to_put_where(tmp_path, monkeypatch):
    pytest.importorskip("torchvision")

    def fail(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(OSError, match=rf"resnet18-\w+\.pth .* into {tmp_path}/checkpoints"):
        FeatureExtractor("torchvision/resnet18").fit()


# --- torchvision ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "width"), [("resnet18", 512), ("mobilenet_v3_small", 1024)])
def test_torchvision_head_is_replaced(name, width, photos, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    module = torchvision.models.get_model(name, weights=None)
    photos = photos[:2]
    Z = from_checkpoint("torchvision", name, module, tmp_path / "weights.pth", photos)
    assert Z.shape == (2, width)
    # The head on these embeddings has the outputs of the whole network.
    head = [part for part in module.modules() if isinstance(part, torch.nn.Linear)][-1]
    transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    with torch.no_grad():
        logits = head(torch.from_numpy(Z))
    assert_allclose(logits, embed(module, transform, photos), atol=1e-4)


# --- transformers ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    pytest.importorskip("transformers")
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    torch.manual_seed(0)
    for name, module in (("plain", ViTModel), ("classifier", ViTForImageClassification)):
        module(config).save_pretrained(folder / name)
        ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize("name", ["plain", "classifier"])
def test_transformers_pools_as_the_model_does(vit, name, photos):
    from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTModel

    Z = FeatureExtractor(f"transformers/{vit}/{name}").transform(photos)
    assert Z.shape == (5, 16)
    processor = AutoImageProcessor.from_pretrained(vit / name)
    pixels = processor(images=[open_rgb(p) for p in photos], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        if name == "plain":
            expected = ViTModel.from_pretrained(vit / name).eval()(pixels).pooler_output
        else:
            # Without a trained pooler: the embedding of the CLS token, which the head takes.
            module = AutoModelForImageClassification.from_pretrained(vit / name).eval()
            expected = module.vit(pixels).last_hidden_state[:, 0]
    assert_allclose(Z, expected, atol=1e-5)


def test_transformers_uses_the_image_tower(photos, tmp_path):
    transformers = pytest.importorskip("transformers")
    tower = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = transformers.CLIPConfig(
        text_config={**tower, "vocab_size": 20},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    module = transformers.CLIPModel(config).eval()
    module.save_pretrained(tmp_path)
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    processor.save_pretrained(tmp_path)
    Z = FeatureExtractor(f"transformers/{tmp_path}").transform(photos)
    pixels = processor(images=[open_rgb(p) for p in photos], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        found = module.get_image_features(pixel_values=pixels)
    assert_allclose(Z, getattr(found, "pooler_output", found), atol=1e-5)


# --- texts ----------------------------------------------------------------------------------------


def test_texts_are_embedded_by_sentence_transformers(tmp_path):
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[UNK]": 0, "good": 1, "bad": 2}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    model = library.SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=6)])
    model.save(str(tmp_path / "model"))
    texts = ["good", "bad good", "bad", "photo.jpg"]
    extractor = FeatureExtractor(
        f"sentence-transformers/{tmp_path}/model", memory=str(tmp_path / "cache"), batch_size=3
    )
    Z = extractor.transform(texts)
    assert_allclose(Z, model.encode(texts), atol=1e-6)
    assert_array_equal(extractor.transform(np.array(texts)), Z)
    with pytest.raises(ValueError, match="list of str"):
        extractor.transform([1, 2])
