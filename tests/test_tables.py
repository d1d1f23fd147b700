"""Tables: reading them, and comparing samplers on them."""

import gzip
import json
import sys

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from numpy.testing import assert_array_equal
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imblearn_eos import EOS, cli
from imblearn_eos.compare import compare_table
from imblearn_eos.datasets import load_table, split_imbalanced


@pytest.fixture(scope="module")
def rows():
    return make_classification(n_samples=400, weights=[0.9], class_sep=0.8, random_state=0)


@pytest.fixture
def csv(tmp_path, rows):
    """Return a file with two text columns, and some cells empty."""
    X, y = rows
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    frame.iloc[::7, 0] = np.nan
    frame.insert(1, "name", "someone")
    frame.insert(2, "empty", np.nan)
    frame["<b>kind</b>"] = np.array(["<i>usual</i>", "rare & odd"])[y]
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


# --- load_table -----------------------------------------------------------------------------------


def test_numeric_columns_are_used_and_the_others_named(csv, rows):
    table = load_table(csv, target="<b>kind</b>")
    assert table.left_out == {"name": "text", "empty": "no values"}
    assert table.data.columns.tolist() == [f"f{i}" for i in range(20)]
    expected = rows[0].copy()
    expected[::7, 0] = np.nan
    np.testing.assert_allclose(table.data.to_numpy(), expected)
    assert_array_equal(table.target == "rare & odd", rows[1] == 1)
    assert table.target.dtype.kind == "U"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_is_found_out(tmp_path, separator):
    lines = [["a", "b", "c"], ["1", "2.5", "x"], ["2", "3.5", "y"]]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(separator.join(line) for line in lines))
    table = load_table(path, target="c")
    assert table.data.to_numpy().tolist() == [[1, 2.5], [2, 3.5]]


def test_quoted_names_may_hold_separators(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('"width, mm",kind\n1,a\n2,b\n')
    assert load_table(path, target="kind").data.columns.tolist() == ["width, mm"]


def test_file_without_header_and_numbers_as_labels(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"1.5,7\n2.5,8\n"))
    table = load_table(path, target="1", header=False)
    assert table.data.columns.tolist() == ["0"]
    assert table.target.tolist() == [7, 8]
    assert table.target.dtype.kind == "i"


def test_a_header_of_numbers_names_columns_and_does_not_count_them(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(",0,1,2,3\n0,1.5,2.5,3.5,7\n1,4.5,5.5,6.5,8\n")
    table = load_table(path, target="3")
    assert table.data.columns.tolist() == ["0", "1", "2"]
    assert table.data.to_numpy().tolist() == [[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]
    assert table.target.tolist() == [7, 8]


@pytest.mark.parametrize("values", ["true,false", "2020-01-01,2020-01-02"])
def test_columns_that_are_no_numbers(tmp_path, values):
    first, second = values.split(",")
    path = tmp_path / "table.csv"
    path.write_text(f"n,x,kind\n1,{first},a\n2,{second},b\n")
    table = load_table(path, target="kind")
    assert table.data.columns.tolist() == (["n", "x"] if first == "true" else ["n"])


def test_classes_called_na_are_classes(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("x,kind\n1,NA\n2,None\n,NA\n")
    table = load_table(path, target="kind")
    assert table.target.tolist() == ["NA", "None", "NA"]
    assert np.isnan(table.data["x"][2])


def test_few_cells_that_are_no_numbers_are_shown(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(",x,z,kind\n0,1,5,a\n1,?,6,b\n2,3,7,b\n")
    table = load_table(path, target="kind")
    assert table.left_out == {"Unnamed: 0": "no name", "x": "text in 1 cells, such as '?'"}


@pytest.mark.parametrize(
    ("content", "params", "message"),
    [
        ("a,b\n1,2\n", {"target": "c"}, "target='c' .* is no column of .*columns are 'a', 'b'"),
        ("1,2\n", {"target": "b", "header": False}, "without a header they are numbered from 0"),
        ("a,b\n1,\n2,x\n", {"target": "b"}, "no label in 1 rows; the first is row 0"),
        ("b\n1\n2\n", {"target": "b"}, "no numeric column besides 'b'; left out: none"),
        (
            "a,b\nx,1\ny,2\n",
            {"target": "b"},
            "no numeric column besides 'b'; left out: 'a .text.*encode",
        ),
        ("a,b\n1,x\ninf,y\n", {"target": "b"}, "column 'a' of .* infinite"),
        ("a,b\n", {"target": "b"}, "left out: 'a .no values"),
        ("", {"target": "b"}, "cannot be read as a table"),
        ("a,b\n1,2\n1,2,3\n", {"target": "b"}, "cannot be read as a table.*line 3"),
        ("\xff\xfe\x00", {"target": "b"}, "cannot be read as a table"),
    ],
)
def test_unusable_table_is_named(tmp_path, content, params, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(ValueError, match=f"(?s){message}") as error:
        load_table(path, **params)
    assert "bad.csv" in str(error.value)


def test_table_needs_pandas(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"imblearn-eos\[tables\]"):
        load_table(tmp_path / "table.csv", target="x")


# --- compare_table --------------------------------------------------------------------------------


def test_scores_are_those_of_the_same_steps_by_hand(rows):
    X, y = rows[0].copy(), rows[1]
    X[::5, 3] = np.nan
    (result,) = compare_table(X, y, samplers=["smote", "eos"], seeds=1, n_neighbors=4)
    assert list(result.methods) == ["none", "logit_adjustment", "smote", "eos"]
    X_train, X_test, y_train, y_test = split_imbalanced(X, y, random_state=0)
    imputer = SimpleImputer(strategy="median").fit(X_train)
    scaler = StandardScaler().fit(imputer.transform(X_train))
    Z_train, Z_test = (scaler.transform(imputer.transform(part)) for part in (X_train, X_test))
    samplers = {
        "none": None,
        "smote": SMOTE(random_state=0),
        "eos": EOS(n_neighbors=4, random_state=0),
    }
    for name, sampler in samplers.items():
        Z, labels = sampler.fit_resample(Z_train, y_train) if sampler else (Z_train, y_train)
        y_pred = LogisticRegression(max_iter=1000).fit(Z, labels).predict(Z_test)
        expected = balanced_accuracy_score(y_test, y_pred)
        assert result.methods[name].scores["balanced_accuracy"] == pytest.approx(expected)
    assert result.train_loss is None


@pytest.mark.parametrize("wrap", [lambda forest: forest, make_pipeline])
def test_any_classifier_and_the_same_seed_gives_the_same(rows, wrap):
    classifier = wrap(RandomForestClassifier(n_estimators=5))
    first, second = (
        next(compare_table(*rows, classifier=classifier, samplers=["eos"])) for _ in range(2)
    )
    assert first.methods["eos"].scores == second.methods["eos"].scores
    assert isinstance(first.fitted.heads["eos"], type(classifier))
    assert not hasattr(classifier, "classes_")


def test_feature_missing_in_all_training_rows_is_no_obstacle(rows):
    X, y = rows[0].copy(), rows[1]
    X[:, 2] = np.nan
    (result,) = compare_table(X, y, samplers=["eos"], seeds=1)
    assert result.methods["eos"].error is None


@pytest.mark.parametrize(
    ("X", "y", "params", "message"),
    [
        (np.zeros((4, 2)), [0, 0, 0, 0], {}, "y has 1 class"),
        (np.zeros((4, 2)), [0, 0, 1], {}, "inconsistent numbers"),
        (np.zeros((4, 2, 2)), [0, 0, 1, 1], {}, "dim 3"),
        (np.full((4, 2), np.inf), [0, 0, 1, 1], {}, "X contains infinity"),
        (np.zeros((4, 2)), [0, 0, 0, 1], {}, "Class 1 has 1 row"),
        (np.zeros((4, 2)), [0, 0, 1, 1], {"samplers": ["smoke"]}, "Got \\['smoke'\\]"),
        (np.zeros((4, 2)), [0, 0, 1, 1], {"classifier": EOS()}, "'classifier' parameter"),
        (np.zeros((4, 2)), [0, 0, 1, 1], {"device": "tpu"}, "'device' parameter"),
    ],
)
def test_bad_input_is_named_before_any_work(X, y, params, message):
    with pytest.raises(ValueError, match=message):
        compare_table(X, y, **params)


def test_classifier_that_cannot_be_fitted_is_named(rows):
    classifier = LogisticRegression(solver="liblinear", l1_ratio=7)
    with pytest.raises(ValueError, match=r"classifier LogisticRegression\(.*cannot be fitted"):
        next(compare_table(*rows, classifier=classifier))


# --- the command ----------------------------------------------------------------------------------


def run(*arguments):
    return cli.main(["compare", "--seeds", "2", "--samplers", "eos", *map(str, arguments)])


def test_command_says_which_columns_it_leaves_out(csv, tmp_path, capsys):
    path = tmp_path / "results.json"
    assert run("--data", csv, "--target", "<b>kind</b>", "--json", path) == 0
    output = capsys.readouterr().out
    assert "400 rows of 20 features (left out: name (text), empty (no values)), 2 cl" in output
    content = json.loads(path.read_text())
    assert content["data"]["left_out"] == {"name": "text", "empty": "no values"}
    assert len(content["data"]["features"]) == 20
    assert content["arguments"]["classifier"] == "logistic"
    assert content["arguments"]["target"] == "<b>kind</b>"
    assert "epochs" not in content["arguments"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "CSV"], ["--target on the command line", "'f0'"]),
        (["--data", "CSV", "--target", "nothing"], ["target='nothing'", "'f0'"]),
        (["--data", "CSV", "--target", "f1"], ["Unknown label type: continuous"]),
        (
            ["--data", "CSV", "--target", "<b>kind</b>", "--epochs", "3"],
            ["--epochs does not apply to a .csv file", "compared as table"],
        ),
        (["--target", "kind"], ["--target does not apply to the digits"]),
        (["--classifier", "forest"], ["--classifier does not apply to the digits"]),
        (["--classifier", "tree"], ["--classifier", "tree", "logistic"]),
    ],
)
def test_bad_argument_is_one_line_that_names_it(csv, capsys, arguments, words):
    arguments = [str(csv) if argument == "CSV" else argument for argument in arguments]
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert error.count("\n") == 1
    for word in words:
        assert word in error
