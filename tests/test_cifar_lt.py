"""The study of benchmarks/cifar_lt.py: its methods, and that it continues where it was stopped."""

import io
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tabulate")
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _cifar  # noqa: E402
import _heads  # noqa: E402
import _study  # noqa: E402
import _study_plots  # noqa: E402
import cifar_lt  # noqa: E402
import cifar_lt_tables  # noqa: E402
import cifar_lt_variants  # noqa: E402

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
    return _study.Results(folder / "results.jsonl").records


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
            assert {len(gap) for gap in row["gap"].values()} == {10}
            assert set(row.get("class_counts", [40])) == {40}  # all classes as the largest
    rows = records[-2]["rows"]
    assert {row["setting"]["n_neighbors"] for row in rows} == set(_heads.NEIGHBORS)


def test_a_study_is_not_overwritten(study, pack, monkeypatch):
    folder, records = study
    with pytest.raises(SystemExit, match="Add --resume to continue it"):
        run(monkeypatch, pack, folder)
    with pytest.raises(SystemExit, match="begun with epochs=1, and now is 2"):
        run(monkeypatch, pack, folder, "--resume", "--epochs", "2")
    assert _study.Results(folder / "results.jsonl").records == records


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

    monkeypatch.setitem(_heads.SAMPLERS, "SMOTE", lambda seed, **params: Failing())
    found = run(monkeypatch, pack, tmp_path)
    failed = next(record for record in found if record.get("method") == "SMOTE")
    assert failed["error"] == "ValueError: Expected n_neighbors <= n_samples_fit"
    assert failed["rows"] == []
    assert len(found) == len(records)
    study = _study.Study(found, ratio=3)
    assert "SMOTE" not in _study.base_names(study, "CE")
    assert study.errors == [f"SMOTE failed on CE, subset 0: {failed['error']}"]
    monkeypatch.undo()
    found = run(monkeypatch, pack, tmp_path, "--resume")
    assert [record["record"] for record in found[len(records) :]] == ["study", "method"]
    assert found[-1]["method"] == "SMOTE"
    assert "error" not in found[-1]


@pytest.mark.parametrize("largest", [6e4, 7e4])
def test_embeddings_too_large_for_float16_are_kept_as_they_are(study, tmp_path, largest):
    (file,) = (study[0] / "embeddings").glob("*_all_*")
    embedded = _cifar.read_embedded(file)
    embedded.Z[0, 0] = np.float32(largest) + np.float32(1 / 64)
    _cifar._write(tmp_path / "one.npz", embedded)
    found = _cifar.read_embedded(tmp_path / "one.npz").Z
    assert found.dtype == np.float32
    expected = embedded.Z.astype(np.float16).astype(np.float32) if largest < 65504 else embedded.Z
    np.testing.assert_array_equal(found, expected)


def test_the_test_images_have_no_part_in_choices(study, pack, monkeypatch, tmp_path):
    folder, records = study
    shutil.copytree(folder / "embeddings", tmp_path / "embeddings")
    (file,) = (tmp_path / "embeddings").glob("*_all_*")
    embedded = _cifar.read_embedded(file)
    embedded.Z_new = np.random.RandomState(0).normal(size=embedded.Z_new.shape)
    _cifar._write(file, embedded)
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


def test_without_folds_all_settings_are_the_default(study, pack, monkeypatch, tmp_path):
    folder, records = study
    shutil.copytree(folder / "embeddings", tmp_path / "embeddings")
    for file in (tmp_path / "embeddings").glob("*_without*"):
        file.unlink()
    monkeypatch.setattr(_cifar, "_train", None)  # no network is trained without a fold
    found = run(monkeypatch, pack, tmp_path, "--folds", "0")
    assert [record["record"] for record in found] == ["study", "network", *["method"] * 5]
    for record, expected in zip(found[2:], records[4:], strict=True):
        assert record["n_settings"] == 1
        assert all(row["is_chosen"] == row["is_default"] for row in record["rows"])
        assert record["rows"][0]["scores"] == expected["rows"][0]["scores"]
    monkeypatch.setattr(sys, "argv", ["cifar_lt_tables.py", str(tmp_path / "results.jsonl")])
    cifar_lt_tables.main()
    text = (tmp_path / "tables.md").read_text()
    assert "no folds" in text
    assert "chosen" not in text
    tau = f"{100 * found[3]['rows'][1]['scores']['balanced_accuracy']:.1f}"
    assert re.search(rf"^\| 0.5 +\| {tau} ", text, re.MULTILINE)


def test_a_network_that_fails_is_recorded_and_the_others_are_scored(pack, monkeypatch, tmp_path):
    embed = _cifar.embed

    def embed_or_diverge(images, case, *args):
        if case.recipe == "focal":
            raise ValueError("The embeddings contain NaN or infinity")
        return embed(images, case, *args)

    monkeypatch.setattr(cifar_lt, "embed", embed_or_diverge)
    options = "--methods", "network", "--recipes", "focal", "CE", "--folds", "0"
    found = run(monkeypatch, pack, tmp_path, *options)
    assert [record["record"] for record in found] == ["study", "network", "network", "method"]
    assert found[1]["error"] == "ValueError: The embeddings contain NaN or infinity"
    assert [record["case"]["recipe"] for record in found[1:]] == ["focal", "CE", "CE"]
    study = _study.Study(found, ratio=3)
    assert study.errors == [f"Training failed on focal, subset 0: {found[1]['error']}"]
    assert study.recipes == ["CE"]
    assert "CE" in "\n".join(cifar_lt_tables.format_study(study, ""))


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
        (tmp_path / "results.jsonl").unlink()
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
    shutil.copy(folder / "results.jsonl", tmp_path)
    assert run(monkeypatch, None, tmp_path, "--resume")[-1]["data"] == expected[0]["data"]


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
    with pytest.raises(SystemExit, match=r"must have one file CE_.*without1of2_\*\.npz, got 0"):
        run(monkeypatch, None, tmp_path)
    assert not (tmp_path / "results.jsonl").exists()


def test_tables_and_plots_show_the_study(study, monkeypatch, capsys):
    folder, records = study
    monkeypatch.setattr(sys, "argv", ["cifar_lt_tables.py", str(folder / "results.jsonl")])
    cifar_lt_tables.main()
    text = (folder / "tables.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    score = 100 * records[-1]["rows"][0]["scores"]["balanced_accuracy"]
    row = re.search(r"^\| EOS  .*", text, re.MULTILINE)[0]
    n_settings = len(_heads.METHODS["EOS"].settings)
    assert row.split()[1:6:2] == ["EOS", f"{n_settings}", f"{score:.1f}"]
    assert "| EOS, K=10, over the network " in text
    plots = {file.name for file in folder.glob("exponential_3/*.png")}
    assert plots == {"methods.png", "neighbors.png", "recall.png"}


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("cifar_lt/*/results.jsonl")))
def test_published_tables_are_those_of_the_published_results(file, monkeypatch, tmp_path):
    shutil.copy(file, tmp_path)
    monkeypatch.setattr(sys, "argv", ["cifar_lt_tables.py", str(tmp_path / "results.jsonl")])
    cifar_lt_tables.main()
    assert (tmp_path / "tables.md").read_text() == file.with_name("tables.md").read_text()


@pytest.mark.parametrize("folder", sorted(BENCHMARKS.glob("cifar_lt/*/embeddings")))
def test_published_scores_are_those_of_the_published_embeddings(folder):
    records = _study.Results(folder.with_name("results.jsonl")).records
    budget = _cifar.Budget(*(records[0][name] for name in ("epochs", "batch_size", "schedule")))
    n_checked = 0
    for record in records:
        if record.get("method") not in ("network", "logit adjustment", "EOS"):
            continue
        case = _cifar.Case(**record["case"])
        try:
            embedded = _cifar.embed(None, case, budget, folder.parent)
        except FileNotFoundError:
            continue
        network, method = _heads.Network(embedded, seed=case.seed), _heads.METHODS[record["method"]]
        for row in filter(lambda row: row["is_default"] or row["is_chosen"], record["rows"]):
            found = _heads.evaluate(method.make(network, **row["setting"]), network)
            assert found["scores"] == pytest.approx(row["scores"], abs=0.002)
        n_checked += 1
    assert n_checked >= 3


@pytest.mark.parametrize(
    ("folder", "heading", "is_plotted"),
    [
        ("25_epochs", "### All recipes, settings chosen", True),
        ("60_epochs", "### CE, 3 subsets", False),
        ("25_epochs_losses", "### All recipes, settings default", True),
        ("200_epochs", "### All recipes, settings chosen", True),
    ],
)
def test_several_recipes_have_a_table_and_a_plot_of_all(folder, heading, is_plotted, tmp_path):
    results = _study.Results(BENCHMARKS / "cifar_lt" / folder / "results.jsonl")
    study = _study.Study(results.records)
    parts = cifar_lt_tables.format_study(study, "")
    assert next(part for part in parts if part.startswith("### ")) == heading
    table = {row["method"]: row for row in cifar_lt_tables.recipes_table(study)}
    mean = np.mean(list(study.points(("CE", "EOS, chosen")).values()))
    assert table["EOS"]["CE"].split()[0] == f"{mean:.1f}"
    _study_plots.plot_study(study, tmp_path)
    assert (tmp_path / "recipes.png").exists() == is_plotted


def test_reading_results_leaves_a_line_that_is_being_written(tmp_path):
    file = tmp_path / "results.jsonl"
    file.write_text('{"record": "a"}\n{"reco')
    results = _study.Results(file)
    assert results.records == [{"record": "a"}]
    assert file.read_text().endswith('{"reco')
    results.repair()
    results.add(record="b")
    assert _study.Results(file).records == [{"record": "a"}, {"record": "b"}]


def make_record(method, subset, score, seed=0, recipe="CE"):
    row = {"scores": {"balanced_accuracy": score}, "setting": {}}
    return {
        "record": "method",
        "case": {"recipe": recipe, "kind": "step", "ratio": 10, "subset": subset, "seed": seed},
        "method": method,
        "rows": [row | {"is_default": True, "is_chosen": True}],
        "n_settings": 1,
    }


def test_differences_are_paired_by_subset():
    scores = [(0.5, 0.6), (0.1, 0.3), (0.2, 0.5)]
    records = [
        make_record(method, subset, score)
        for subset, pair in enumerate(scores)
        for method, score in zip("ab", pair, strict=True)
    ]
    study = _study.Study(records, "step", 10)
    found = study.difference(("CE", "b, chosen"), ("CE", "a, chosen"))
    # 4.303 is the quantile of t with 2 degrees of freedom; 10 is the deviation of 10, 20, 30.
    np.testing.assert_allclose(found, (20, 4.303 * 10 / np.sqrt(3)), rtol=1e-3)
    assert _study.Study(records).rows == {}


def test_recipes_are_compared_on_the_subsets_that_all_have():
    records = [make_record("network", subset, 0.1 * subset) for subset in (1, 2)]
    other = make_record("network", 2, 0.5, recipe="ASL")
    study = _study.Study([*records, other], "step", 10)
    assert cifar_lt_tables.recipes_table(study) == [
        {"method": "network", "CE": "20.0", "ASL": "50.0"}
    ]
    # On which they are may differ by method.
    more = [make_record("EOS", 1, 0.7), make_record("EOS", 1, 0.8, recipe="ASL")]
    study = _study.Study([*records, other, *more], "step", 10)
    assert cifar_lt_tables.recipes_table(study)[1] == {"method": "EOS", "CE": "70.0", "ASL": "80.0"}


def test_trainings_are_averaged_within_subsets_and_paired():
    records = [
        make_record("a", 0, 0.1, seed=0),
        make_record("a", 0, 0.3, seed=1),
        make_record("a", 1, 0.4, seed=0),
        make_record("a", 1, 0.9, seed=1),
        # Of the second subset's trainings only one has b.
        make_record("b", 0, 0.2, seed=0),
        make_record("b", 0, 0.6, seed=1),
        make_record("b", 1, 0.5, seed=0),
    ]
    study = _study.Study(records, "step", 10)
    assert study.points(("CE", "a, chosen")) == pytest.approx({0: 20, 1: 65})
    found = study.differences(("CE", "b, chosen"), ("CE", "a, chosen"))
    assert found == pytest.approx({0: 20, 1: 10})


def test_variants_are_scored_on_folds_only(study, monkeypatch, capsys):
    folder, records = study
    variants = [
        cifar_lt_variants.Variant(10),
        cifar_lt_variants.Variant(10, power=-0.5, steps="squared", is_unit=True),
    ]
    monkeypatch.setattr(cifar_lt_variants, "VARIANTS", variants)
    arguments = [str(folder), "--networks", "CE_exponential_3_*"]
    monkeypatch.setattr(sys, "argv", ["cifar_lt_variants.py", *arguments])
    cifar_lt_variants.main()
    output = capsys.readouterr().out
    assert "1 subsets: CE_exponential_3_subset0_seed0_1epochs_cosine_batch128" in output
    folds = cifar_lt_variants.read_folds(folder, "CE_exponential_3_*")
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
    assert f"{score:.1f}" in output
    assert head.coef.shape == (10, 64)
