"""A comparison that chooses by costs."""

import csv
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from scipy import stats
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from imblearn_eos import CommonScaler, LinearHead, cli
from imblearn_eos.compare import (
    compare_embeddings,
    compare_table,
    format_table,
    format_verdict,
    make_record,
    recommend,
    summarize,
    write_csv,
    write_report,
)
from imblearn_eos.compare._costs import Costs
from imblearn_eos.compare._embeddings import TOL
from imblearn_eos.compare._recommend import is_near_chance
from imblearn_eos.compare._registry import ALPHAS
from imblearn_eos.compare._statistics import paired_difference
from imblearn_eos.compare._summary import order_methods
from imblearn_eos.metrics import make_cost_scorer

# Not symmetric, so that a transposed one is noticed.
COSTS = np.array([[0.0, 1, 2], [4, -0.5, 1], [20, 5, 0]])
NAMES = np.array(["ant", "bee", "cat"])


def slow_costs(y_true, y_pred):
    classes = NAMES.tolist()
    pairs = zip(y_true, y_pred, strict=True)
    return [COSTS[classes.index(true), classes.index(predicted)] for true, predicted in pairs]


@pytest.fixture(scope="module")
def rows():
    params = {"n_features": 12, "n_informative": 6, "weights": [0.7, 0.2], "random_state": 0}
    Z, y = make_classification(n_samples=400, n_classes=3, class_sep=0.8, **params)
    return Z.astype(np.float32), NAMES[y]


@pytest.fixture(scope="module")
def results(rows):
    return list(compare_embeddings(*rows, samplers=["smote"], seeds=3, cost_matrix=COSTS))


@pytest.fixture(scope="module")
def record(rows):
    return make_record(*rows, source="rows", arguments={})


# --- the choice -----------------------------------------------------------------------------------


def test_settings_are_those_of_a_grid_search_by_cost(rows, results):
    Z, y = rows
    train = results[0].fitted.train
    sampler = SMOTE(random_state=0)
    steps = [
        ("scaler", CommonScaler()),
        ("sampler", sampler),
        ("head", LinearHead(alpha=0.03, tol=TOL)),
    ]
    grid = {"head__alpha": [0.03, *ALPHAS], "sampler__k_neighbors": [5, 3, 10]}
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    search = GridSearchCV(Pipeline(steps), grid, scoring=make_cost_scorer(COSTS), cv=folds)
    search.fit(Z[train], y[train])
    assert np.mean(results[0].validation["smote"]) == pytest.approx(search.best_score_)
    settings = results[0].methods["smote"].settings
    assert settings["k_neighbors"] == search.best_params_["sampler__k_neighbors"]
    assert settings["alpha"] == search.best_params_["head__alpha"]


def test_the_method_with_the_lowest_validation_cost_is_recommended(results):
    costs = {m: -np.mean([r.validation[m] for r in results]) for m in results[0].methods}
    assert recommend(results).method == min(costs, key=costs.get)
    assert order_methods(results) == sorted(costs, key=costs.get)


def test_expected_cost_decides_by_the_probabilities_without_over_sampling(rows, results):
    Z, y = rows
    result = results[0]
    fitted, alpha = result.fitted, result.methods["cost"].settings["alpha"]
    head = LinearHead(alpha=alpha, tol=TOL).fit(fitted.Z_train, fitted.y_train)
    proba = head.predict_proba(fitted.Z_test)
    expected = [min(range(3), key=lambda j, p=p: sum(p * COSTS[:, j])) for p in proba]
    assert (fitted.predictions["cost"] == NAMES[expected]).mean() > 0.99
    assert (fitted.predictions["cost"] != head.predict(fitted.Z_test)).mean() > 0.05
    outcomes = result.methods
    assert outcomes["cost"].rows_added == 0
    assert outcomes["cost"].scores["mean_cost"] < 0.8 * outcomes["none"].scores["mean_cost"]
    # The penalty is the one that is best for these decisions.
    best = []
    for alpha in (0.03, *ALPHAS):
        costs = []
        for fit, held in StratifiedKFold(5, shuffle=True, random_state=0).split(
            fitted.train, y[fitted.train]
        ):
            fit, held = fitted.train[fit], fitted.train[held]
            scaler = CommonScaler().fit(Z[fit])
            head = LinearHead(alpha=alpha, tol=TOL).fit(scaler.transform(Z[fit]), y[fit])
            proba = head.predict_proba(scaler.transform(Z[held]))
            costs.append(np.mean(slow_costs(y[held], NAMES[(proba @ COSTS).argmin(axis=1)])))
        best.append(np.mean(costs))
    assert -np.mean(result.validation["cost"]) == pytest.approx(min(best), abs=0.01)


def test_mean_cost_is_that_of_the_test_rows(results):
    for result in results[:1]:
        for name, outcome in result.methods.items():
            expected = np.mean(slow_costs(result.fitted.y_test, result.fitted.predictions[name]))
            assert outcome.scores["mean_cost"] == pytest.approx(expected)


def test_without_costs_there_is_no_cost(rows, record, tmp_path):
    results = list(compare_table(*rows, samplers=["none"], seeds=1))
    assert "cost" not in results[0].methods
    assert results[0].cost_matrix is None
    write_csv(tmp_path / "r.csv", record, results)
    assert "mean_cost" not in next(csv.reader((tmp_path / "r.csv").open()))
    assert "mean_cost" not in summarize(results)["none"]
    assert "cost" not in write_report(tmp_path / "page", record, results).read_text().lower()


@pytest.mark.parametrize("index", ["sorted", "mixed"])
def test_a_data_frame_names_the_classes_in_any_order(rows, results, index):
    frame = pd.DataFrame(COSTS, index=NAMES, columns=NAMES)
    if index == "mixed":
        frame = frame.loc[["cat", "ant", "bee"], ["bee", "cat", "ant"]]
    (result,) = compare_embeddings(*rows, samplers=["smote"], seeds=1, cost_matrix=frame)
    assert result.cost_matrix == COSTS.tolist()
    assert result.validation == results[0].validation


def test_the_threshold_follows_the_costs(rows):
    Z, y = rows
    found = {}
    params = {"samplers": ["threshold"], "seeds": 1, "validation_folds": 0}
    for missed in (1, 30):
        costs = [[0, 1], [missed, 0]]
        (result,) = compare_table(Z, y == "cat", cost_matrix=costs, **params)
        found[missed] = result.fitted.heads["threshold"].best_threshold_
    assert found[30] < found[1]


def test_a_class_that_a_fold_lacks_is_not_decided_for():
    X = np.random.RandomState(0).normal(size=(60, 2))
    y = np.where(X[:, 0] > 0, "cat", "ant")
    head = LogisticRegression().fit(X, y)
    decisions = Costs(NAMES, COSTS).decide_by(head).predict(X)
    assert set(decisions) <= {"ant", "cat"}
    p = head.predict_proba(X)
    np.testing.assert_array_equal(decisions == "cat", 20 * p[:, 1] > 2 * p[:, 0])


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (np.ones((2, 2)) - np.eye(2), r"cost_matrix .*shape \(3, 3\)\. Got the shape \(2, 2\)"),
        (np.full((3, 3), np.nan), "cost_matrix contains NaN"),
        (np.zeros((3, 3)), "In cost_matrix, no error costs more"),
        # Transposed, or with the costs of right decisions.
        (np.eye(3), "In cost_matrix, class ant costs 0 if it is taken for bee, less than the 1"),
        (
            pd.DataFrame(COSTS, index=NAMES, columns=["ant", "bee", "dog"]),
            r"columns of cost_matrix must be named .*'ant', 'bee', 'cat'.*Got .*'dog'",
        ),
        (pd.DataFrame(COSTS), "rows of cost_matrix must be named"),
        (pl.DataFrame(COSTS, schema=NAMES.tolist()), "cost_matrix .* not for its rows"),
        (
            pd.DataFrame(COSTS, index=["ant", "ant", "cat"], columns=NAMES),
            "rows of cost_matrix must be named .* each once. Got 'ant', 'ant', 'cat'",
        ),
    ],
)
def test_impossible_costs_are_named(rows, costs, message):
    with pytest.raises(ValueError, match=message):
        compare_table(*rows, cost_matrix=costs)


def test_costs_and_scoring_exclude_each_other(rows):
    for scoring in ("f1_macro", "balanced_accuracy"):
        with pytest.raises(ValueError, match=f"exclude each other.*scoring is '{scoring}'"):
            compare_table(*rows, cost_matrix=COSTS, scoring=scoring)


# --- noise ----------------------------------------------------------------------------------------


def test_interval_of_a_given_test_part_is_that_of_paired_costs(rows):
    Z, y = rows
    test = np.arange(250, 400)
    params = {"samplers": ["none"], "test": test, "tune": False, "cost_matrix": COSTS}
    (result,) = compare_table(Z, y, seeds=1, **params)
    labels = result.fitted.predictions
    pairs = np.subtract(slow_costs(y[test], labels["cost"]), slow_costs(y[test], labels["none"]))
    found = paired_difference([result], "cost", metric="mean_cost")
    expected = stats.norm.interval(0.95, pairs.mean(), stats.sem(pairs))
    assert found.mean == pytest.approx(pairs.mean())
    assert (found.low, found.high) == pytest.approx(expected)


def test_a_method_must_cost_less_than_one_label_for_all_rows():
    random_state = np.random.RandomState(0)
    y = np.repeat(NAMES[:2], [200, 40])
    noise = random_state.normal(size=(240, 3))
    known = noise + 3 * (y == "bee")[:, np.newaxis]
    costs = [[0, 1], [5, 0]]
    learnt, guessed = (
        list(compare_table(X, y, samplers=["none"], seeds=3, cost_matrix=costs))
        for X in (known, noise)
    )
    assert not is_near_chance(learnt)
    assert is_near_chance(guessed)
    # One label for all rows: 200 rows of a cost of 1, or 40 of 5.
    assert "is within noise of that of one label for all rows, 0.833" in format_verdict(guessed)
    method = recommend(learnt).method
    cost, before = (
        np.mean([r.methods[name].scores["mean_cost"] for r in learnt]) for name in (method, "none")
    )
    assert (
        f"a test row costs {cost:.3f} on average instead of {before:.3f} without over-sampling"
    ) in format_verdict(learnt)


# --- how costs are shown --------------------------------------------------------------------------


def test_terminal_shows_costs_per_row(results):
    head, _, first, *_ = format_table(results).splitlines()
    for name in ("validation mean cost", " mean cost ", "balanced accuracy"):
        assert name in head
    method = recommend(results).method
    validation = -np.mean([r.validation[method] for r in results])
    costs = {
        name: np.mean([r.methods[name].scores["mean_cost"] for r in results])
        for name in (method, "none")
    }
    assert f" {validation:.3f} " in first
    assert f" {costs[method]:.3f} " in first


def test_cost_of_one_label_for_all_rows_is_shown(results, record, tmp_path):
    guesses = []
    for result in results:
        y = result.fitted.y_test
        guesses.append(min(np.mean(slow_costs(y, np.full(len(y), label))) for label in NAMES))
    text = (
        "One label for all test rows, the one that costs least, has a mean cost of "
        f"{np.mean(guesses):.3f}."
    )
    assert text in format_table(results).splitlines()
    assert text in write_report(tmp_path, record, results).read_text()
    assert text in (tmp_path / "README.md").read_text()


def test_a_scorer_of_costs_needs_no_cost_matrix(rows):
    Z, y = rows
    params = {"samplers": ["none"], "test": np.arange(250, 400), "tune": False, "seeds": 1}
    scorer = make_cost_scorer(COSTS, labels=NAMES)
    (result,) = compare_table(Z, y, scoring=scorer, **params)
    (known,) = compare_table(Z, y, cost_matrix=COSTS, **params)
    assert result.methods["none"].scores == pytest.approx(known.methods["none"].scores)
    # The costs of single rows are not known.
    found = paired_difference([result], "logit_adjustment", metric="mean_cost")
    assert found.mean != 0
    assert found.low is None
    assert "a test row costs" in format_verdict([result])


def test_page_and_card_show_costs_and_that_lower_is_better(results, record, tmp_path):
    page = write_report(tmp_path, record, results).read_text()
    method = recommend(results).method
    cost = np.mean([r.methods[method].scores["mean_cost"] for r in results])
    assert "in percent except for the mean cost, of which lower is better." in page
    assert "the method with the lowest mean cost on the rows held out" in page
    assert f"<td>{cost:.3f}</td>" in page
    table = page[page.index('<table id="costs">') :]
    cells = [float(text.split("</td>")[0]) for text in table.split("</table>")[0].split("<td>")[1:]]
    assert cells == COSTS.ravel().tolist()
    # All methods that are better than no over-sampling have a negative difference.
    difference = paired_difference(results, method, metric="mean_cost")
    assert difference.high < 0
    assert f'{difference.mean:+.3f} <span class="better">' in page
    card = (tmp_path / "README.md").read_text()
    assert f"| Mean cost (lower is better) | {cost:.3f} | " in card
    assert "It was chosen by mean cost." in card


def test_files_hold_costs(results, record, tmp_path):
    write_csv(tmp_path / "r.csv", record, results)
    lines = list(csv.DictReader((tmp_path / "r.csv").open()))
    first = results[0].methods["none"].scores["mean_cost"]
    assert float(lines[0]["mean_cost"]) == pytest.approx(first)
    assert lines[0]["scoring"] == "neg_mean_cost"
    assert json.loads(lines[0]["cost_matrix"]) == COSTS.tolist()
    found = summarize(results)["cost"]["mean_cost"]["difference"]
    assert found["mean"] < found["high"] < 0


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("rows.npz", X=rows[0], y=rows[1])
    return ["compare", "--data", "rows.npz", "--samplers", "none", "--seeds", "1"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_file_of_costs_names_the_classes_in_any_order(command, tmp_path, separator):
    frame = pd.DataFrame(COSTS, index=NAMES, columns=NAMES)
    frame.loc[["bee", "cat", "ant"], ["cat", "ant", "bee"]].to_csv("costs.csv", sep=separator)
    assert cli.main([*command, "--cost-matrix", "costs.csv", "--json", "r.json"]) == 0
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["runs"][0]["cost_matrix"] == COSTS.tolist()
    assert content["arguments"]["cost_matrix"] == "costs.csv"
    assert content["runs"][0]["scoring"] == "neg_mean_cost"
    assert "cost" in content["summary"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["--cost-matrix", "costs.csv cannot be read (No such file", "Name a .csv file"]),
        ("0,1,1\n20,0,1\n1,1,0\n", ["Got '20', '1'. The first line", "first column", "missing"]),
        ("", ["costs.csv is not a table of costs", "true class"]),
        (",ant,bee,cat\nant,0,1\n", ["costs.csv is not a table of costs"]),
        (
            ",ant,bee,cat\nant,0,1,x\nbee,1,0,1\ncat,1,1,0\n",
            ["--cost-matrix", "costs.csv has 'x' as the cost of 'ant' that is taken for 'cat'"],
        ),
        (",ant,bee,cat\nant,0,1,inf\nbee,1,0,1\ncat,1,1,0\n", ["has 'inf'", "finite number"]),
        (",ant,bee\nant,0,1\nbee,1,0\n", ["rows of --cost-matrix costs.csv", "'cat'"]),
        (",ant,bee,cat\nant,0,1,1\nbee,1,2,1\ncat,1,1,0\n", ["In --cost-matrix costs.csv, class"]),
    ],
)
def test_impossible_files_of_costs_are_named(command, tmp_path, capsys, text, words):
    if text is not None:
        (tmp_path / "costs.csv").write_text(text)
    with pytest.raises(SystemExit):
        cli.main([*command, "--cost-matrix", "costs.csv"])
    message = capsys.readouterr().err
    assert all(word in message for word in words)
