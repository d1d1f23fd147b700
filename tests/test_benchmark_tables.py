"""benchmarks/tables.py: its reader, its methods, the statistics of its report, and its restarts."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification

pytest.importorskip("pandas")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import _grid
import _keel
import _ranks
import tables

METHODS = [*tables.OTHERS, *tables.SAMPLERS, *tables.SLOW]


def write(folder, name, lines):
    (folder / name).mkdir(parents=True)
    file = folder / name / f"{name}.dat"
    file.write_text("\n".join(["@relation x", "@attribute a real", "@data", *lines]))
    return file


def make_table(name="made1", n_classes=2):
    weights = [0.8, 0.2] if n_classes == 2 else [0.6, 0.3, 0.1]
    X, y = make_classification(
        n_samples=120, n_informative=4, n_classes=n_classes, weights=weights, random_state=0
    )
    return _keel.Table(name, X, np.unique(y, return_inverse=True)[1])


@pytest.fixture
def data(tmp_path):
    """Return a folder of four families, the first of two tables."""
    random_state = np.random.RandomState(0)
    for name in ["one1", "one-2_vs_3", "two", "three", "four"]:
        X, rare = random_state.normal(size=(60, 2)), np.arange(60) < 12
        X[rare] += 1
        lines = [f"{a:.4f}, {b:.4f}, {r}" for (a, b), r in zip(X, rare, strict=True)]
        write(tmp_path / "data", name, lines)
    return tmp_path / "data"


def run(data, output, *arguments):
    settings = ["--output", str(output), "--data", str(data), "--classifiers", "logistic"]
    tables.main([*settings, "--folds", "1", *arguments])


def test_text_is_encoded_and_classes_are_numbered_by_frequency(tmp_path):
    lines = ["1.5, red, rare", "2, blue, often", "3, red, often", "4, blue, often"]
    table = _keel.read_table(write(tmp_path, "colors", lines))
    assert_array_equal(table.y, [1, 0, 0, 0])
    # Columns of blue and of red.
    assert_allclose(table.X, [[1.5, 0, 1], [2, 1, 0], [3, 0, 1], [4, 1, 0]])


def test_missing_values_and_constant_columns_are_dropped(tmp_path):
    table = _keel.read_table(write(tmp_path, "gaps", ["1,7,a", "?,7,a", "<null>,7,b", "4,7,b"]))
    assert_allclose(table.X, [[1], [4]])


def test_only_imbalanced_tables_of_few_rows_are_read(tmp_path):
    write(tmp_path, "even", ["1,a", "2,b"] * 10)
    write(tmp_path, "long", [f"{i},{'ab'[i % 10 == 0]}" for i in range(200)])
    kept = write(tmp_path, "kept-1", [f"{i},{'ab'[i % 10 == 0]}" for i in range(100)] + ["1,tiny"])
    (kept.parent / "test.dat").write_text(kept.read_text())
    (table,) = _keel.read_tables(tmp_path, max_rows=150)
    assert table.name == "kept-1"
    assert_array_equal(np.bincount(table.y), [90, 10])


@pytest.mark.parametrize(
    ("name", "family"),
    [("yeast5", "yeast"), ("kr-vs-k-zero_vs_eight", "kr"), ("new_thyroid2", "newthyroid")],
)
def test_family_is_the_first_word(name, family):
    assert _keel.family_of(name) == family


@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_method_scores_between_0_and_1(n_classes):
    found = tables.evaluate(make_table(n_classes=n_classes), "logistic", 0, METHODS)
    assert list(found) == METHODS
    assert_array_equal([len(values) for values in found.values()], len(tables.METRICS))
    assert np.all((np.array(list(found.values())) >= 0) & (np.array(list(found.values())) <= 1))
    assert found["none"] != found["SMOTE"] != found["EOS 10, 1"]


def test_logit_adjustment_keeps_the_ranking_of_two_classes():
    found = tables.evaluate(make_table(), "logistic", 0, ["none", "logit adjustment"])
    assert found["none"][3] == found["logit adjustment"][3]
    assert found["none"][0] < found["logit adjustment"][0]


def test_constant_probabilities_have_no_threshold():
    X, y = np.zeros((30, 1)), np.repeat([0, 1], [24, 6])
    _, shares = tables.fit("tuned threshold", tables.CLASSIFIERS["logistic"], X, y, seed=0)
    assert_allclose(shares, [0.8, 0.2])


def test_class_that_cleaning_leaves_out_has_no_probability():
    class OneClass:
        classes_ = np.array([0])

        def predict_proba(self, X):
            return np.ones((len(X), 1))

        def predict(self, X):
            return np.zeros(len(X), dtype=int)

    labels, proba = tables._predict(OneClass(), None, n_classes=2, X_test=np.zeros((3, 1)))
    assert_array_equal(labels, 0)
    assert_array_equal(proba, [[1, 0]] * 3)


def test_run_continues_where_it_was_stopped(data, tmp_path, capsys):
    output = tmp_path / "output"
    run(data, output, "--methods", "none", "SMOTE", "ADASYN")
    first = tables.read_results(output)
    assert len(first) == 5
    # Stopped while it wrote the last record.
    with (output / "results.jsonl").open("a") as file:
        file.write('{"benchmark": "tables", "classifier": "logistic", "fo')
    run(data, output, "--methods", "none", "SMOTE", "ADASYN", "random")
    records = _grid.read_all(output / "results.jsonl", "tables")
    scores = [list(record["scores"]) for record in records if record["table"] == "one1"]
    assert scores == [["none", "SMOTE", "ADASYN"], ["random"]]
    second = tables.read_results(output)
    assert all(len(scores) == 4 for scores in second.values())
    assert "5 tables of 4 families" in capsys.readouterr().out


def test_report_only_reads_results(tmp_path, capsys):
    run(tmp_path / "none", tmp_path / "output", "--report")
    assert "logistic: too few results" in capsys.readouterr().out
    assert not (tmp_path / "output").exists()


def test_differences_from_smote_are_means_over_families(tmp_path):
    points = {"one1": (0.7, 0.6), "one-2": (0.6, 0.6), "two": (0.4, 0.5), "three": (0.9, 0.6)}
    for (table, (ours, smote)), fold in product(points.items(), range(2)):
        scores = {"EOS 20, 0.5": 4 * [ours + fold / 100], "SMOTE": 4 * [smote + fold / 100]}
        record = {"classifier": "boosting", "table": table, "fold": fold, "scores": scores}
        rarest = 3 if table == "two" else 10
        _grid.append(tmp_path / tables.RESULTS, benchmark="tables", rarest=rarest, **record)
    found = tables.differences(tmp_path, "boosting", "EOS 20, 0.5")["macro F1"]
    assert_allclose(found["difference"], (5 - 10 + 30) / 3)
    assert (found["wins"], found["losses"]) == (2, 1)
    found = tables.differences(tmp_path, "boosting", "EOS 20, 0.5", min_rarest=10)["macro F1"]
    assert_allclose(found["difference"], (5 + 30) / 2)


def test_report_leaves_out_tables_of_few_rare_rows(data, tmp_path, capsys):
    write(data, "five", [f"{i}, {i}, {i < 6}" for i in range(60)])
    run(data, tmp_path / "output", "--methods", "none", "SMOTE", "random")
    assert "6 tables of 5 families" in capsys.readouterr().out
    run(
        data,
        tmp_path / "output",
        "--report",
        "--min-rarest",
        "10",
        "--methods",
        "none",
        "SMOTE",
        "random",
    )
    assert "5 tables of 4 families" in capsys.readouterr().out


def test_report_chooses_on_half_and_confirms_on_the_others(data, tmp_path, capsys):
    run(data, tmp_path / "output")
    text = capsys.readouterr().out
    half, others = tables.halves(["one", "two", "three", "four"])
    assert f"chosen on {', '.join(half)}" in text
    assert sorted([*half, *others]) == ["four", "one", "three", "two"]
    for name in tables.GRID:
        assert text.count(f"| {name} ") == 2
    assert (tmp_path / "output" / "logistic_macro_F1.svg").stat().st_size > 1000


def test_tables_of_a_family_count_once():
    values = {"a1": np.full((1, 4), 0.2), "a2": np.full((1, 4), 0.4), "b": np.full((1, 4), 0.9)}
    families = tables.by_family(values)
    assert_allclose([families["a"][0, 0], families["b"][0, 0]], [0.3, 0.9])


def test_critical_difference_is_that_of_the_tables_of_nemenyi():
    # Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006: 2.728.
    assert_allclose(_ranks.critical_difference(14, 5), 2.728 * np.sqrt(30 / 84), atol=1e-3)


def test_ranks_share_ties():
    assert_allclose(
        _ranks.mean_ranks(np.array([[0.9, 0.5, 0.5], [0.9, 0.1, 0.5]])), [1, 2.75, 2.25]
    )


def test_groups_are_the_longest_runs_within_the_difference():
    assert _ranks.groups(np.array([1.0, 1.5, 2.4, 2.5, 5.0]), 1.0) == [(0, 1), (1, 3)]


def test_paired_comparison_counts_wins_and_losses():
    found = _ranks.paired(np.array([0.5, 0.7, 0.9, 0.4]), np.array([0.4, 0.6, 0.9, 0.5]))
    assert (found["wins"], found["losses"]) == (2, 1)
    assert_allclose(found["difference"], 0.025)
    assert found["low"] < 0 < found["high"]
