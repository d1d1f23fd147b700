"""Saved models: another process loads every file and predicts the same."""

import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from imblearn_eos import Embedder, EmbeddingPipeline, LinearHead
from imblearn_eos.compare import (
    CLASSIFIERS,
    RefittedModel,
    compare,
    compare_embeddings,
    compare_table,
    make_record,
    refit_recommended,
)
from imblearn_eos.compare._fit import adjust_logits
from imblearn_eos.compare._models import write_model
from imblearn_eos.compare._splits import count
from imblearn_eos.datasets import load_digit_images
from imblearn_eos.datasets._readers import read

PREDICT = """
import json, runpy, sys
import numpy as np
folder, *models = sys.argv[1:]
rows, predicted = np.load(f"{folder}/X.npy"), {}
for model in models:
    predict = runpy.run_path(f"{folder}/{model}/load.py")["predict"]
    predicted[model] = predict(rows).tolist()
print(json.dumps([predicted, "imblearn_eos" in sys.modules]))
"""
BACKBONE = """
import numpy as np
import torch

def make():
    return torch.nn.Identity(), lambda image: torch.tensor(np.asarray(image)[0, :8, 0] * 1.0)
"""
NAMES = np.array(["cat", "lynx ünï", "<dog>"])


def predict_elsewhere(folder, X):
    """Return what each load.py predicts in a new process, and whether it imported this package."""
    np.save(folder / "X.npy", X)
    models = [path.parent.name for path in folder.glob("*/load.py")]
    command = [sys.executable, "-c", PREDICT, folder, *models]
    path = os.pathsep.join([str(Path(networks.__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def save(folder, record, model, **others):
    (folder / model.method).mkdir()
    return write_model(folder / model.method, {**record, **others}, model, "rows")


def model_of(estimator, y, method="eos"):
    return RefittedModel(method, {}, estimator, count(y, np.unique(y)))


@pytest.fixture(scope="module")
def images():
    X, y = load_digit_images()
    X, y = X[y < 3], NAMES[y[y < 3]]
    params = {"samplers": ["smote", "eos"], "validation_folds": 0}
    results = compare(X, y, seeds=1, epochs=2, imbalance_ratio=4, **params)
    return X, refit_recommended(results), make_record(X, y, source="digits", arguments={})


def make_rows(dtype=object):
    X, y = make_classification(
        600, 8, n_informative=5, n_classes=3, weights=[0.7, 0.2], class_sep=0.7, random_state=0
    )
    return 3 * X + 5, NAMES[y].astype(dtype)


def refit(result, method):
    """Return the model of a method, as if validation rows had chosen it."""
    result.validation = {method: [1.0]}
    return refit_recommended([result])


def heads_of(X, y, scaler):
    """Return models as of embeddings: a linear head, and the same with logit adjustment."""
    head = LinearHead().fit(scaler.fit_transform(X), y)
    heads = {"eos": head, "logit_adjustment": adjust_logits(head, y, 0.5)}
    return [model_of(make_pipeline(scaler, head), y, name) for name, head in heads.items()]


def test_network_is_loaded_by_torch_alone(images, tmp_path):
    X, model, record = images
    embedder, head = model.estimator
    for saved in (model, replace(model, method="network", estimator=embedder)):
        assert save(tmp_path, record, saved).file == "network.pt"
    predicted, has_package = predict_elsewhere(tmp_path, X)
    assert not has_package
    assert predicted["network"] == embedder.predict(X).tolist()
    assert predicted["eos"] == head.predict(embedder.transform(X)).tolist()
    assert predicted["network"] != predicted["eos"]
    saved = torch.load(tmp_path / "eos" / "network.pt", weights_only=True)
    assert saved["classes"] == sorted(NAMES)
    assert saved["input_shape"] == [1, 8, 8]
    assert saved["preprocessing"] == "scaled as the data were"
    assert saved["method"] == "eos"
    assert saved["settings"] == "n_neighbors=1000, max_step=1.0, alpha=0.01"


def test_scaling_of_pixels_is_stated_where_it_is_known(images, tmp_path):
    _, model, record = images
    save(tmp_path, record, model, data={**record["data"], "scaling": "divided by 16"})
    text = (tmp_path / "eos" / "load.py").read_text()
    assert "Images are float32 of shape (1, 8, 8), pixels divided by 16.\n" in text


@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_photos_are_read_as_for_training(images, tmp_path, mode):
    rng, exif = np.random.RandomState(0), Image.Exif()
    exif[274] = 6  # lies on its side
    for i, label in enumerate("aabb"):
        (tmp_path / label).mkdir(exist_ok=True)
        pixels = rng.randint(256, size=(30, 40 + i, len(mode))).astype(np.uint8).squeeze()
        Image.fromarray(pixels).save(tmp_path / label / f"{i}.png", exif=exif)
    data = read(tmp_path, pixels=True, image_size=12)
    _, model, record = images
    facts = {"shape": list(data.X.shape), "image_size": data.facts["image_size"]}
    saved, folder = save(tmp_path, record, model, data=facts), tmp_path / "eos"
    assert saved.names == ("read", "predict")
    code = runpy.run_path(str(folder / "load.py"))
    for path, pixels in zip(sorted(tmp_path.glob("?/*.png")), data.X, strict=True):
        np.testing.assert_array_equal(code["read"](path), pixels)
    shape = torch.load(folder / "network.pt", weights_only=True)["input_shape"]
    assert shape == [3 if mode == "RGBA" else 1, 12, 12]


def test_network_of_the_user_is_imported_from_its_module(tmp_path):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(60, 6)).astype(np.float32), NAMES[np.arange(60) % 3]
    embedder = Embedder(networks.make_net(module__width=7)).fit(X, y)
    head = LinearHead().fit(embedder.transform(X), y)
    estimator = EmbeddingPipeline([("embedder", embedder), ("head", head)])
    save(tmp_path, make_record(X, y, source="", arguments={}), model_of(estimator, y))
    predicted, _ = predict_elsewhere(tmp_path, X)
    assert predicted["eos"] == head.predict(embedder.transform(X)).tolist()


def test_head_takes_embeddings_as_they_are_in_the_data(tmp_path):
    """The scaling is folded in, and neither scikit-learn nor this package is needed."""
    X, y = make_rows()
    record = make_record(X, y, source="embeddings.npz", arguments={})
    models = heads_of(X, y, StandardScaler())
    for model in models:
        assert save(tmp_path, record, model).file == "head.safetensors"
    predicted, has_package = predict_elsewhere(tmp_path, X)
    assert not has_package
    for model in models:
        assert predicted[model.method] == model.estimator.predict(X).tolist()


def test_head_on_what_an_embedder_returns_says_so(tmp_path):
    X, y = make_rows()
    model, _ = heads_of(X, y, FunctionTransformer(np.square))
    save(tmp_path, make_record(X, y, source="", arguments={}), model)
    with safe_open(tmp_path / "eos" / "head.safetensors", "np") as file:
        weights = file.get_tensor("weight")
    np.testing.assert_allclose(weights, model.estimator[-1].coef_, rtol=1e-6)
    assert "as FunctionTransformer returns them" in (tmp_path / "eos" / "load.py").read_text()


def test_loader_of_a_frozen_backbone_embeds_photos(tmp_path, monkeypatch):
    (tmp_path / "back'bone.py").write_text(BACKBONE)
    monkeypatch.chdir(tmp_path)
    backbone = "back'bone.py:make"
    for i in range(3):
        Image.new("RGB", (10, 10), (80 * i, 0, 0)).save(tmp_path / f"{i}.png")
    X, y = make_rows()
    record = make_record(X, y, source="photos", arguments={"backbone": backbone})
    saved = save(tmp_path, record, heads_of(X, y, StandardScaler())[0])
    assert saved.names == ("embed", "predict")
    # The folder of the report may go to another machine.
    (tmp_path / "back'bone.py").unlink()
    monkeypatch.chdir("/")
    assert str(tmp_path) not in (tmp_path / "eos" / "load.py").read_text()
    code = runpy.run_path(str(tmp_path / "eos" / "load.py"))
    photos = sorted(map(str, tmp_path.glob("*.png")))
    Z = code["embed"](photos)
    for one in (str(photos[0]), Path(photos[0])):
        np.testing.assert_allclose(code["embed"](one), Z[:1], rtol=1e-5)
    np.testing.assert_allclose(Z[:, 0], [0, 80, 160])
    assert len(code["predict"](Z)) == 3
    (tmp_path / "1.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"1\.png.* set on_error='nan'"):
        code["embed"](photos)
    Z = code["embed"](photos, on_error="nan")
    with pytest.raises(ValueError, match=r"Z has NaN or infinity in 1 rows: \[1\]\. Leave"):
        code["predict"](Z)


@pytest.mark.parametrize("shape", [(4, 7), (8,)])
def test_head_names_the_width_that_it_takes(tmp_path, shape):
    X, y = make_rows()
    save(tmp_path, make_record(X, y, source="", arguments={}), heads_of(X, y, StandardScaler())[0])
    predict = runpy.run_path(str(tmp_path / "eos" / "load.py"))["predict"]
    with pytest.raises(
        ValueError, match=rf"shape {re.escape(str(shape))}\. Pass rows of 8 numbers"
    ):
        predict(np.zeros(shape))


@pytest.mark.parametrize(
    ("embedded", "form", "inputs"),
    [
        ("photos", "with X as paths of image files.", "image files"),
        ("images", "with X as a uint8 array of shape (n, height, width, 3).", "images"),
        ("text", "with X as texts.", "texts"),
    ],
)
def test_loader_says_what_the_backbone_embeds(tmp_path, embedded, form, inputs):
    X, y = make_rows()
    facts = {"arguments": {"backbone": "timm/resnet50"}, "embedded": embedded}
    record = make_record(X, y, source="", **facts)
    save(tmp_path, record, heads_of(X, y, StandardScaler())[0])
    text = (tmp_path / "eos" / "load.py").read_text()
    assert f"\n{form}\n" in text
    assert f'"""Return the embeddings of {inputs}, or of one alone, of shape (n, 8).\n' in text
    assert "FeatureExtractor('timm/resnet50', **params)" in text


@pytest.mark.parametrize(
    ("classifier", "dtype"),
    [
        ("logistic", object),
        ("boosting", str),
        pytest.param("forest", object, marks=pytest.mark.slow),
    ],
)
def test_pipeline_of_a_table_fills_in_and_scales(tmp_path, classifier, dtype):
    X, y = make_rows(dtype)
    X[::7, 2] = np.nan
    params = {"samplers": ["eos"], "seeds": 1, "validation_folds": 0}
    model = refit_recommended(compare_table(X, y, classifier=CLASSIFIERS[classifier], **params))
    features = {"features": [f"f{i}" for i in range(8)]}
    record, (scaler, head) = make_record(X, y, source="", arguments={}, **features), model.estimator
    adjusted = make_pipeline(scaler, adjust_logits(head, y, 5.0))
    models = [model, model_of(adjusted, y, "logit_adjustment")]
    for saved in models:
        assert save(tmp_path, record, saved).file == "pipeline.skops"
    predicted, _ = predict_elsewhere(tmp_path, X)
    for saved in models:
        assert predicted[saved.method] == saved.estimator.predict(X).tolist()
    assert predicted["eos"] != predicted["logit_adjustment"]
    # Columns of a data frame are known by name, in whatever order they are.
    predict = runpy.run_path(str(tmp_path / "eos" / "load.py"))["predict"]
    frame = pd.DataFrame(X, columns=features["features"])
    assert [str(label) for label in predict(frame[frame.columns[::-1]])] == predicted["eos"]


def test_columns_without_a_header_are_found_by_their_numbers(tmp_path):
    X, y = make_rows()
    model = model_of(make_pipeline(StandardScaler(), GaussianNB()).fit(X, y), y)
    # As `load_table(header=False)` names them; column 3 held the labels.
    features = ["0", "1", "2", *map(str, range(4, 9))]
    save(tmp_path, make_record(X, y, source="", arguments={}, features=features), model)
    predict = runpy.run_path(str(tmp_path / "eos" / "load.py"))["predict"]
    frame = pd.DataFrame(np.insert(X, 3, np.nan, axis=1))
    assert predict(frame).tolist() == model.estimator.predict(X).tolist()


@pytest.mark.parametrize("labels", [[7, 12, 3], [True, False], ["b", "c", "a"]])
def test_labels_keep_their_type(tmp_path, labels):
    """Of all three files, also for one row alone."""
    X, y = make_rows()
    codes = np.unique(y, return_inverse=True)[1] % len(labels)
    # The strings in an array of objects.
    y = np.array(labels, dtype=object if "a" in labels else None)[codes]
    X = X.astype(np.float32)
    net = networks.make_net(module__n_features=8, module__n_classes=len(labels))
    bayes = make_pipeline(StandardScaler(), GaussianNB()).fit(X, y)
    models = [
        *heads_of(X, y, StandardScaler()),
        model_of(Embedder(net).fit(X, y), y, "network"),
        model_of(bayes, y, "none"),
    ]
    record = make_record(X, y, source="", arguments={})
    for model in models:
        save(tmp_path, record, model)
    for n_rows in (len(X), 1):
        predicted, _ = predict_elsewhere(tmp_path, X[:n_rows])
        for model in models:
            found, expected = predicted[model.method], model.estimator.predict(X[:n_rows])
            assert found == expected.tolist()
            assert {type(label) for label in found} <= {type(labels[0])}
    files = {path.name for path in tmp_path.glob("*/*") if path.suffix not in (".py", ".md")}
    assert files == {"head.safetensors", "network.pt", "pipeline.skops"}


def test_loader_returns_probabilities(images, tmp_path):
    X, y = make_rows()
    features = [f"f{i}" for i in range(8)]
    record = make_record(X, y, source="", arguments={}, features=features)
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    adjusted = make_pipeline(FunctionTransformer(), adjust_logits(forest, y, 0.5))
    found = {}
    for name, (rows, model, facts) in {
        "network": images,
        "head": (X, heads_of(X, y, StandardScaler())[1], record),
        "pipeline": (X, model_of(adjusted, y), record),
    }.items():
        (tmp_path / name).mkdir()
        assert write_model(tmp_path / name, facts, model, "rows").file.startswith(name)
        found[name] = runpy.run_path(str(tmp_path / name / "load.py"))["predict_proba"]
        expected = model.estimator.predict_proba(rows)
        np.testing.assert_allclose(found[name](rows), expected, rtol=1e-3, atol=1e-6)
    frame = pd.DataFrame(X, columns=features)[features[::-1]]
    np.testing.assert_array_equal(found["pipeline"](frame), found["pipeline"](X))


@pytest.mark.parametrize("kind", ["network", "head", "pipeline"])
def test_loader_decides_by_expected_cost(tmp_path, kind):
    costs = np.array([[0, 1, 2], [5, 0, 3], [9, 9, 0]])
    params = {"samplers": ["none"], "seeds": 1, "cost_matrix": costs}
    X, y = make_rows()
    if kind == "network":
        X, y = load_digit_images()
        X, y = X[y < 3], NAMES[y[y < 3]]
        [result] = compare(X, y, epochs=1, imbalance_ratio=10, **params)
    elif kind == "head":
        [result] = compare_embeddings(X, y, **params)
    else:
        [result] = compare_table(X, y, **params)
    model = refit(result, "cost")
    saved = save(tmp_path, make_record(X, y, source="", arguments={}), model)
    assert saved.file.startswith(kind)
    assert saved.costs == costs.tolist()
    predicted, has_package = predict_elsewhere(tmp_path, X)
    assert not has_package
    proba, classes = model.estimator.predict_proba(X), np.array(sorted(NAMES))
    decisions = classes[(proba @ costs).argmin(axis=1)]
    # A tie of two costs may end either way in float32.
    assert np.mean(np.array(predicted["cost"]) == decisions) > 0.995
    assert np.mean(model.estimator.predict(X) == decisions) > 0.995
    # The costs change decisions.
    assert np.mean(decisions != classes[proba.argmax(axis=1)]) > 0.01


@pytest.mark.parametrize("costs", [[[0, 1], [7, 0]], [[0, 7], [1, 0]], None])
def test_moved_threshold_is_saved_without_its_scorer(tmp_path, costs):
    X, y = make_rows()
    y = np.where(y == "cat", "cat", "other")
    scoring = None if costs else "f1"
    params = {"samplers": ["threshold"], "seeds": 1, "validation_folds": 0}
    [result] = compare_table(X, y, cost_matrix=costs, scoring=scoring, **params)
    model = refit(result, "threshold")
    save(tmp_path, make_record(X, y, source="", arguments={}), model)
    predicted, has_package = predict_elsewhere(tmp_path, X)
    assert not has_package
    expected = model.estimator.predict(X)
    assert predicted["threshold"] == expected.tolist()
    by_half = model.estimator.classes_[model.estimator.predict_proba(X).argmax(axis=1)]
    assert (expected != by_half).any()


def test_model_that_cannot_be_saved_is_told(tmp_path, monkeypatch):
    X, y = make_rows()
    model = refit_recommended(compare_table(X, y, samplers=["eos"], seeds=1))
    record = make_record(X, y, source="a.csv", arguments={})
    monkeypatch.setitem(sys.modules, "skops.io", None)
    saved = write_model(tmp_path, record, model, "rows")
    assert saved.file is None
    assert "imblearn-eos[share]" in saved.problem
    assert list(tmp_path.iterdir()) == []
