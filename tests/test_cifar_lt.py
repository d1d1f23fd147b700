"""The study of benchmarks/cifar_lt.py: its records, and that it continues where it was stopped."""

import io
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tabulate")
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _cifar_images  # noqa: E402
import _embeddings  # noqa: E402
import _heads  # noqa: E402
import _networks  # noqa: E402
import _results  # noqa: E402
import _study  # noqa: E402
import _study_methods  # noqa: E402
import cifar_lt  # noqa: E402
import cifar_lt_embeddings  # noqa: E402
import cifar_lt_pages  # noqa: E402
import cifar_lt_variants  # noqa: E402

from imblearn_eos.training import _acceleration  # noqa: E402

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
    arguments = ["--data", str(pack)] if pack else []
    arguments += ["--output", str(folder), "--reduced", "--epochs", "1"]
    arguments += ["--subsets", "0", "--ratios", "3", "--device", "cpu", "--jobs", "1"]
    arguments += ["--methods", *METHODS]
    monkeypatch.setattr(sys, "argv", ["cifar_lt.py", *arguments, *extra])
    cifar_lt.main()
    return _results.Results(folder / "results").records


@pytest.fixture(scope="module")
def study(pack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as monkeypatch:
        records = run(monkeypatch, pack, folder)
    return folder, records


def test_a_pack_of_jpeg_files_is_read(pack):
    X_train, y_train, X_test, y_test = _cifar_images.load_images(pack)
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
            assert {len(gap) for gap in row["gap"].values()} == {10}
            assert set(row.get("class_counts", [40])) == {40}  # all classes as the largest
    rows = records[-2]["rows"]
    assert {row["setting"]["n_neighbors"] for row in rows} == set(_study_methods.NEIGHBORS)


def test_a_study_is_not_overwritten(study, pack, monkeypatch):
    folder, records = study
    with pytest.raises(SystemExit, match="Add --resume to continue it"):
        run(monkeypatch, pack, folder)
    with pytest.raises(SystemExit, match="begun with epochs=1, and now is 2"):
        run(monkeypatch, pack, folder, "--resume", "--epochs", "2")
    assert _results.Results(folder / "results").records == records


def test_a_study_of_before_there_were_held_out_images_goes_on_without(
    study, pack, monkeypatch, tmp_path
):
    (tmp_path / "embeddings").symlink_to(study[0] / "embeddings")
    folds = ["--folds", "0", "--methods", "network"]
    run(monkeypatch, pack, tmp_path, *folds)
    file = tmp_path / "results" / "study.jsonl"
    file.write_text(file.read_text().replace('"hold_out":false,', ""))
    assert "hold_out" not in file.read_text()
    with pytest.raises(SystemExit, match="begun with hold_out=False, and now is True"):
        run(monkeypatch, pack, tmp_path, "--resume", "--hold-out")
    assert len(run(monkeypatch, pack, tmp_path, "--resume", *folds)) == 4


def test_a_study_continues_after_the_last_whole_line(study, pack, monkeypatch, tmp_path):
    folder, records = study
    (tmp_path / "embeddings").symlink_to(folder / "embeddings")
    shutil.copytree(folder / "results", tmp_path / "results")
    (file,) = (tmp_path / "results").glob("CE_*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-2]) + lines[-2][:50])
    monkeypatch.setattr(_networks, "train", None)  # no network is trained again
    found = run(monkeypatch, pack, tmp_path, "--resume")
    assert sorted(record["record"] for record in found[len(records) - 2 :]) == ["method"] * 3
    for record, expected in zip(found[-2:], records[-2:], strict=True):
        assert record["method"] == expected["method"]
        for row, expected_row in zip(record["rows"], expected["rows"], strict=True):
            assert row["scores"] == expected_row["scores"]
    before = len(found)
    assert len(run(monkeypatch, pack, tmp_path, "--resume")) == before + 1  # nothing was left


def test_a_method_that_fails_is_recorded_and_the_study_goes_on(
    study, pack, monkeypatch, tmp_path, capsys
):
    folder, records = study
    (tmp_path / "embeddings").symlink_to(folder / "embeddings")

    class Failing:
        def fit_resample(self, X, y):
            raise ValueError("Expected n_neighbors <= n_samples_fit")

    monkeypatch.setitem(_heads.SAMPLERS, "SMOTE", lambda seed, **params: Failing())
    found = run(monkeypatch, pack, tmp_path)
    failed = next(record for record in found if record.get("method") == "SMOTE")
    assert failed["error"] == "ValueError: Expected n_neighbors <= n_samples_fit"
    assert failed["rows"] == []
    assert len(found) == len(records)
    text = print_study(monkeypatch, capsys, tmp_path)
    assert f"| CE | 0 | SMOTE | {failed['error']} |" in text
    assert text.count("SMOTE") == 1
    monkeypatch.undo()
    found = run(monkeypatch, pack, tmp_path, "--resume")
    assert len(found) == len(records) + 2
    assert found[-1]["method"] == "SMOTE"
    assert "error" not in found[-1]
    assert failed["error"] not in print_study(monkeypatch, capsys, tmp_path)


def test_bytes_of_embeddings_are_put_together_as_they_were():
    # Every finite number of float16, and subnormal ones.
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    Z = numbers[np.isfinite(numbers)][:63480].reshape(-1, 8)
    joined = _embeddings.join_bytes(_embeddings.split_bytes(Z))
    assert joined.dtype == np.float16
    assert joined.shape == Z.shape
    np.testing.assert_array_equal(joined.view(np.uint16), Z.view(np.uint16))


@pytest.mark.parametrize("largest", [6e4, 7e4])
def test_embeddings_too_large_for_float16_are_kept_as_they_are(study, tmp_path, largest):
    (file,) = (study[0] / "embeddings").glob("*_all_*")
    embedded = _embeddings.read_embedded(file)
    embedded.Z[0, 0] = np.float32(largest) + np.float32(1 / 64)
    _embeddings.write_embedded(tmp_path / "one.npz", embedded)
    found = _embeddings.read_embedded(tmp_path / "one.npz").Z
    assert found.dtype == np.float32
    expected = embedded.Z.astype(np.float16).astype(np.float32) if largest < 65504 else embedded.Z
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_a_study_records_the_precision_that_a_network_was_trained_in(
    pack, monkeypatch, tmp_path, precision
):
    monkeypatch.setattr(_acceleration, "has_bfloat16", lambda device: precision == "bfloat16")
    _, network, _ = run(monkeypatch, pack, tmp_path, "--folds", "0", "--methods", "network")
    assert network["precision"] == precision


def test_embeddings_of_before_precision_was_recorded_are_read(study, tmp_path):
    (file,) = (study[0] / "embeddings").glob("*_all_*")
    with np.load(file) as arrays:
        np.savez(tmp_path / "old.npz", **{k: v for k, v in arrays.items() if k != "precision"})
    assert _embeddings.read_embedded(file).precision in ("bfloat16", "float32")
    assert _embeddings.read_embedded(tmp_path / "old.npz").precision == ""


def test_the_test_images_have_no_part_in_choices(study, pack, monkeypatch, tmp_path):
    folder, records = study
    shutil.copytree(folder / "embeddings", tmp_path / "embeddings")
    (file,) = (tmp_path / "embeddings").glob("*_all_*")
    embedded = _embeddings.read_embedded(file)
    embedded.Z_new = np.random.RandomState(0).normal(size=embedded.Z_new.shape)
    _embeddings.write_embedded(file, embedded)
    found = run(monkeypatch, pack, tmp_path)
    for record, expected in zip(found[4:], records[4:], strict=True):
        chosen, expected_chosen = (
            next(row["setting"] for row in part["rows"] if row["is_chosen"])
            for part in (record, expected)
        )
        assert chosen == expected_chosen
        assert record["validation"] == expected["validation"]
        assert record["rows"][0]["scores"] != expected["rows"][0]["scores"]


def test_without_methods_networks_are_only_trained(study, pack, monkeypatch, tmp_path):
    folder, _ = study
    (tmp_path / "embeddings").symlink_to(folder / "embeddings")
    found = run(monkeypatch, pack, tmp_path, "--methods")
    assert [record["record"] for record in found] == ["study", *["network"] * 3]


def test_without_folds_all_settings_are_the_default(study, pack, monkeypatch, tmp_path, capsys):
    folder, records = study
    shutil.copytree(folder / "embeddings", tmp_path / "embeddings")
    for file in (tmp_path / "embeddings").glob("*_without*"):
        file.unlink()
    monkeypatch.setattr(_networks, "train", None)  # no network is trained without a fold
    found = run(monkeypatch, pack, tmp_path, "--folds", "0")
    assert [record["record"] for record in found] == ["study", "network", *["method"] * 5]
    for record, expected in zip(found[2:], records[4:], strict=True):
        assert record["n_settings"] == 1
        assert all(row["is_chosen"] == row["is_default"] for row in record["rows"])
        assert record["rows"][0]["scores"] == expected["rows"][0]["scores"]
    text = print_study(monkeypatch, capsys, tmp_path)
    assert "tuned minus" not in text
    tau = f"{100 * found[3]['rows'][1]['scores']['balanced_accuracy']:.1f}"
    assert re.search(rf"^\| 0.5 \| {tau} ", text, re.MULTILINE)


def test_settings_are_chosen_on_the_half_of_the_test_images_that_does_not_score(
    study, pack, monkeypatch, tmp_path, capsys
):
    (file,) = (study[0] / "embeddings").glob("*_all_*")
    embedded = _embeddings.read_embedded(file)
    kept, scored = _heads.Network(embedded).halves()
    assert len(kept.Z_new) == len(scored.Z_new) == len(embedded.Z_new) / 2
    assert np.bincount(kept.y_new).tolist() == np.bincount(scored.y_new).tolist() == [2] * 10
    monkeypatch.setattr(_networks, "train", None)  # no network is trained without a fold
    found = []
    for name, noisy in {"as it is": None, "kept": kept, "scored": scored}.items():
        folder = tmp_path / name
        (folder / "embeddings").mkdir(parents=True)
        if noisy:
            changed = np.isin(embedded.Z_new, noisy.Z_new).all(axis=1)
            noise = np.random.RandomState(0).normal(size=embedded.Z_new.shape)
            parts = replace(embedded, Z_new=np.where(changed[:, None], noise, embedded.Z_new))
            _embeddings.write_embedded(folder / "embeddings" / file.name, parts)
        else:
            shutil.copy(file, folder / "embeddings")
        records = run(monkeypatch, pack, folder, "--hold-out", "--methods", "network", "SMOTE")
        assert [record["record"] for record in records] == ["study", "network", *["method"] * 2]
        found.append(records[2:])
    for before, other_choice, other_score in zip(*found, strict=True):
        assert before["n_settings"] == {"network": 1, "SMOTE": 24}[before["method"]]
        assert other_score["validation"] == before["validation"] != other_choice["validation"]
        assert other_score["rows"][0]["scores"] != before["rows"][0]["scores"]
        assert other_choice["rows"][0]["scores"] == before["rows"][0]["scores"]
    text = print_study(monkeypatch, capsys, folder)
    assert "1 epochs, CE † ‡ |" in text
    assert "‡ Settings were chosen on half of the test images" in text


def print_study(monkeypatch, capsys, folder):
    monkeypatch.setattr(sys, "argv", ["cifar_lt_pages.py", "--study", str(folder)])
    capsys.readouterr()
    cifar_lt_pages.main()
    return capsys.readouterr().out


def test_a_network_that_fails_is_recorded_and_the_others_are_scored(
    pack, monkeypatch, tmp_path, capsys
):
    embed = _networks.embed

    def embed_or_diverge(images, case, *args):
        if case.recipe == "focal":
            raise ValueError("The embeddings contain NaN or infinity")
        return embed(images, case, *args)

    monkeypatch.setattr(cifar_lt, "embed", embed_or_diverge)
    options = "--methods", "network", "--recipes", "focal", "CE", "--folds", "0"
    found = run(monkeypatch, pack, tmp_path, *options)
    assert [record["record"] for record in found] == ["study", "network", "method", "network"]
    failed = found[-1]
    assert failed["error"] == "ValueError: The embeddings contain NaN or infinity"
    assert [record["case"]["recipe"] for record in found[1:]] == ["CE", "CE", "focal"]
    assert _study.Study(found, ratio=3).recipes == ["CE"]
    text = print_study(monkeypatch, capsys, tmp_path)
    assert f"| focal | 0 | training | {failed['error']} |" in text


@pytest.mark.slow
def test_several_processes_give_the_same_study(study, pack, monkeypatch, tmp_path):
    _, records = study
    found = run(monkeypatch, pack, tmp_path, "--jobs", "2")
    assert [record["record"] for record in found] == [record["record"] for record in records]
    assert "2 processes" in found[0]["machine"]
    for record, expected in zip(found[4:], records[4:], strict=True):
        assert record["method"] == expected["method"]
        row, expected_row = record["rows"][0], expected["rows"][0]
        assert row["setting"] == expected_row["setting"]
        # Sums over other numbers of threads are rounded differently.
        gap, expected_gap = row["gap"]["before"], expected_row["gap"]["before"]
        np.testing.assert_allclose(gap, expected_gap, rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "1"], "--folds must be at least 2, or 0, got 1"),
        (["--hold-out", "--folds", "2"], "--hold-out needs no folds, got --folds 2"),
        (["--epochs", "0"], "must be at least 1, got 0"),
        (["--methods", "SMOT"], "--methods: there is no 'SMOT'. There are: network, "),
        (["--data", "nowhere.npz"], "--data: there is no nowhere.npz"),
        (["--jobs", "0"], "must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_explained(options, message, pack, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, pack, tmp_path, *options)
    assert message in capsys.readouterr().err


def test_networks_are_trained_once(pack, monkeypatch, tmp_path):
    seconds = []
    for _ in range(2):
        records = run(monkeypatch, pack, tmp_path, "--methods", "network")
        networks = [record for record in records if record["record"] == "network"]
        seconds.append([record["seconds"]["training"] for record in networks])
        shutil.rmtree(tmp_path / "embeddings")
        shutil.rmtree(tmp_path / "results")
    # What the cache of the Embedder returns took the time that it took then.
    assert seconds[0] == seconds[1]


def test_without_data_heads_are_refitted_on_the_embeddings_kept(study, monkeypatch, tmp_path):
    folder, expected = study
    shutil.copytree(folder / "embeddings", tmp_path / "embeddings")
    monkeypatch.setattr(cifar_lt, "load_images", None)
    records = run(monkeypatch, None, tmp_path)
    assert records[0]["data"] == "embeddings kept before"
    assert len(records) == len(expected)
    for record, other in zip(records[1:], expected[1:], strict=True):
        assert without_seconds(record) == without_seconds(other)
    # What the study was begun with remains what it says.
    shutil.rmtree(tmp_path / "results")
    shutil.copytree(folder / "results", tmp_path / "results")
    assert run(monkeypatch, None, tmp_path, "--resume")[1]["data"] == expected[0]["data"]


def test_embeddings_of_another_folder_are_read(study, monkeypatch, tmp_path):
    folder, expected = study
    embeddings = ["--embeddings", str(folder / "embeddings")]
    records = run(monkeypatch, None, tmp_path, *embeddings, "--methods", "network")
    assert without_seconds(records[1:]) == without_seconds(expected[1:5])
    assert not (tmp_path / "embeddings").exists()


def without_seconds(value):
    if isinstance(value, dict):
        return {key: without_seconds(v) for key, v in value.items() if key != "seconds"}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def test_without_data_missing_embeddings_are_named_and_nothing_is_written(
    study, monkeypatch, tmp_path
):
    shutil.copytree(study[0] / "embeddings", tmp_path / "embeddings")
    gone = next((tmp_path / "embeddings").glob("*without1*"))
    gone.unlink()
    message = (
        r"must have one file CE_.*without1of2_\*\.npz, got 0\. This makes it: python .*--epochs 1"
    )
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, None, tmp_path)
    assert not (tmp_path / "results").exists()


def test_tables_show_the_study(study, monkeypatch, capsys):
    folder, records = study
    text = print_study(monkeypatch, capsys, folder)
    rows = records[-1]["rows"]
    score = next(100 * row["scores"]["balanced_accuracy"] for row in rows if row["is_chosen"])
    assert re.search(rf"^\| EOS \| {score:.1f} ", text, re.MULTILINE)
    assert "| EOS minus | settings | exponential, ratio 3, 1 epochs, CE † |" in text
    assert "<!--" not in text


def test_variants_are_scored_on_folds_only(study, monkeypatch, tmp_path, capsys):
    folder, records = study
    variants = [
        cifar_lt_variants.Variant(10),
        cifar_lt_variants.Variant(10, power=-0.5, steps="squared", is_unit=True),
    ]
    monkeypatch.setattr(cifar_lt_variants, "VARIANTS", variants)
    file = tmp_path / "variants.json"
    arguments = ["--embeddings", str(folder / "embeddings"), "--output", str(file)]
    arguments += ["--networks", "CE_exponential_3_*"]
    monkeypatch.setattr(sys, "argv", ["cifar_lt_variants.py", *arguments])
    cifar_lt_variants.main()
    output = capsys.readouterr().out
    assert "1 subsets: CE_exponential_3_subset0_seed0_1epochs_cosine_batch128" in output
    folds = cifar_lt_variants.read_folds(folder / "embeddings", "CE_exponential_3_*")
    (networks,) = folds.values()
    of_fold, of_others, of_all = (
        sum(record["class_counts"]) for record in records if record["record"] == "network"
    )
    assert [len(network.y) for network in networks] == [of_fold, of_others]
    assert sum(len(network.y_new) for network in networks) == of_all
    head = networks[0].refit("EOS", n_neighbors=10, enemy_search="nearest")
    np.testing.assert_array_equal(
        np.bincount(variants[0].predict(networks[0]), minlength=10).sum(), len(networks[0].y_new)
    )
    score = variants[0].score(networks)
    first, second = json.loads(file.read_text())
    assert first["balanced_accuracy"] == pytest.approx(score, abs=0.001)
    assert second["difference"] == pytest.approx(second["balanced_accuracy"] - score, abs=0.002)
    assert head.coef.shape == (10, 64)


def test_a_folder_of_published_embeddings_is_checked(study, monkeypatch, tmp_path):
    folder = tmp_path / "embeddings"
    shutil.copytree(study[0] / "embeddings", folder)
    monkeypatch.setattr(_embeddings, "REGISTRY", tmp_path / "embeddings.json")
    _embeddings.write_registry(map(_embeddings.describe_file, folder.glob("*.npz")))
    entries = _embeddings.read_registry()
    assert [entry["fold"] for entry in entries] == [None, 0, 1]
    assert {entry["recipe"] for entry in entries} == {"CE"}
    assert cifar_lt_embeddings.check(folder) == []
    (folder / entries[0]["name"]).unlink()
    (folder / entries[1]["name"]).write_bytes(b"other")
    missing, other = cifar_lt_embeddings.check(folder)
    assert entries[0]["name"] in missing
    assert "--recipes CE --kinds exponential --ratios 3 --subsets 0" in missing
    assert other == f"another file than the published one: {entries[1]['name']}"
