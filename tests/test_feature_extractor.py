import pickle
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from backbones import efficientnet_lite0, preprocess, save_photos
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import Dataset

from imblearn_eos import FeatureExtractor, LinearHead

THIS = Path(__file__).with_name("backbones.py")


def means(image):
    """Preprocess to an image of 2 x 2 means."""
    pixels = torch.from_numpy(np.asarray(image.resize((2, 2))).copy()).float()
    return pixels.permute(2, 0, 1)


class Counted(nn.Module):
    """Flatten images, and count the batches."""

    def __init__(self):
        super().__init__()
        self.n_batches = 0

    def forward(self, batch):
        self.n_batches += 1
        return batch.flatten(1)


def extractor(**params):
    return FeatureExtractor(Counted(), preprocess=means, **params)


@pytest.fixture
def photos(tmp_path):
    return save_photos(tmp_path, 10)


def test_every_kind_of_image_gives_the_same_embedding(photos):
    expected = extractor().transform(photos)
    assert expected.shape == (10, 12)
    assert expected.dtype == np.float32
    opened = [Image.open(path) for path in photos]
    for X in (
        [str(path) for path in photos],
        np.array(photos, dtype=object)[:, np.newaxis],
        [path.read_bytes() for path in photos],
        [memoryview(path.read_bytes()) for path in photos],
        opened,
    ):
        assert_array_equal(extractor().transform(X), expected)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_uint8_arrays_are_images_with_channels_last(n_channels):
    X = np.random.RandomState(0).randint(0, 256, (4, 6, 5, n_channels), dtype=np.uint8)
    images = [Image.fromarray(x.squeeze()) for x in X]
    assert_array_equal(extractor().transform(X), extractor().transform(images))


def test_dataset_yields_images_or_tensors_with_labels(photos):
    class Photos(Dataset):
        def __init__(self, read):
            self.read = read

        def __len__(self):
            return len(photos)

        def __getitem__(self, index):
            return self.read(Image.open(photos[index]).convert("RGB")), 1

    opaque = [p for p in photos if "A" not in Image.open(p).mode]
    photos = opaque
    expected = extractor().transform(photos)
    for read in (means, np.asarray, lambda image: image):
        assert_array_equal(extractor().transform(Photos(read)), expected)


def test_photos_are_upright_and_on_white(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("L", (20, 10))
    wide.paste(255, (0, 0, 10, 10))
    wide.save(tmp_path / "turned.png", exif=exif)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    turned, clear = extractor().transform([tmp_path / "turned.png", tmp_path / "clear.png"])
    assert_array_equal(turned.reshape(3, 2, 2)[0] > 127, [[True, True], [False, False]])
    assert_array_equal(clear, 255)


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_embeddings_do_not_depend_on_workers_and_batches(photos, n_jobs, batch_size):
    Z = extractor(n_jobs=n_jobs, batch_size=batch_size).transform(photos)
    assert_array_equal(Z, extractor().transform(photos))


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_error_on_a_corrupt_file_names_it(photos, content):
    broken = photos[3]
    broken.unlink() if content is None else broken.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{broken.name} cannot be read .*on_error='nan'"):
        extractor().transform(photos)


def test_nan_rows_stand_for_files_that_cannot_be_read(photos):
    expected = extractor().transform(photos)
    for broken in (0, 3):
        photos[broken].write_bytes(b"no image")
    extracted = extractor(on_error="nan")
    Z = extracted.transform(photos)
    assert list(extracted.failed_) == [0, 3]
    assert "UnidentifiedImageError" in extracted.failed_[3]
    assert np.isnan(Z[[0, 3]]).all()
    good = [i for i in range(10) if i not in (0, 3)]
    assert_array_equal(Z[good], expected[good])
    assert extracted.transform(photos[1:3]).shape == (2, 12)
    assert extracted.failed_ == {}


def test_error_if_no_sample_can_be_read(tmp_path):
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match="None of the samples in X can be read"):
        extractor(on_error="nan").transform([tmp_path / "1.png"])


def test_deep_grey_images_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="more than 8 bits per channel"):
        extractor().transform([tmp_path / "1.png"])


def test_blocks_are_the_rows_of_transform(photos):
    photos[0].write_bytes(b"")
    extracted = extractor(on_error="nan")
    blocks = list(extracted.iter_transform(photos, block_size=1))
    assert [start for start, _ in blocks] == list(range(10))
    assert list(extracted.failed_) == [0]
    Z = np.concatenate([Z for _, Z in blocks])
    assert_array_equal(Z, extracted.transform(photos))


# --- cache ----------------------------------------------------------------------------------------


def test_unchanged_samples_are_embedded_once(photos, tmp_path):
    extracted = extractor(memory=str(tmp_path / "cache"))
    Z = extracted.transform(photos)
    n_batches = extracted._load().module.n_batches
    assert n_batches > 0
    assert_array_equal(extracted.transform(photos), Z)
    assert extracted._load().module.n_batches == n_batches
    # The content counts, not the name.
    moved = [path.rename(path.with_name(f"moved-{path.name}")) for path in photos]
    assert_array_equal(clone(extracted).transform(moved), Z)
    Image.new("RGB", (9, 9), "red").save(moved[0])
    assert not np.array_equal(clone(extracted).transform(moved)[0], Z[0])


def test_cache_knows_weights_and_preprocessing(photos, tmp_path):
    memory = str(tmp_path / "cache")
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)) for _ in range(2))
    for module, other in ((first, means), (second, means), (second, half_means)):
        params = {"preprocess": other}
        expected = FeatureExtractor(module, **params).transform(photos)
        cached = FeatureExtractor(module, **params, memory=memory).transform(photos)
        assert_array_equal(cached, expected)


def half_means(image):
    return means(image) / 2


# --- scikit-learn ---------------------------------------------------------------------------------


def test_is_a_step_of_a_pipeline(photos):
    y = np.arange(10) % 2
    pipeline = make_pipeline(extractor(), StandardScaler(), LinearHead()).fit(photos, y)
    assert pipeline.predict(photos).shape == (10,)
    names = pipeline[0].get_feature_names_out()
    assert names[0] == "featureextractor0"
    assert len(names) == 12


def test_set_output_gives_a_data_frame(photos):
    frame = extractor().set_output(transform="pandas").fit_transform(photos)
    assert frame.shape == (10, 12)
    assert frame.columns[-1] == "featureextractor11"


def test_pickle_of_a_named_backbone_has_no_weights(photos):
    named = FeatureExtractor(f"{THIS}:efficientnet_lite0")
    Z = named.fit().transform(photos[:2])
    pickled = pickle.dumps(named)
    assert len(pickled) < 10_000
    assert_array_equal(pickle.loads(pickled).transform(photos[:2]), Z)


def test_module_of_the_user_is_not_changed(photos):
    module = nn.Sequential(nn.Flatten(), nn.Dropout()).train()
    first, second = (FeatureExtractor(module, preprocess=means).transform(photos) for _ in "ab")
    assert_array_equal(first, second)
    assert module.training


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], "0 samples"),
        ("photo.jpg", "one path"),
        ([1.5], "sample 0 cannot be read .*float"),
        (np.zeros((2, 4, 4, 3)), "must be uint8"),
    ],
)
def test_error_names_samples_of_the_wrong_kind(X, message):
    with pytest.raises(ValueError, match=message):
        extractor().transform(X)


def test_error_names_outputs_of_the_wrong_shape(photos):
    with pytest.raises(ValueError, match=r"shape \(1, 3, 2, 2\), not \(n_samples, n_features\)"):
        FeatureExtractor(nn.Identity(), preprocess=means).transform(photos[:1])


def test_pooled_maps_of_one_pixel_and_tuples_are_vectors(photos):
    class Pooled(nn.Module):
        def forward(self, batch):
            return batch.mean((2, 3), keepdim=True), batch

    assert FeatureExtractor(Pooled(), preprocess=means).transform(photos).shape == (10, 3)


def test_values_that_are_not_finite_are_refused(photos):
    class Diverged(nn.Module):
        def forward(self, batch):
            return batch.flatten(1) * torch.inf

    with pytest.raises(ValueError, match="NaN or infinity"):
        FeatureExtractor(Diverged(), preprocess=means).transform(photos)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_and_returned_as_float32(dtype, photos):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    expected = FeatureExtractor(module, preprocess=means).transform(photos)
    Z = FeatureExtractor(module, preprocess=means, dtype=dtype, device="cpu").transform(photos)
    assert Z.dtype == np.float32
    assert_allclose(Z, expected, rtol=0.05, atol=2)
    assert not np.array_equal(Z, expected)


# --- sources --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet50", "timm/", "no.py:f", f"{THIS}:nothing", "os:getcwd"])
def test_error_names_a_backbone_that_is_not_there(name):
    with pytest.raises((ValueError, FileNotFoundError, AttributeError)) as caught:
        FeatureExtractor(name).fit()
    assert name.split(":")[-1].rstrip("/") in str(caught.value)


def test_function_of_a_file_is_the_module_itself(photos):
    module, own = efficientnet_lite0()
    Z = FeatureExtractor(f"{THIS}:efficientnet_lite0", n_jobs=2).transform(photos[:3])
    assert Z.shape == (3, 1280)
    batch = torch.stack([own(Image.open(path).convert("RGB")) for path in photos[:2]])
    with torch.no_grad():
        assert_allclose(Z[:2], module.eval()(batch), atol=1e-4)
    given = FeatureExtractor(module, preprocess=preprocess).transform(photos[:3])
    assert_allclose(given, Z, atol=1e-6)


def test_error_says_what_to_install_where_torchvision_does_not_fit_torch(monkeypatch):
    def import_it(*args):
        raise RuntimeError("operator torchvision::nms does not exist")

    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed.")
    monkeypatch.setattr("imblearn_eos.embedding._backbones.import_extra", import_it)
    match = rf"torchvision [\w.]+ was built for another torch than .*{re.escape(torch.__version__)}"
    with pytest.raises(ImportError, match=match):
        FeatureExtractor("timm/resnet18").fit()


@pytest.mark.slow
def test_torchvision_of_another_build_is_recognized():
    if not torch.__version__.endswith("+cpu"):
        pytest.skip("This torch is not a CPU build, so that torchvision of PyPI fits it.")
    pytest.importorskip("timm")
    code = "from imblearn_eos import FeatureExtractor; FeatureExtractor('timm/resnet18').fit()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert "ImportError: timm needs torchvision, and torchvision" in done.stderr
