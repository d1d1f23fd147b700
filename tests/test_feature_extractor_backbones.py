"""FeatureExtractor with each library's own models, loaded from disk, and with real weights."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from backbones import (
    LITE0,
    declare_torchvision_operators,
    lite0_state,
    save_clip,
    save_sentence_transformer,
    save_timm,
    save_vit,
    write_photos,
)
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import nn

from imblearn_eos import FeatureExtractor

declare_torchvision_operators()
timm = pytest.importorskip("timm", reason="needs the extra 'timm'")
torchvision = pytest.importorskip("torchvision", reason="needs the extra 'torchvision'")
pytest.importorskip("sentence_transformers", reason="needs the extra 'text'")

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), 3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a function that saves a model once; it returns its folder and the model."""
    made = {}

    def find(save, *args, **params):
        key = (save, args, tuple(params.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp(save.__name__)
            made[key] = folder, save(folder, *args, **params)
        return made[key]

    return find


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Let no library download, nor find what another test run has downloaded."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))

    def refuse(*args, **params):
        raise OSError("there is no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


def images(paths):
    return [Image.open(path).convert("RGB") for path in paths]


def batch(transform, paths):
    return torch.stack([transform(image) for image in images(paths)])


# --- real weights ---------------------------------------------------------------------------------

# timm's name of each kind of weights, in the order in which the two libraries define them.
LITE0_PARTS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}


def lite0_for_timm():
    """Return the weights of EfficientNet-Lite0 under timm's names."""
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    theirs = {
        name: values
        for name, values in lite0_state().items()
        if not name.startswith("_fc") and "num_batches_tracked" not in name
    }
    ours = [name for name in model.state_dict() if "num_batches_tracked" not in name]
    head = [name for name in theirs if name.startswith(("_conv_head", "_bn1"))]
    body = [name for name in theirs if name not in head]
    state = dict(zip(ours, (theirs[name] for name in body + head), strict=True))
    counters = {name: v for name, v in model.state_dict().items() if name not in ours}
    model.load_state_dict({**state, **counters})
    return model


def test_real_weights_know_what_is_in_a_photo():
    """ImageNet's classes: a pagoda-like palace, and a daisy for the other photo."""
    from efficientnet_lite_pytorch import EfficientNet

    photos = load_sample_images().images
    Z = FeatureExtractor(LITE0).fit_transform(photos)
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(lite0_state())
    with torch.inference_mode():
        best = network._fc(torch.from_numpy(Z)).argmax(dim=1)
    names = torchvision.models.EfficientNet_B0_Weights.DEFAULT.meta["categories"]
    assert [names[i] for i in best] == ["palace", "daisy"]


def test_same_weights_in_timm_have_equal_features(tmp_path):
    model = lite0_for_timm()
    torch.save(model.state_dict(), tmp_path / "lite0.pth")
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    extractor = FeatureExtractor(f"timm/tf_efficientnet_lite0@{tmp_path / 'lite0.pth'}")
    Z = extractor.fit_transform(photos)
    same_pixels = FeatureExtractor(LITE0, preprocess=extractor.backbone_.preprocess)
    np.testing.assert_allclose(same_pixels.fit_transform(photos), Z, atol=1e-4)
    assert np.abs(Z).max() > 1


# --- timm -----------------------------------------------------------------------------------------


def check_timm(extractor, model, photos):
    config = timm.data.resolve_model_data_config(model)
    with torch.inference_mode():
        X = batch(timm.data.create_transform(**config), photos)
        Z = model.forward_head(model.forward_features(X), pre_logits=True)
    np.testing.assert_allclose(extractor.fit_transform(photos), Z.numpy(), rtol=1e-4, atol=1e-5)
    return config


def test_timm_folder(folders, photos):
    folder, model = folders(save_timm)
    config = check_timm(FeatureExtractor(f"timm/{folder}"), model, photos)
    assert config["input_size"] == (3, 32, 32)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_timm_name_with_a_checkpoint(folders, photos, tmp_path, suffix):
    folder, model = folders(save_timm)
    file = folder / "model.safetensors"
    if suffix == ".pth":
        file = tmp_path / "model.pth"
        # As distributed trainings save it.
        state = {f"module.{name}": values for name, values in model.state_dict().items()}
        torch.save({"epoch": 3, "state_dict": state}, file)
    model.pretrained_cfg = timm.create_model("test_resnet").pretrained_cfg
    check_timm(FeatureExtractor(f"timm/test_resnet@{file}"), model, photos)


# --- torchvision ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_features"),
    [
        ("resnet18", 512),
        ("mobilenet_v3_small", 1024),
        ("squeezenet1_1", 512),
        pytest.param("swin_t", 768, marks=pytest.mark.slow),
        pytest.param("vit_b_32", 768, marks=pytest.mark.slow),
        pytest.param("inception_v3", 2048, marks=pytest.mark.slow),
    ],
)
def test_torchvision_checkpoint_gives_the_input_of_the_last_layer(
    name, n_features, photos, tmp_path
):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=4).eval()
    file = tmp_path / "weights.pth"
    torch.save(model.state_dict(), file)
    heads = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    inputs = []
    heads[-1].register_forward_hook(lambda module, args, output: inputs.append(args[0]))
    transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    with torch.inference_mode():
        model(batch(transform, photos[:1]))
    Z = FeatureExtractor(f"torchvision/{name}@{file}").fit_transform(photos[:1])
    assert Z.shape == (1, n_features)
    # SqueezeNet averages after its last layer.
    expected = inputs[0].mean(dim=(2, 3)) if inputs[0].ndim == 4 else inputs[0]
    np.testing.assert_allclose(Z, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", ["", "@IMAGENET1K_V1"])
def test_torchvision_weights_by_name(photos, offline, version, monkeypatch):
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    calls = []

    def load(url, *args, **params):
        calls.append((url, params.get("weights_only", False)))
        return model.state_dict()

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", load)
    Z = FeatureExtractor(f"torchvision/resnet18{version}").fit_transform(photos)
    # The file is looked at without running code before the builder loads it.
    assert calls[0] == (weights.url, True)
    model.fc = nn.Identity()
    with torch.inference_mode():
        expected = model(batch(weights.transforms(), photos))
    np.testing.assert_allclose(Z, expected.numpy(), rtol=1e-4, atol=1e-5)


# --- transformers ---------------------------------------------------------------------------------


def test_transformers_classifier_gives_its_class_token(folders, photos):
    """A classifier has no pooler, and a new one would be random."""
    folder, model = folders(save_vit)
    extractor = FeatureExtractor(f"transformers/{folder}")
    Z = extractor.fit_transform(photos)
    pixels = np.stack([np.array(image.resize((32, 32), 2)) for image in images(photos)])
    X = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        expected = model.vit(pixel_values=X.float()).last_hidden_state[:, 0]
    np.testing.assert_allclose(Z, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_transformers_pooler_output(folders, photos):
    folder, model = folders(save_vit, for_classification=False)
    extractor = FeatureExtractor(f"transformers/{folder}@main")
    Z = extractor.fit_transform(photos)
    X = torch.stack([extractor.backbone_.preprocess(i)["pixel_values"] for i in images(photos)])
    with torch.inference_mode():
        expected = model(pixel_values=X).pooler_output
    np.testing.assert_allclose(Z, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_transformers_image_features_of_clip(folders, photos):
    folder, model = folders(save_clip)
    extractor = FeatureExtractor(f"transformers/{folder}")
    Z = extractor.fit_transform(photos)
    X = torch.stack([extractor.backbone_.preprocess(i)["pixel_values"] for i in images(photos)])
    with torch.inference_mode():
        expected = model.visual_projection(model.vision_model(pixel_values=X).pooler_output)
    np.testing.assert_allclose(Z, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_transformers_needs_no_torchvision_and_processes_share_a_cache(folders, photos, tmp_path):
    folder, _ = folders(save_vit)
    code = (
        "import sys\nsys.modules['torchvision'] = None\n"
        "from imblearn_eos import FeatureExtractor\n"
        "extractor = FeatureExtractor(sys.argv[1], memory=sys.argv[2])\n"
        "print(extractor.fit_transform(sys.argv[3:]).shape)\n"
    )
    backbone, memory = f"transformers/{folder}", str(tmp_path / "cache")
    command = [sys.executable, "-c", code, backbone, memory, *photos]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("(3, 16)", "")
    FeatureExtractor(backbone, memory=memory).fit_transform(photos)
    assert len(list((tmp_path / "cache").rglob("*.sqlite"))) == 1


def test_loading_prints_nothing(folders, photos, capfd):
    folder, _ = folders(save_vit)
    FeatureExtractor(f"transformers/{folder}").fit_transform(photos)
    assert capfd.readouterr() == ("", "")


# --- text -----------------------------------------------------------------------------------------

TEXTS = ["a good film", "bad", "a bad day", "good day", "a"]


def test_texts_are_embedded_as_sentence_transformers_does(folders, tmp_path):
    folder, model = folders(save_sentence_transformer)
    extractor = FeatureExtractor(
        f"sentence-transformers/{folder / 'model'}", batch_size=2, memory=str(tmp_path)
    )
    expected = model.encode(TEXTS)
    for X in (TEXTS, np.array(TEXTS)):
        np.testing.assert_allclose(extractor.fit_transform(X), expected, rtol=1e-4, atol=1e-6)
    backward = extractor.transform(TEXTS[::-1])
    np.testing.assert_allclose(backward, expected[::-1], rtol=1e-4, atol=1e-6)


# --- functions ------------------------------------------------------------------------------------


def test_function_of_an_importable_module(photos, monkeypatch):
    monkeypatch.syspath_prepend(str(TESTS))
    Z = FeatureExtractor("backbones:tiny").fit_transform(photos)
    np.testing.assert_array_equal(
        Z, FeatureExtractor(f"{TESTS}/backbones.py:tiny").fit_transform(photos)
    )


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("resnet18", "must begin with one of .*'timm'.*got 'resnet18'"),
        ("keras/resnet18", "must begin with one of .*got 'keras/resnet18'"),
        ("timm/resnet81", "timm has no model or folder 'resnet81'. Similar names: .*'resnet18"),
        ("timm//no/folder", "timm has no model or folder '/no/folder'"),
        (f"{TESTS}/backbones.py:nothing", r"names a function that .*backbones\.py does not have"),
        ("torchvision/resnet81", "Similar names: .*'resnet18'"),
    ],
)
def test_unknown_backbones_are_named(photos, backbone, message):
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(backbone).fit(photos)


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        ("nowhere/backbone.py:make", "FileNotFoundError: .*nowhere/backbone.py"),
        ("no_such_module:make", "No module named 'no_such_module'"),
        ("backbone.py:make", "No module named 'no_such_library'"),
    ],
)
def test_function_that_cannot_be_imported_is_explained(
    photos, tmp_path, monkeypatch, backbone, reason
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backbone.py").write_text("def make():\n    import no_such_library\n")
    message = rf"'backbone' \(--backbone\) '{backbone}' .*{reason}.*Check the path"
    with pytest.raises(ImportError, match=message):
        FeatureExtractor(backbone).fit(photos)


@pytest.mark.parametrize(
    ("backbone", "remedy"),
    [
        (
            "timm/resnet18",
            r"model\.safetensors from https://huggingface\.co/timm/resnet18\.a1_in1k on another "
            r"machine, and pass its path: backbone='timm/resnet18@FOLDER/model\.safetensors'",
        ),
        ("timm/hf-hub:me/net", "config.json and model.safetensors of me/net into a folder"),
        ("torchvision/resnet18", r"resnet18-f37072fd\.pth there as .*torch/checkpoints/resnet18-"),
        ("transformers/me/net", "https://huggingface.co/me/net into a folder, and pass backbone="),
        ("sentence-transformers/me/net", "and pass backbone='sentence-transformers/FOLDER'"),
        ("timm/resnet18@nowhere.pth", "FileNotFoundError.*Check the path"),
    ],
)
def test_missing_weights_without_network_name_the_file_and_its_place(
    photos, offline, backbone, remedy
):
    with pytest.raises(OSError, match=f"not on this machine, and cannot be downloaded.*{remedy}"):
        FeatureExtractor(backbone).fit(photos)


def test_weights_of_another_model_are_an_error(folders, photos):
    folder, _ = folders(save_timm)
    for backbone in ("timm/resnet18", "torchvision/resnet18"):
        with pytest.raises(ValueError, match=r"lacks weights of ResNet: .* the same architecture"):
            FeatureExtractor(f"{backbone}@{folder / 'model.safetensors'}").fit(photos)


def test_incomplete_weights_of_transformers_are_an_error(folders, photos, tmp_path):
    from safetensors.torch import load_file, save_file

    folder, _ = folders(save_vit)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(folder / "model.safetensors")
    lost = next(name for name in state if "layernorm" in name)
    del state[lost]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=re.escape(lost.partition("layer.")[2])):
        FeatureExtractor(f"transformers/{tmp_path}").fit(photos)


class Evil:
    def __reduce__(self):
        return print, ("code that came with weights ran",)


def test_code_in_weights_is_not_run(photos, tmp_path, capsys):
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": Evil()}, file)
    for backbone in ("timm/resnet18", "torchvision/resnet18"):
        with pytest.raises(ValueError, match="cannot be loaded without running code"):
            FeatureExtractor(f"{backbone}@{file}").fit(photos)
    assert "ran" not in capsys.readouterr().out


def test_code_in_repositories_is_not_run(folders, photos, tmp_path):
    folder, _ = folders(save_vit)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.update(model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Net"})
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "own.py").write_text("raise SystemExit('code of a repository ran')\n")
    with pytest.raises(ValueError, match=r"cannot be loaded without running code.*'preprocess'"):
        FeatureExtractor(f"transformers/{tmp_path}").fit(photos)


def test_torchvision_for_another_torch_is_explained(photos, monkeypatch):
    def refuse(name, *args):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("imblearn_eos.embedding._backbones.importlib.import_module", refuse)
    for source in ("timm", "torchvision", "transformers", "sentence-transformers"):
        message = f"not built for torch {re.escape(torch.__version__)}.*pip install"
        with pytest.raises(ImportError, match=message):
            FeatureExtractor(f"{source}/resnet18").fit(photos)


def test_missing_library_names_the_extra(photos, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for module, source, extra in [
        ("timm", "timm", "timm"),
        ("torchvision", "torchvision", "torchvision"),
        ("transformers", "transformers", "transformers"),
        ("sentence_transformers", "sentence-transformers", "text"),
    ]:
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=rf"pip install 'imblearn-eos\[{extra}\]'"):
            FeatureExtractor(f"{source}/a").fit(photos)
