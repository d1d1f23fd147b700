"""The study of benchmarks/cifar_lt.py: its methods, and that it continues where it was stopped."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import balanced_accuracy_score

# The benchmarks lie beside the tests, and need kornia and matplotlib.
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
_cifar, _gan, _heads, cifar_lt, cifar_lt_tables = map(
    pytest.importorskip, ["_cifar", "_gan", "_heads", "cifar_lt", "cifar_lt_tables"]
)

METHODS = ["network", "logit adjustment", "SMOTE", "EOS, neighborhood", "EOS"]


def make_pack(file, n_train=40, n_test=4):
    """Write images whose classes differ by colour, as a pack of JPEG files."""
    Image = pytest.importorskip("PIL.Image")
    rng, files, labels, is_test = np.random.RandomState(0), [], [], []
    for part, n in enumerate((n_train, n_test)):
        for label in range(10):
            for _ in range(n):
                image = rng.randint(0, 60, (32, 32, 3)) + 18 * label
                stream = io.BytesIO()
                Image.fromarray(image.astype(np.uint8)).save(stream, "JPEG")
                files.append(stream.getvalue())
                labels.append(label)
                is_test.append(part == 1)
    np.savez(
        file,
        jpeg=np.frombuffer(b"".join(files), dtype=np.uint8),
        offset=np.cumsum([0, *map(len, files)]),
        label=np.array(labels, dtype=np.uint8),
        is_test=np.array(is_test),
    )


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "pack.npz"
    make_pack(file)
    return file


def run(monkeypatch, pack, folder, *extra):
    arguments = ["--data", str(pack), "--output", str(folder), "--reduced", "--epochs", "1"]
    arguments += ["--subsets", "1", "--ratios", "3", "--device", "cpu", "--methods", *METHODS]
    monkeypatch.setattr(sys, "argv", ["cifar_lt.py", *arguments, *extra])
    cifar_lt.main()
    return cifar_lt.Results(folder / "results.jsonl").records


@pytest.fixture(scope="module")
def study(pack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as monkeypatch:
        records = run(monkeypatch, pack, folder)
    return folder, records


def test_a_pack_of_jpeg_files_is_read(pack):
    X_train, y_train, X_test, y_test = _cifar.load_images(pack)
    assert X_train.shape == (400, 3, 32, 32)
    assert X_train.dtype == X_test.dtype == np.uint8
    assert np.bincount(y_train).tolist() == [40] * 10
    assert np.bincount(y_test).tolist() == [4] * 10
    brightness = [X_test[y_test == label].mean() for label in range(10)]
    assert brightness == sorted(brightness)


def test_a_study_scores_each_method_with_its_default_and_its_choice(study):
    _, records = study
    kinds = [record["record"] for record in records]
    assert kinds == ["study", *["network"] * 3, *["method"] * len(METHODS)]
    for record in records[4:]:
        assert sum(row["is_default"] for row in record["rows"]) == 1
        assert sum(row["is_chosen"] for row in record["rows"]) == 1
        for row in record["rows"]:
            assert 0 <= row["scores"]["balanced_accuracy"] <= 1
            assert len(row["recall"]) == 10
            assert np.isclose(np.mean(row["recall"]), row["scores"]["balanced_accuracy"])
    rows = records[-2]["rows"]
    assert {row["setting"]["n_neighbors"] for row in rows} == set(_heads.NEIGHBORS)


def test_a_study_is_not_overwritten(study, pack, monkeypatch):
    folder, records = study
    with pytest.raises(SystemExit, match="Add --resume to continue it"):
        run(monkeypatch, pack, folder)
    with pytest.raises(SystemExit, match="begun with epochs=1, and now is 2"):
        run(monkeypatch, pack, folder, "--resume", "--epochs", "2")
    assert cifar_lt.Results(folder / "results.jsonl").records == records


def test_a_study_continues_after_the_last_whole_line(study, pack, monkeypatch, tmp_path):
    folder, records = study
    (tmp_path / "embeddings").symlink_to(folder / "embeddings")
    lines = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "results.jsonl").write_text("".join(lines[:-2]) + lines[-2][:50])
    monkeypatch.setattr(_cifar, "_train", None)  # no network is trained again
    found = run(monkeypatch, pack, tmp_path, "--resume")
    assert [record["record"] for record in found[len(records) - 2 :]] == ["study", *["method"] * 2]
    for record, expected in zip(found[-2:], records[-2:], strict=True):
        assert record["method"] == expected["method"]
        for row, expected_row in zip(record["rows"], expected["rows"], strict=True):
            assert row["scores"] == expected_row["scores"]
    before = len(found)
    assert len(run(monkeypatch, pack, tmp_path, "--resume")) == before + 1  # nothing was left


def test_a_method_that_fails_is_recorded_and_the_study_goes_on(study, pack, monkeypatch, tmp_path):
    folder, records = study
    (tmp_path / "embeddings").symlink_to(folder / "embeddings")

    class Failing:
        def fit_resample(self, X, y):
            raise ValueError("Expected n_neighbors <= n_samples_fit")

    monkeypatch.setitem(_heads.SAMPLERS, "SMOTE", lambda seed: Failing())
    found = run(monkeypatch, pack, tmp_path)
    failed = next(record for record in found if record.get("method") == "SMOTE")
    assert failed["error"] == "ValueError: Expected n_neighbors <= n_samples_fit"
    assert failed["rows"] == []
    assert len(found) == len(records)
    study = cifar_lt_tables.Study(found, ratio=3)
    assert "SMOTE" not in cifar_lt_tables.base_names(study, "CE")
    assert study.errors == {f"SMOTE failed ({failed['error']})"}


def test_networks_are_trained_once(pack, monkeypatch, tmp_path):
    seconds = []
    for _ in range(2):
        records = run(monkeypatch, pack, tmp_path, "--methods", "network")
        networks = [record for record in records if record["record"] == "network"]
        seconds.append([record["seconds"]["training"] for record in networks])
        shutil.rmtree(tmp_path / "embeddings")
        (tmp_path / "results.jsonl").unlink()
    # What the cache of the Embedder returns took the time that it took then.
    assert seconds[0] == seconds[1]


def test_tables_and_plots_show_the_study(study, monkeypatch, capsys):
    folder, records = study
    monkeypatch.setattr(sys, "argv", ["cifar_lt_tables.py", str(folder / "results.jsonl")])
    cifar_lt_tables.main()
    text = (folder / "tables.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    score = 100 * records[-1]["rows"][0]["scores"]["balanced_accuracy"]
    assert f"| EOS               | {score:.1f} " in text
    assert "| EOS, K=10, over the network " in text
    plots = {file.name for file in folder.glob("exponential_3/*.png")}
    assert plots == {"methods.png", "neighbors.png", "recall.png"}


def test_published_tables_are_those_of_the_published_results(monkeypatch, tmp_path):
    published = Path(cifar_lt.__file__).parent / "cifar_lt"
    shutil.copy(published / "results.jsonl", tmp_path)
    file = str(tmp_path / "results.jsonl")
    monkeypatch.setattr(sys, "argv", ["cifar_lt_tables.py", file])
    cifar_lt_tables.main()
    assert (tmp_path / "tables.md").read_text() == (published / "tables.md").read_text()


def test_differences_are_paired_by_subset():
    def record(method, subset, score):
        row = {"scores": {"balanced_accuracy": score}, "setting": {}}
        return {
            "record": "method",
            "case": {"recipe": "CE", "kind": "step", "ratio": 10, "subset": subset, "seed": 0},
            "method": method,
            "rows": [row | {"is_default": True, "is_chosen": True}],
        }

    scores = [(0.5, 0.6), (0.1, 0.3), (0.2, 0.5)]
    records = [
        record(method, subset, score)
        for subset, pair in enumerate(scores)
        for method, score in zip("ab", pair, strict=True)
    ]
    found = cifar_lt_tables.Study(records, "step", 10).difference("CE", "b, chosen", "a, chosen")
    # 4.303 is the quantile of t with 2 degrees of freedom; 10 is the deviation of 10, 20, 30.
    np.testing.assert_allclose(found, (20, 4.303 * 10 / np.sqrt(3)), rtol=1e-3)
    assert cifar_lt_tables.Study(records).rows == {}


# --- Methods --------------------------------------------------------------------------------------


def make_network(seed=0, counts=(200, 60, 20)):
    rng = np.random.RandomState(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    centres = 1.5 * np.random.RandomState(9).normal(size=(len(counts), 4))
    y_new = np.repeat(np.arange(len(counts)), 50)
    Z, Z_new = (rng.normal(size=(len(labels), 4)) + centres[labels] for labels in (y, y_new))
    head = _heads.LinearHead().fit(Z, y)
    return _heads.Network(
        _cifar.Embedded(Z, y, Z_new, y_new, head.coef_, head.intercept_, False, 99)
    )


def test_settings_are_chosen_on_rows_left_out():
    folds, method = [make_network(1), make_network(2)], _heads.METHODS["logit adjustment"]
    found = _heads.choose(method, folds)
    best, score = found[0]
    y = np.concatenate([fold.y_new for fold in folds])
    expected = {}
    for tau in _heads.TAUS:
        logits = [
            fold.Z_new @ fold.own_head.coef.T
            + fold.own_head.intercept
            - tau * np.log(fold.counts / fold.counts.sum())
            for fold in folds
        ]
        expected[tau] = balanced_accuracy_score(y, np.concatenate(logits).argmax(axis=1))
    assert score == pytest.approx(max(expected.values()))
    assert expected[best["tau"]] == pytest.approx(score)
    assert len(found) == len(_heads.TAUS)


def test_of_equal_settings_the_default_is_chosen():
    method = _heads.Method(lambda network, a: network.own_head, {"a": (1, 2, 3)}, ({"a": 2},))
    assert _heads.choose(method, [make_network()])[0][0] == {"a": 2}


def test_tau_normalisation_makes_weights_of_one_length():
    head = _heads.tau_normalize(make_network(), tau=1.0)
    np.testing.assert_allclose(np.linalg.norm(head.coef, axis=1), 1)
    assert not head.intercept.any()


def test_learnable_weight_scaling_is_at_a_minimum():
    network = make_network()
    own, scaled = network.own_head, _heads.scale_weights(network)
    scale = scaled.coef[:, 0] / own.coef[:, 0]
    np.testing.assert_allclose(scaled.coef, scale[:, np.newaxis] * own.coef)
    np.testing.assert_allclose(scaled.intercept, scale * own.intercept)

    def loss(scale):
        log_proba = log_softmax(scale * own.logits(network.Z), axis=1)
        return -np.mean([log_proba[network.y == c, c].mean() for c in range(3)])

    assert loss(scale) < loss(np.ones(3))
    rng = np.random.RandomState(0)
    assert all(loss(scale) <= loss(scale + 0.05 * rng.normal(size=3)) for _ in range(20))


def test_class_weights_are_random_over_sampling_without_the_noise():
    network = make_network(counts=(200, 100, 50))
    weighted = network.refit("none", class_weight="balanced")
    assert weighted.rows is None
    copies = np.concatenate([np.repeat(np.flatnonzero(network.y == c), 2**c) for c in range(3)])
    head = _heads.LinearHead(alpha=0.01).fit(network.Z[copies], network.y[copies])
    centred = weighted.coef - weighted.coef.mean(axis=0)
    np.testing.assert_allclose(centred, head.coef_ - head.coef_.mean(axis=0), atol=0.02)


@pytest.mark.parametrize("name", list(_heads.METHODS))
def test_every_method_makes_a_head(name):
    method, network = _heads.METHODS[name], make_network()
    head = method.make(network, **method.fixed[0])
    result = _heads.evaluate(head, network)
    assert head.logits(network.Z_new).shape == (150, 3)
    assert result["scores"]["balanced_accuracy"] > 0.5
    json.dumps(result)


# --- Images that are made -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["random", "SMOTE", "GAN"])
def test_added_images_balance_classes(how):
    rng = np.random.RandomState(0)
    X, y = rng.randint(0, 256, (30, 3, 32, 32)).astype(np.uint8), np.repeat([0, 1], [20, 10])
    budget = _cifar.Budget(epochs=1, batch_size=8)
    X_all, y_all, n_parameters = _cifar.balance_images(X, y, how, budget, seed=0)
    assert X_all.dtype == np.uint8
    assert X_all.shape == (40, 3, 32, 32)
    np.testing.assert_array_equal(X_all[:30], X)
    assert np.bincount(y_all).tolist() == [20, 20]
    assert (n_parameters > 0) == (how == "GAN")
    again = _cifar.balance_images(X, y, how, budget, seed=0)[0]
    np.testing.assert_array_equal(X_all, again)


def test_the_gan_makes_nothing_for_balanced_classes():
    X, y = np.zeros((4, 3, 32, 32), dtype=np.uint8), np.array([0, 0, 1, 1])
    assert len(_gan.balance(X, y, n_steps=1, batch_size=4)[0]) == 4
