"""FeatureExtractor: kinds of samples, failures, the cache, and what scikit-learn asks of it."""

import pickle
import re
import sqlite3
from multiprocessing import get_all_start_methods
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from backbones import TINY, TinyNet, tiny_preprocess, write_photos
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import imblearn_eos.embedding._extractor_run as extractor_run
from imblearn_eos import FeatureExtractor

TESTS = Path(__file__).parent


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path, 7)


def expected(images):
    """Return what a plain loop over images of Pillow computes."""
    with torch.inference_mode():
        return TinyNet()(torch.stack([tiny_preprocess(image) for image in images])).numpy()


def opened(paths):
    return [Image.open(path).convert("RGB") for path in paths]


class Counting(nn.Module):
    """Counts the samples that a backbone sees, in all of its copies."""

    seen = []

    def __init__(self):
        super().__init__()
        self.network = TinyNet()

    def forward(self, images):
        Counting.seen.append(len(images))
        return self.network(images)


@pytest.fixture
def counting():
    Counting.seen.clear()
    return FeatureExtractor(Counting(), preprocess=tiny_preprocess, batch_size=2)


# --- samples --------------------------------------------------------------------------------------


def pixels(paths):
    return np.stack([np.array(image) for image in opened(paths)])


@pytest.mark.parametrize(
    "convert",
    [
        list,
        np.array,
        lambda paths: [Path(path) for path in paths],
        pd.Series,
        lambda paths: pd.DataFrame({"path": paths}),
        opened,
        pixels,
        lambda paths: list(pixels(paths)),
    ],
    ids=[
        "list",
        "array",
        "Path",
        "Series",
        "one column",
        "PIL images",
        "uint8 array",
        "list of arrays",
    ],
)
def test_kinds_of_images_have_equal_embeddings(photos, convert):
    Z = FeatureExtractor(TINY, batch_size=3).fit_transform(convert(photos))
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z, expected(opened(photos)), rtol=1e-5)


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@pytest.mark.parametrize("with_labels", [True, False])
@pytest.mark.parametrize(
    "convert",
    [lambda image: image, np.array, tiny_preprocess],
    ids=["PIL images", "arrays", "transformed tensors"],
)
def test_datasets_return_images_arrays_or_tensors(photos, convert, with_labels):
    items = [convert(image) for image in opened(photos)]
    dataset = Items([(item, 0) for item in items] if with_labels else items)
    Z = FeatureExtractor(TINY, batch_size=3).fit_transform(dataset)
    np.testing.assert_allclose(Z, expected(opened(photos)), rtol=1e-5)


def test_tensors_are_taken_as_preprocessed(photos):
    X = torch.stack([tiny_preprocess(image) for image in opened(photos)])
    for samples in (X, X.numpy(), TensorDataset(X)):
        Z = FeatureExtractor(TinyNet()).fit_transform(samples)
        np.testing.assert_allclose(Z, expected(opened(photos)), rtol=1e-5)


def test_grey_arrays_are_made_rgb():
    grey = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    Z = FeatureExtractor(TINY).fit_transform(grey[..., None])
    np.testing.assert_allclose(Z, FeatureExtractor(TINY).fit_transform(list(grey)))
    rgb = [Image.fromarray(image).convert("RGB") for image in grey]
    np.testing.assert_allclose(Z, expected(rgb), rtol=1e-5)


def test_images_are_turned_upright_and_put_on_white(tmp_path):
    image = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    Image.new("RGBA", (5, 5), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Z = FeatureExtractor(TINY).fit_transform([tmp_path / "turned.png", tmp_path / "clear.png"])
    white = Image.new("RGB", (5, 5), "white")
    np.testing.assert_allclose(Z[:1], expected([image]), rtol=1e-5)
    np.testing.assert_allclose(Z[1:], expected([white]), rtol=1e-5)


def test_inputs_are_not_changed(photos):
    module = TinyNet().double().train()
    X = pixels(photos)
    before = X.copy()
    FeatureExtractor(module, preprocess=tiny_preprocess).fit_transform(X)
    np.testing.assert_array_equal(X, before)
    assert module.training
    assert module.weight.dtype == torch.float64
    assert module.weight.requires_grad


class Outputs(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.network, self.wrap = TinyNet(), wrap

    def forward(self, images):
        return self.wrap(self.network(images))


def test_tuples_maps_and_model_outputs_are_pooled(photos):
    for wrap in (
        lambda Z: (Z, None),
        lambda Z: Z[:, :, None, None].expand(-1, -1, 2, 3),
        lambda Z: {"pooler_output": Z, "last_hidden_state": None},
        lambda Z: {"pooler_output": None, "last_hidden_state": Z[:, None].repeat(1, 4, 1)},
    ):
        extractor = FeatureExtractor(Outputs(wrap), preprocess=tiny_preprocess)
        np.testing.assert_allclose(
            extractor.fit_transform(photos), expected(opened(photos)), rtol=1e-5
        )


def test_output_that_is_no_vector_is_an_error(photos):
    extractor = FeatureExtractor(Outputs(lambda Z: Z[:, None]), preprocess=tiny_preprocess)
    with pytest.raises(ValueError, match=r"one vector per sample.*got \(1, 1, 6\)"):
        extractor.fit(photos)


@pytest.mark.parametrize(
    "X", ["a.jpg", [], np.zeros((3, 4)), None, DataLoader([1])], ids=lambda X: type(X).__name__
)
def test_what_is_no_sequence_of_samples_is_an_error(X):
    with pytest.raises((TypeError, ValueError), match=r"^X must be"):
        FeatureExtractor(TINY).fit(X)


@pytest.mark.parametrize("convert", [str, Path, Image.open, lambda path: Path(path).read_bytes()])
def test_one_image_that_is_no_list_is_an_error_that_says_so(photos, convert):
    with pytest.raises(ValueError, match=r"^X must be a list .* alone: pass a list, \[X\]"):
        FeatureExtractor(TINY).fit(photos).transform(convert(photos[0]))


def test_images_need_a_preprocess(photos):
    for X in (photos, [Image.open(photos[0])], np.zeros((2, 8, 8, 3), dtype=np.uint8)):
        with pytest.raises(ValueError, match=r"^The 'preprocess' parameter is None.*the pair of"):
            FeatureExtractor(TinyNet()).fit(X)


def test_random_datasets_are_noticed(photos):
    class Augmented(Items):
        def __getitem__(self, index):
            return torch.rand(3, 8, 8)

    extractor = FeatureExtractor(TINY).fit(photos)
    with pytest.warns(UserWarning, match=r"Augmented differ, so its transform is random") as caught:
        extractor.transform(Augmented(photos))
    assert caught[0].filename == __file__


# --- workers, blocks, precision -------------------------------------------------------------------


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="starts processes by fork")
def test_workers_read_the_same(photos):
    extractor = FeatureExtractor(TINY, batch_size=2).fit(photos)
    Z = extractor.transform(photos)
    np.testing.assert_array_equal(extractor.set_params(n_jobs=2).transform(photos), Z)
    Path(photos[4]).write_bytes(b"broken")
    with pytest.raises(ValueError, match=re.escape(photos[4])):
        extractor.transform(photos)


def test_many_samples_are_read_by_processes(photos, monkeypatch):
    extractor = FeatureExtractor(TINY).fit(photos)
    samples = extractor._samples(photos)
    monkeypatch.setattr(extractor_run.sys, "platform", "linux")
    monkeypatch.setattr(extractor_run, "cpu_count", lambda: 3)
    assert extractor_run.count_workers(None, samples) == 0
    monkeypatch.setattr(extractor_run, "MIN_ROWS_FOR_WORKERS", 7)
    assert extractor_run.count_workers(None, samples) == 3
    assert extractor_run.count_workers(1, samples) == 0
    monkeypatch.setattr(extractor_run.sys, "platform", "win32")
    assert extractor_run.count_workers(None, samples) == 0


def test_blocks_cover_all_rows_in_order(photos):
    extractor = FeatureExtractor(TINY, batch_size=2).fit(photos)
    blocks = list(extractor.iter_transform(photos, block_size=3))
    assert [start for start, _ in blocks] == [0, 3, 6]
    np.testing.assert_allclose(
        np.concatenate([Z for _, Z in blocks]), extractor.transform(photos), rtol=1e-5
    )


def test_blocks_are_read_when_they_are_asked_for(photos, counting):
    blocks = counting.fit(photos).iter_transform(photos, block_size=2)
    Counting.seen.clear()
    next(blocks)
    assert Counting.seen == [2]


def test_half_precision_gives_float32(photos):
    Z = FeatureExtractor(TINY, dtype="bfloat16").fit_transform(photos)
    assert Z.dtype == np.float32
    exact = expected(opened(photos))
    assert 0 < np.abs(Z - exact).max() < 0.02 * np.abs(exact).max()


def test_auto_is_float32_on_cpu_and_half_on_cuda(monkeypatch):
    assert extractor_run.resolve_dtypes("auto", torch.device("cpu")) == [torch.float32]
    for has, half in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(extractor_run, "has_bfloat16", lambda kind, has=has: has)
        found = extractor_run.resolve_dtypes("auto", torch.device("cuda"))
        assert found == [half, torch.float32]


def test_overflow_of_half_precision_is_computed_in_float32():
    backbone = type("Half", (), {})()
    backbone.embed = lambda inputs: inputs.new_full(
        (1, 2), torch.inf if torch.is_autocast_enabled("cpu") else 1.0
    )
    dtypes = [torch.bfloat16, torch.float32]
    Z = extractor_run.run(backbone, torch.zeros(1, 2), torch.device("cpu"), dtypes)
    assert Z.tolist() == [[1, 1]]


def test_progress_is_shown_only_when_asked_for(photos, capsys):
    FeatureExtractor(TINY).fit_transform(photos)
    assert capsys.readouterr() == ("", "")
    FeatureExtractor(TINY, verbose=True).fit_transform(photos)
    assert "Embedding: 100%" in capsys.readouterr().err


# --- failures -------------------------------------------------------------------------------------


def test_broken_file_is_an_error_with_its_path(photos):
    Path(photos[3]).write_bytes(Path(photos[3]).read_bytes()[:300])
    extractor = FeatureExtractor(TINY)
    with pytest.raises(ValueError, match=re.escape(photos[3]) + r": OSError.*on_error='nan'"):
        extractor.fit(photos).transform(photos)


def test_failed_rows_are_nan_and_listed(photos):
    whole = FeatureExtractor(TINY).fit_transform(photos)
    Path(photos[0]).write_bytes(b"no image")
    Path(photos[5]).unlink()
    extractor = FeatureExtractor(TINY, on_error="nan", batch_size=2)
    Z = extractor.fit_transform(photos)
    assert sorted(extractor.failed_) == [0, 5]
    assert extractor.failed_[5].startswith(f"{photos[5]}: FileNotFoundError")
    assert np.isnan(Z[[0, 5]]).all()
    good = [1, 2, 3, 4, 6]
    np.testing.assert_allclose(Z[good], whole[good], rtol=1e-5)
    extractor.transform(photos[1:4])
    assert extractor.failed_ == {}


def test_all_samples_broken_is_an_error(tmp_path):
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for file in files:
        file.write_bytes(b"no image")
    message = r"cannot be embedded: .*a\.jpg.*b\.jpg.*none of the samples can"
    with pytest.raises(ValueError, match=message) as error:
        FeatureExtractor(TINY, on_error="nan").fit(files)
    assert "on_error" not in str(error.value)


def test_deep_images_are_failures(tmp_path):
    Image.fromarray(np.full((4, 4), 999, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="more than 8 bits per channel"):
        FeatureExtractor(TINY).fit([tmp_path / "deep.png"])


def test_embeddings_that_are_not_finite_are_failures(photos):
    X = torch.stack([tiny_preprocess(image) for image in opened(photos)])
    X[2, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="row 2 of X: its embedding contains NaN"):
        FeatureExtractor(TINY).fit(X).transform(X)
    extractor = FeatureExtractor(TINY, on_error="nan").fit(X)
    assert np.isnan(extractor.transform(X)).all(axis=1).tolist() == [row == 2 for row in range(7)]
    assert list(extractor.failed_) == [2]


def test_preprocess_that_keeps_the_size_is_explained(tmp_path):
    X = write_photos(tmp_path, 1) + write_photos(tmp_path / "..", 1, size=(20, 20))

    def keep(image):
        return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255

    with pytest.raises(ValueError, match=r"\(3, 20, 20\), but \(3, 30, 40\).*resize"):
        FeatureExtractor(TinyNet(), preprocess=keep).fit_transform(X)


# --- cache ----------------------------------------------------------------------------------------


def test_unchanged_files_are_embedded_once(photos, counting, tmp_path):
    counting.set_params(memory=str(tmp_path / "cache")).fit(photos)
    Z = counting.transform(photos)
    Counting.seen.clear()
    np.testing.assert_array_equal(clone(counting).fit_transform(photos), Z)
    # The first sample, in fit.
    assert Counting.seen == [1]


def test_files_are_known_by_content(photos, counting, tmp_path):
    counting.set_params(memory=str(tmp_path / "cache")).fit(photos)
    Z = counting.transform(photos)
    moved = tmp_path / "moved.jpg"
    Path(photos[1]).rename(moved)
    changed = write_photos(tmp_path / "..", 1, seed=5)[0]
    Path(photos[2]).write_bytes(Path(changed).read_bytes())
    Counting.seen.clear()
    again = counting.transform([photos[0], str(moved), *photos[2:]])
    assert Counting.seen == [1]
    assert np.flatnonzero((again != Z).any(axis=1)).tolist() == [2]


def test_images_and_arrays_are_kept_too(photos, counting, tmp_path):
    counting.set_params(memory=str(tmp_path / "cache")).fit(photos)
    for X in (opened(photos), pixels(photos)):
        counting.transform(X)
        Counting.seen.clear()
        counting.transform(X)
        assert Counting.seen == []


def test_interrupted_run_goes_on(photos, counting, tmp_path):
    counting.set_params(memory=str(tmp_path / "cache")).fit(photos)
    whole = counting.transform(photos)
    for file in (tmp_path / "cache").rglob("*.sqlite"):
        file.unlink()
    broken = photos[5]
    content = Path(broken).read_bytes()
    Path(broken).write_bytes(b"")
    # Rows before the failure are kept, in a block that is not complete.
    with pytest.raises(ValueError, match="cannot be embedded"):
        counting.transform(photos)
    Path(broken).write_bytes(content)
    Counting.seen.clear()
    np.testing.assert_allclose(counting.transform(photos), whole, rtol=1e-5)
    assert sum(Counting.seen) < 4


def test_cache_that_is_damaged_is_named(photos, tmp_path):
    extractor = FeatureExtractor(TINY, memory=str(tmp_path / "cache")).fit(photos)
    extractor.transform(photos)
    (file,) = (tmp_path / "cache").rglob("*.sqlite")
    file.write_bytes(b"no cache")
    with pytest.raises(OSError, match=rf"'memory' keeps in {re.escape(str(file))} .*Remove this"):
        extractor.transform(photos)


def test_other_weights_preprocessing_or_dtype_are_not_mixed(photos, tmp_path):
    memory = str(tmp_path / "cache")
    other = TinyNet()
    nn.init.constant_(other.weight, 0.1)

    def bright(image):
        return tiny_preprocess(image) + 0.5

    def brighter(image):
        return tiny_preprocess(image) + 0.6

    for _ in range(2):
        made = [
            FeatureExtractor(module, preprocess=preprocess, dtype=dtype, memory=memory)
            for module, preprocess, dtype in [
                (TinyNet(), tiny_preprocess, "float32"),
                (TinyNet(), tiny_preprocess, "bfloat16"),
                (other, tiny_preprocess, "float32"),
                (TinyNet(), bright, "float32"),
                (TinyNet(), brighter, "float32"),
            ]
        ]
        rows = [extractor.fit_transform(photos)[0] for extractor in made]
        assert len(np.unique(rows, axis=0)) == len(made)
    assert len(list((tmp_path / "cache").rglob("*.sqlite"))) == len(made)


def test_cache_holds_no_code(photos, tmp_path):
    FeatureExtractor(TINY, memory=str(tmp_path / "cache")).fit_transform(photos)
    (file,) = (tmp_path / "cache").rglob("*.sqlite")
    rows = sqlite3.connect(file).execute("SELECT row FROM features").fetchall()
    assert [len(row) for (row,) in rows] == [6 * 4] * 7


# --- scikit-learn ---------------------------------------------------------------------------------

# The other checks fit arrays of numbers, which are no images.
CHECKS = [
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conventions_of_scikit_learn(check):
    check("FeatureExtractor", FeatureExtractor(TINY))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", 3),
        ("preprocess", 3),
        ("batch_size", 0),
        ("device", "tpu"),
        ("dtype", "float64"),
        ("on_error", "drop"),
        ("n_jobs", 1.5),
        ("memory", 3),
    ],
)
def test_parameters_are_validated(photos, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        FeatureExtractor(TINY).set_params(**{name: value}).fit(photos)


def test_transform_needs_fit(photos):
    with pytest.raises(NotFittedError):
        FeatureExtractor(TINY).transform(photos)
    with pytest.raises(NotFittedError):
        next(FeatureExtractor(TINY).iter_transform(photos))


def test_clone_keeps_parameters_only(photos):
    fitted = FeatureExtractor(TINY, batch_size=5).fit(photos)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "backbone_")


def test_pickle_of_a_named_backbone_has_no_weights(photos, tmp_path):
    fitted = FeatureExtractor(TINY).fit(photos)
    Z = fitted.transform(photos)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert not hasattr(loaded, "backbone_")
    np.testing.assert_array_equal(loaded.transform(photos), Z)


def test_changed_weights_of_a_pickle_are_noticed(photos, tmp_path):
    file = tmp_path / "own.py"
    source = (
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nimport backbones\n"
        "def make():\n    return backbones.TinyNet(N), backbones.tiny_preprocess\n"
    )
    file.write_text(source.replace("N)", "6)"), encoding="utf-8")
    pickled = pickle.dumps(FeatureExtractor(f"{file}:make").fit(photos))
    file.write_text(source.replace("N)", "7)"), encoding="utf-8")
    with pytest.raises(ValueError, match="not the ones that this FeatureExtractor was fitted"):
        pickle.loads(pickled).transform(photos)


def test_pickle_of_a_module_has_it(photos):
    fitted = FeatureExtractor(TinyNet(), preprocess=tiny_preprocess).fit(photos)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.transform(photos), fitted.transform(photos))


def test_feature_names_and_pandas_output(photos):
    extractor = FeatureExtractor(TINY).set_output(transform="pandas")
    X = pd.DataFrame({"path": photos}, index=list("abcdefg"))
    frame = extractor.fit_transform(X)
    assert frame.columns.tolist() == extractor.get_feature_names_out().tolist()
    assert frame.columns[-1] == "featureextractor5"
    assert frame.index.tolist() == list("abcdefg")


def test_pipeline_from_paths_to_labels(photos):
    y = [0, 1, 0, 1, 0, 1, 1]
    pipeline = make_pipeline(FeatureExtractor(TINY), LogisticRegression())
    predicted = pipeline.fit(photos, y).predict(photos)
    features = FeatureExtractor(TINY).fit_transform(photos)
    expected_labels = LogisticRegression().fit(features, y).predict(features)
    assert predicted.tolist() == expected_labels.tolist()


def test_description_names_backbone_weights_and_transform(photos):
    description = FeatureExtractor(TINY).fit(photos).description_
    assert re.fullmatch(
        re.escape(TINY) + r", weights \w{16}, preprocess \w{16}, float32", description
    )
    module = FeatureExtractor(TinyNet(), preprocess=tiny_preprocess).fit(photos)
    assert module.description_.startswith("TinyNet, weights ")
