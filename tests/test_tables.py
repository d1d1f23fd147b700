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
from imblearn_eos.datasets import _csv, load_table, split_imbalanced


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


def write(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_text(content, encoding="utf-8", newline="")
    return path


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


@pytest.mark.parametrize("cell", ["", "NA", "None", "nan", " NaN ", "null", "#N/A"])
def test_missing_labels_are_refused_whatever_they_are_called(tmp_path, cell):
    path = write(tmp_path, f"x,kind\n1,0\n2,1\n3,{cell}\n,1\n")
    with pytest.raises(ValueError, match=r"no label in 1 rows; the first is row 2 .*rename the cl"):
        load_table(path, target="kind")


@pytest.mark.parametrize("label", ["x\0", "\0\0"])
def test_labels_that_numpy_would_cut_at_a_nul_are_refused(tmp_path, label):
    # np.array(["x", "x\\0"]) holds "x" twice: numpy#7600.
    path = write(tmp_path, f"a,kind\n1,x\n2,{label}\n3,y\n")
    with pytest.raises(ValueError, match="no label in 1 rows; the first is row 1"):
        load_table(path, target="kind")


@pytest.mark.parametrize("cell", ["", "NA", "None", "nan", " NaN ", "null", "#N/A"])
def test_the_same_texts_are_missing_in_features(tmp_path, cell):
    table = load_table(write(tmp_path, f"x,kind\n1,a\n{cell},b\n"), target="kind")
    assert_array_equal(table.data["x"], [1, np.nan])


@pytest.mark.parametrize(
    "labels",
    [
        ["1_1", "11"],
        ["01", "1", "001"],
        ["1e2", "100"],
        ["1.0", "1"],
        ["1.50", "1.5"],
        ["+1", "1"],
        ["-0", "0"],
        [" 1", "1"],
        ["inf", "Infinity"],
        ["\u0661", "1"],
        ["12345678901234567890", "12345678901234567891"],
        ["0.1", "0.1000000000000000055"],
    ],
)
def test_labels_stay_texts_where_numbers_would_merge_or_change_them(tmp_path, labels):
    path = write(tmp_path, "\n".join(["x,kind", *(f"1.5,{label}" for label in labels)]))
    assert load_table(path, target="kind").target.tolist() == labels


@pytest.mark.parametrize("labels", [[0, 1], [-1, 2**62], [0.5, 1.0], [1.0, 2.0]])
def test_labels_become_numbers_where_they_print_as_the_same_texts(tmp_path, labels):
    path = write(tmp_path, "\n".join(["x,kind", *(f"1.5,{label}" for label in labels)]))
    target = load_table(path, target="kind").target
    assert target.tolist() == labels
    assert [type(label) for label in target.tolist()] == [type(label) for label in labels]


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["007", "7"], "007"),
        (["1.5", "00"], "00"),
        (["12345678901234567890", "1"], "12345678901234567890"),
        (["-9007199254740993", ""], "-9007199254740993"),
        (["9" * 400, "1.5"], "9" * 400),
    ],
)
def test_identifiers_are_left_out(tmp_path, cells, first):
    path = write(tmp_path, f"x,id,kind\n1,{cells[0]},a\n2,{cells[1]},b\n")
    table = load_table(path, target="kind")
    assert table.left_out == {"id": f"an identifier, such as {first!r}"}


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["True", "", "False"], [1, np.nan, 0]),
        (["TRUE", "false", "NA"], [1, 0, np.nan]),
        (["18446744073709551616", "1", ""], [2.0**64, 1, np.nan]),
        (["9223372036854775808", "-1", "0"], [2.0**63, -1, 0]),
        (["1e2", "100", "0.10"], [100, 100, 0.1]),
        ([" 1", "2 ", "0"], [1, 2, 0]),
    ],
)
def test_numbers_of_every_kind_are_numbers(tmp_path, cells, numbers):
    path = write(
        tmp_path, "\n".join(["x,kind", *(f"{c},{k}" for c, k in zip(cells, "abb", strict=False))])
    )
    assert_array_equal(load_table(path, target="kind").data["x"], numbers)


@pytest.mark.parametrize(
    "content",
    [
        "kind,a,b\n0,1.5,10,\n0,2.5,20,\n1,1.5,30,\n",
        "kind;a;b\n0;1.5;10;\n0;2.5;20;\n1;1.5;30;\n",
        '"kind","a","b"\n"r1",0,1.5,10\n"r2",0,2.5,20\n"r3",1,1.5,30\n',
    ],
)
def test_rows_one_cell_longer_than_the_header_shift_no_column(tmp_path, content):
    table = load_table(write(tmp_path, content), target="kind")
    assert table.target.tolist() == [0, 0, 1]
    assert table.data["a"].tolist() == [1.5, 2.5, 1.5]
    assert table.data["b"].tolist() == [10, 20, 30]
    assert table.left_out == ({"Unnamed: 0": "no name"} if "r1" in content else {})


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("kind,a\n0,1,\n0,2\n1,3\n", 2),
        ("kind,a\n0,1\n\n0,2,\n1,3\n", 4),
        ("kind,a\n0,1\n0\n1,3\n", 3),
        ("kind,a,\n0,1\n0,2\n", 2),
        ("kind,a\n" + "0,1,\n" * 60 + "1,2,3\n", 62),
        ('kind,a\n0,"1\n1"2\n', 3),
        ('kind,a\n0,1\n0,"2\n', 3),
    ],
)
def test_line_with_another_number_of_cells_is_named(tmp_path, content, line):
    with pytest.raises(ValueError, match=f"cannot be read as a table of values: line {line}"):
        load_table(write(tmp_path, content), target="kind")


@pytest.mark.parametrize(
    ("content", "params", "columns", "labels"),
    [
        ("Temperature, C;damp;kind\n1;2;x\n3;4;y\n", {"target": "kind"}, 2, ["x", "y"]),
        ("1;Paris, France;x\n2;Rome;y\n", {"header": False, "target": "2"}, 1, ["x", "y"]),
        ("1\tDoe, John\tx\n2\tRoe, Jane\ty\n", {"header": False, "target": "2"}, 1, ["x", "y"]),
        ('1,"a;b",x\n2,"c;d",y\n', {"header": False, "target": "2"}, 1, ["x", "y"]),
        ('1,"a\nb",x\n2,"c\nd",y\n', {"header": False, "target": "2"}, 1, ["x", "y"]),
        ("1,2,a;b\n3,4,c;d\n", {"header": False, "target": "2"}, 2, ["a;b", "c;d"]),
        (
            "5,1;3,5;x\n7,0;3,2;y\n",
            {"header": False, "target": "2", "decimal": ","},
            2,
            ["x", "y"],
        ),
        ("sep=;\na;kind\n1,5;x\n2,5;y\n", {"target": "kind", "decimal": ","}, 1, ["x", "y"]),
        ('"sep=\t"\na\tkind\n1\tx,\n2\ty,\n', {"target": "kind"}, 1, ["x,", "y,"]),
        ("a b kind\n1 2 x\n3 4 y\n", {"target": "kind", "sep": " "}, 2, ["x", "y"]),
    ],
)
def test_separator_is_that_of_all_lines(tmp_path, content, params, columns, labels):
    table = load_table(write(tmp_path, content), **params)
    assert table.target.tolist() == labels
    assert table.data.shape == (2, columns)


def test_separator_that_is_not_clear_is_asked_for(tmp_path):
    path = write(tmp_path, "1,x;3\n2,y;4\n")
    with pytest.raises(ValueError, match="separator may be ',' or ';'; pass it as sep="):
        load_table(path, target="1", header=False)
    assert load_table(path, target="1", header=False, sep=",").target.tolist() == ["x;3", "y;4"]


def test_decimal_commas_are_read_or_named(tmp_path):
    path = write(tmp_path, "a;b;kind\n1,5;1;x\n2,5;2;y\n")
    table = load_table(path, target="kind")
    assert table.left_out == {"a": "numbers with a decimal comma, such as '1,5'"}
    assert load_table(path, target="kind", decimal=",").data["a"].tolist() == [1.5, 2.5]
    assert load_table(path, target="kind", drop=["a"]).left_out == {"a": "dropped"}
    # The point may then separate thousands, and is not taken for a decimal mark.
    path = write(tmp_path, "a;b;kind\n1.500;1;x\n2,5;2;y\n3,5;3;y\n")
    table = load_table(path, target="kind", decimal=",")
    assert table.left_out == {"a": "numbers with a decimal point, such as '1.500'"}


@pytest.mark.parametrize("params", [{"decimal": ";"}, {"sep": 3}, {"sep": "::"}, {"header": "no"}])
def test_bad_options_of_a_table_are_named(tmp_path, params):
    with pytest.raises(ValueError, match=f"{next(iter(params))}|delimiter"):
        load_table(write(tmp_path, "a,b\n1,2\n"), target="b", **params)


def test_target_column_that_is_there_twice_is_refused(tmp_path):
    path = write(tmp_path, "a,kind,kind\n1,0,0\n2,1,1\n")
    with pytest.raises(ValueError, match=r"target='kind' .* names 2 of the columns"):
        load_table(path, target="kind")


def test_copies_of_the_target_are_no_features(tmp_path):
    # pandas calls the second column of a name so, when it reads and writes a table.
    path = write(tmp_path, "a,kind,kind.1\n1,0,0\n2,1,1\n")
    assert load_table(path, target="kind").left_out == {"kind.1": "a copy of the target"}


def test_features_of_one_name_are_numbered(tmp_path):
    table = load_table(write(tmp_path, "a,a,a.1,kind\n1,2,3,x\n4,5,6,y\n"), target="kind")
    assert table.data.columns.tolist() == ["a", "a.1", "a.1.1"]
    assert table.data.to_numpy().tolist() == [[1, 2, 3], [4, 5, 6]]


def test_parts_of_a_large_table_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(_csv, "PART_CELLS", 12)
    monkeypatch.setattr(_csv, "PART_ROWS", 2)
    frame = pd.DataFrame({"a": np.arange(20) / 3, "b": ["1"] * 19 + ["x"], "c": ["7"] * 20})
    frame["d"], frame["kind"] = ["1"] * 19 + ["02"], np.arange(20) % 2
    frame.to_csv(tmp_path / "table.csv", index=False)
    table = load_table(tmp_path / "table.csv", target="kind")
    assert_array_equal(table.data, frame[["a", "c"]].astype(float))
    assert table.left_out["b"] == "text in 1 cells, such as 'x'"
    assert table.left_out["d"] == "an identifier, such as '02'"


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz", "zip"])
def test_compressed_tables(tmp_path, compression):
    path = tmp_path / f"table.csv.{compression}"
    pd.DataFrame({"a": [1.5, 2.5], "kind": ["x", "y"]}).to_csv(path, index=False)
    assert load_table(path, target="kind").data["a"].tolist() == [1.5, 2.5]
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match="cannot be read as a table"):
        load_table(path, target="kind")


def test_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        load_table(tmp_path / "nowhere.csv", target="x")


def test_few_cells_that_are_no_numbers_are_shown(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(",x,z,kind\n0,1,5,a\n1,?,6,b\n2,3,7,b\n")
    table = load_table(path, target="kind")
    assert table.left_out == {"Unnamed: 0": "no name", "x": "text in 1 cells, such as '?'"}


@pytest.mark.parametrize(
    ("content", "params", "message"),
    [
        ("a b\n1 2\n", {"target": "b"}, r"read as one column: .* sep= \(--sep\)"),
        ("a,b\n1,2\n", {"target": "b", "drop": ["c"]}, "drop='c' .* names none of the columns"),
        ("a,b\n1,2\n", {"target": "c"}, "target='c' .* names none of the columns of .*: 'a', 'b'"),
        ("1,2\n", {"target": "b", "header": False}, "without names of columns needs header=False"),
        ("a,b\n1,\n2,x\n", {"target": "b"}, "no label in 1 rows; the first is row 0"),
        (
            "b\n1\n2\n",
            {"target": "b"},
            "no numeric column besides the target 'b' .*; left out: none",
        ),
        (
            "a,b\nx,1\ny,2\n",
            {"target": "b"},
            "no numeric column besides .*; left out: 'a' .text.*encode",
        ),
        ("a,b\n1,x\ninf,y\n", {"target": "b"}, "infinite numbers in 'a'.*--drop a"),
        ("a,b\n", {"target": "b"}, "has no rows after its header"),
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


@pytest.mark.parametrize("content", ["a;kind\n1,5;x\n2,5;y\n", "1,5;x\n2,5;y\n"])
def test_separator_that_may_be_a_decimal_comma_is_asked_for(tmp_path, content):
    header = content[0] == "a"
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=r"sep= \(--sep\), and decimal=',' \(--decimal ,\)"):
        load_table(path, target="kind" if header else "1", header=header)


# --- compare_table --------------------------------------------------------------------------------


def test_scores_are_those_of_the_same_steps_by_hand(rows):
    X, y = rows[0].copy(), rows[1]
    X[::5, 3] = np.nan
    (result,) = compare_table(X, y, samplers=["smote", "eos"], seeds=1, tune=False)
    assert list(result.methods) == ["none", "logit_adjustment", "smote", "eos"]
    X_train, X_test, y_train, y_test = split_imbalanced(X, y, random_state=0)
    imputer = SimpleImputer(strategy="median").fit(X_train)
    scaler = StandardScaler().fit(imputer.transform(X_train))
    Z_train, Z_test = (scaler.transform(imputer.transform(part)) for part in (X_train, X_test))
    samplers = {
        "none": None,
        "smote": SMOTE(random_state=0),
        "eos": EOS(n_neighbors=20, max_step=0.25, random_state=0),
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


def test_a_class_as_classifier_is_refused(rows):
    with pytest.raises(TypeError, match=r"an instance .* instead of a class"):
        compare_table(*rows, classifier=LogisticRegression)


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


@pytest.mark.parametrize(("sep", "option"), [(";", ";"), ("\t", "\\t"), ("\t", "\t"), (" ", " ")])
def test_command_takes_separator_and_decimal_mark(rows, tmp_path, sep, option):
    frame = pd.DataFrame({"a": rows[0][:, 0], "b": rows[0][:, 1], "kind": rows[1]})
    frame.to_csv(tmp_path / "table.csv", sep=sep, decimal=",", index=False)
    path = tmp_path / "results.json"
    options = "--target", "kind", "--sep", option, "--decimal", ",", "--json", path
    assert run("--data", tmp_path / "table.csv", *options) == 0
    content = json.loads(path.read_text())
    assert content["data"]["features"] == ["a", "b"]
    assert content["data"]["shape"] == [400, 2]
    assert content["arguments"]["sep"] == sep
    assert content["arguments"]["decimal"] == ","


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sep", ";"], ["--sep does not apply to the digits"]),
        (["--decimal", ","], ["--decimal does not apply to the digits"]),
        (["--data", "CSV"], ["--target on the command line", "'f0'"]),
        (["--data", "CSV", "--target", "nothing"], ["target='nothing'", "'f0'"]),
        (
            ["--data", "CSV", "--target", "f1"],
            ["target='f1'", "400 distinct numbers", "not all whole"],
        ),
        (
            ["--data", "CSV", "--target", "<b>kind</b>", "--epochs", "3"],
            ["--epochs does not apply to", "compared as a table"],
        ),
        (
            ["--data", "CSV", "--target", "<b>kind</b>", "--drop", "f21"],
            ["drop='f21'", "none of the columns", "'f0'"],
        ),
        (["--drop", "f0"], ["--drop does not apply to the digits"]),
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
