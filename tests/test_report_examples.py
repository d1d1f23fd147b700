"""Single rows on the page, and the model card."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from sklearn.utils import Bunch

from imblearn_eos.compare import compare_embeddings, make_record, write_report
from imblearn_eos.compare._examples import MAX_CHANGED, SIDE, find_examples
from imblearn_eos.datasets._labeled import LabeledData


def make_results(seed=0, n_wrong=2):
    """Return a first seed on two far clusters of embeddings, with rows of a wrong label."""
    rng = np.random.RandomState(seed)
    y = np.repeat(["common", "rare"], [80, 20])
    Z = rng.normal(size=(100, 4)) + 20 * (y == "rare")[:, None]
    wrong = np.arange(n_wrong)
    y_given = y.copy()
    y_given[wrong] = "rare"
    train, test = np.arange(0, 100, 2), np.arange(1, 100, 2)
    y_test = y_given[test]
    fitted = Bunch(
        train=train,
        test=test,
        Z_train=Z[train],
        Z_test=Z[test],
        y_train=y_given[train],
        y_test=y_test,
        samplers={},
        predictions={"none": np.full(len(test), "common"), "eos": y_test, "adasyn": None},
    )
    counts = dict(zip(*np.unique(fitted.y_train, return_counts=True), strict=True))
    return [Bunch(fitted=fitted, train_counts=counts)], y_given


def open_picture(uri):
    head, _, content = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_changed_rows_are_those_of_the_rarest_classes():
    results, y = make_results()
    found = find_examples(results, "eos", None)
    n_rare = int((y[1::2] == "rare").sum())
    assert found.n_changed == {"better": n_rare, "worse": 0}
    assert len(found.changed["better"]) == min(n_rare, MAX_CHANGED)
    first = found.changed["better"][0]
    assert (first.name, first.label) == ("row 1", "rare")
    assert (first.before, first.after) == ("common", "rare")
    assert first.picture is None
    for method in ("none", "adasyn", "network"):
        assert find_examples(results, method, None).changed == {}


def test_rows_among_another_class_are_listed_by_their_names():
    results, y = make_results()
    ids = np.array([f"patient {i}" for i in range(100)], dtype=object)
    data = LabeledData("embeddings", np.zeros((100, 4)), y, ids=ids)
    found = find_examples(results, "eos", data)
    assert found.n_suspects == 2
    assert found.n_searched == 100
    names = {(row.name, row.part, row.label, row.neighbors) for row in found.suspects}
    assert names == {
        ("patient 0", "train", "rare", "common"),
        ("patient 1", "test", "rare", "common"),
    }


def test_equal_rows_are_no_neighbors_of_themselves():
    results, _ = make_results(n_wrong=0)
    fitted = results[0].fitted
    fitted.Z_train[:30] = 1.0
    assert find_examples(results, "eos", None).n_suspects == 0
    fitted.y_train[5] = "rare"
    assert find_examples(results, "eos", None).n_suspects == 1


@pytest.mark.parametrize("is_buffer", [False, True])
def test_photos_are_small_upright_thumbnails(tmp_path, is_buffer):
    results, y = make_results()
    image, exif = Image.new("CMYK", (400, 100), "red"), Image.Exif()
    exif[274] = 6  # lies on its side
    path = tmp_path / "class" / "photo.jpg"
    path.parent.mkdir()
    image.save(path, exif=exif)
    X = np.full(100, str(path), dtype=object)
    if is_buffer:
        X[:] = [path.read_bytes()] * 100
    X[3] = str(tmp_path / "gone.jpg")
    found = find_examples(results, "eos", LabeledData("photos", X, y))
    shown = [row for row in found.changed["better"] if row.picture is not None]
    assert open_picture(shown[0].picture).size == (SIDE // 4, SIDE)
    assert shown[0].name == ("row 1" if is_buffer else "photo.jpg")
    assert len(shown) == len(found.changed["better"])


def test_photos_that_are_gone_have_a_name_only(tmp_path):
    results, y = make_results()
    X = np.full(100, str(tmp_path / "gone.jpg"), dtype=object)
    found = find_examples(results, "eos", LabeledData("photos", X, y))
    assert {(row.name, row.picture) for row in found.changed["better"]} == {("gone.jpg", None)}


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 1000])
def test_pixels_are_shown_whatever_their_range(n_channels, scale):
    results, y = make_results()
    X = np.zeros((100, n_channels, 8, 10), dtype=np.float32)
    X[:, :, :4] = scale
    picture = open_picture(
        find_examples(results, "eos", LabeledData("images", X, y)).changed["better"][0].picture
    )
    assert picture.size == (90, 72)
    grey = np.asarray(picture.convert("L"))
    assert grey[:30].min() > 240
    assert grey[-30:].max() < 15


def test_texts_are_shown_as_text():
    results, y = make_results()
    texts = np.array([f"<b>sentence</b>\n{i} " + "long " * 100 for i in range(100)], dtype=object)
    row = find_examples(results, "eos", LabeledData("text", texts, y)).changed["better"][0]
    assert row.name.startswith("<b>sentence</b> 1 long")
    assert len(row.name) == 161


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory):
    """Return the folder of a report on embeddings with a given test part."""
    rng = np.random.RandomState(0)
    y = np.repeat(["a: b", "<i>c</i>", 'd "e"'], [200, 60, 30])
    centers = dict(zip(np.unique(y), rng.normal(size=(3, 20)), strict=True))
    Z = rng.normal(size=(len(y), 20)) + 0.4 * np.array([centers[label] for label in y])
    test = np.arange(0, len(y), 3)
    results = list(compare_embeddings(Z, y, test=test, samplers=["smote", "eos"], seeds=2))
    arguments = {"seeds": 2, "trained_on_rows": False}
    record = make_record(Z, y, source='photos: "mine"', arguments=arguments)
    folder = tmp_path_factory.mktemp("embeddings")
    write_report(folder, record, results)
    return folder, results


def test_report_of_embeddings_has_a_head_and_says_what_was_assumed(embeddings):
    folder, _ = embeddings
    names = {"README.md", "load.py", "head.safetensors", "report.html", "results.json"}
    assert {file.name for file in folder.iterdir()} == names
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "taken to come from a network that was not trained on these rows" in text
    # With a given test part, two seeds are no reason to doubt.
    assert "too few" not in text
    assert 'class="interval"' in text
    assert "only differences of the balanced accuracy have an interval, because" in text


def test_model_card_has_the_form_of_the_hub(embeddings):
    hub = pytest.importorskip("huggingface_hub")
    folder, _ = embeddings
    card = hub.ModelCard.load(folder / "README.md")
    assert card.data.library_name == "pytorch"
    assert card.data.pipeline_tag == "tabular-classification"
    found = {result.metric_type: result for result in card.data.eval_results}
    assert list(found) == ["balanced_accuracy", "f1", "recall", "false_positive_rate"]
    assert found["f1"].dataset_name == 'photos: "mine"'
    for heading in ("Data", "Metrics", "Use", "Intended use", "Limitations"):
        assert f"\n## {heading}\n" in card.text
    assert 0 < found["balanced_accuracy"].metric_value < 1
    metrics = [line for line in card.text.splitlines() if " % | " in line]
    assert len(metrics) == 4
    for line in metrics:
        low, high = line.split(" | ")[2].removesuffix(" %").split(" to ")
        assert 0 <= float(low) < float(high) <= 100
    assert "The intervals follow from the number of test rows.\n" in card.text
    assert '<i>c</i>, a: b, d "e"' in card.text


@pytest.mark.parametrize(
    ("embedded", "task"),
    [("photos", "image"), ("images", "image"), ("text", "text"), (None, "tabular")],
)
def test_task_of_a_card_is_that_of_what_was_embedded(embeddings, tmp_path, embedded, task):
    _, results = embeddings
    facts = {"arguments": {}, "embedded": embedded}
    record = make_record(np.zeros((290, 20)), np.arange(290) % 3, source="rows", **facts)
    write_report(tmp_path, record, results)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert card.count(f": {task}-classification\n") == 2


def test_near_chance_no_method_is_on_top(tmp_path):
    rng = np.random.RandomState(0)
    Z, y = rng.normal(size=(300, 5)), np.repeat(["a", "b"], [220, 80])
    results = list(compare_embeddings(Z, y, samplers=["eos"], seeds=3))
    record = make_record(Z, y, source="noise", arguments={})
    text = write_report(tmp_path, record, results).read_text(encoding="utf-8")
    assert '<p class="verdict">Nothing was learnt' in text
    for mark in ('class="dots"', 'class="chosen"', "Corrected", "was chosen by validation"):
        assert mark not in text
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Nothing was learnt" in card
