"""Tests of the recommended model, fitted to all rows."""

import json

import numpy as np
import pytest
import torch
from imblearn.pipeline import Pipeline
from numpy.testing import assert_allclose, assert_array_equal
from safetensors import safe_open
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from imblearn_eos import EOS, AveragedHead, CommonScaler, Embedder, LinearHead, cli
from imblearn_eos.compare import (
    MethodResult,
    compare,
    compare_embeddings,
    compare_table,
    make_record,
    recommend,
    refit_recommended,
    write_json,
    write_report,
)
from imblearn_eos.compare._costs import CostSensitiveClassifier
from imblearn_eos.compare._embeddings import TOL
from imblearn_eos.compare._fit import AdjustedClassifier
from imblearn_eos.compare._recommend import best_setting
from imblearn_eos.compare._registry import ALPHAS, TAUS
from imblearn_eos.compare._splits import make_splits
from imblearn_eos.datasets import load_digit_images, make_imbalanced
from imblearn_eos.metrics import expected_cost_predict, make_cost_scorer

SEEDS = 3
# Not symmetric, so that a transposed one is noticed.
COSTS = np.array([[0.0, 1, 2], [4, -0.5, 1], [20, 5, 0]])


@pytest.fixture(scope="module")
def rows():
    params = {"n_features": 12, "n_informative": 6, "weights": [0.7, 0.2], "random_state": 0}
    Z, y = make_classification(n_samples=400, n_classes=3, class_sep=0.8, **params)
    return Z.astype(np.float32), np.array(["a", "b", "c"])[y]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digit_images()
    return X[y < 3], y[y < 3]


def refit(results, method):
    """Return the model of a method, as if validation rows had chosen it."""
    for result in results:
        result.validation = {method: [1.0]}
    return refit_recommended(results)


# --- method and settings --------------------------------------------------------------------------


def test_settings_and_model_are_those_of_a_grid_search_on_the_folds_of_all_seeds(rows):
    Z, y = rows
    results = list(compare_embeddings(Z, y, samplers=["none"], seeds=SEEDS))
    splits = make_splits(y, SEEDS, test_size=0.3, imbalance_ratio=None)
    steps = [("scaler", CommonScaler()), ("head", LinearHead(tol=TOL))]
    grid = {"head__alpha": [0.03, *ALPHAS], "head__tau": [1.0, *TAUS]}
    folds = [fold for split in splits for fold in split.folds]
    search = GridSearchCV(Pipeline(steps), grid, scoring="balanced_accuracy", cv=folds).fit(Z, y)
    model = refit(results, "logit_adjustment")
    found = {f"head__{name}": value for name, value in model.settings.items()}
    position = search.cv_results_["params"].index(found)
    assert search.cv_results_["mean_test_score"][position] == pytest.approx(search.best_score_)
    assert recommend(results).settings == model.settings
    # Not every seed by itself would choose them.
    of_seeds = [result.methods["logit_adjustment"].settings for result in results]
    assert not all(settings == model.settings for settings in of_seeds)
    expected = clone(search.estimator).set_params(**found).fit(Z, y).predict_proba(Z)
    assert_allclose(model.estimator.predict_proba(Z), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("method", "scoring"), [("logit_adjustment", "neg_log_loss"), ("none", None), ("cost", None)]
)
def test_settings_are_those_of_the_lowest_loss_or_cost(rows, method, scoring):
    Z, y = rows
    params = {"scoring": scoring} if scoring else {"cost_matrix": COSTS}
    results = list(compare_embeddings(Z, y, samplers=["none"], seeds=2, **params))
    head, alphas = LinearHead(alpha=0.03, tol=TOL), [0.03, *ALPHAS]
    if method == "cost":
        head, grid = CostSensitiveClassifier(head, COSTS), {"head__classifier__alpha": alphas}
    else:
        grid = {"head__alpha": alphas}
        grid |= {"head__tau": [1.0, *TAUS]} if method == "logit_adjustment" else {}
    splits = make_splits(y, 2, test_size=0.3, imbalance_ratio=None)
    folds = [fold for split in splits for fold in split.folds]
    scorer = scoring or make_cost_scorer(COSTS)
    pipeline = Pipeline([("scaler", CommonScaler()), ("head", head)])
    search = GridSearchCV(pipeline, grid, scoring=scorer, cv=folds, refit=False).fit(Z, y)
    settings = refit(results, method).settings
    found = [{k.split("__")[-1]: v for k, v in p.items()} for p in search.cv_results_["params"]]
    scores = search.cv_results_["mean_test_score"]
    assert scores[found.index(settings)] == pytest.approx(scores.max())
    assert scores.min() < scores.max() - 1e-3


def test_model_of_expected_cost_decides_by_a_head_on_all_rows(rows, tmp_path):
    Z, y = rows
    results = list(compare_embeddings(Z, y, samplers=["none"], seeds=2, cost_matrix=COSTS))
    model = refit(results, "cost")
    head = LinearHead(alpha=model.settings["alpha"], tol=TOL)
    expected = Pipeline([("scaler", CommonScaler()), ("head", head)]).fit(Z, y)
    proba = expected.predict_proba(Z)
    assert_allclose(model.estimator.predict_proba(Z), proba, atol=1e-4)
    decisions = expected_cost_predict(proba, COSTS, labels=expected.classes_)
    assert_array_equal(model.estimator.predict(Z), decisions)
    assert_array_equal(clone(model.estimator).fit(Z, y).predict(Z), decisions)
    assert (decisions != expected.predict(Z)).mean() > 0.05
    record = make_record(Z, y, source="rows", arguments={})
    page = write_report(tmp_path, record, results, model=model)
    for path in (page, tmp_path / "README.md"):
        text = path.read_text()
        assert "the model of expected cost (alpha=" in text
        assert "the class of least expected cost" in text
    assert str(COSTS.tolist()) in (tmp_path / "load.py").read_text()


@pytest.mark.parametrize("method", ["smote", "eos", "averaged"])
def test_model_is_a_pipeline_by_hand_on_all_rows(rows, method):
    Z, y = rows
    results = list(compare_embeddings(Z, y, samplers=["smote", "eos", "averaged"], seeds=2))
    model = refit(results, method)
    settings = dict(model.settings)
    head = LinearHead(alpha=settings.pop("alpha"), tol=TOL)
    if method == "averaged":
        sampler, of_head = EOS(random_state=0, **settings), {"alpha": head.alpha, "tol": TOL}
        steps = [("scaler", CommonScaler()), ("head", AveragedHead(sampler, **of_head))]
    else:
        sampler = clone(results[0].fitted.samplers[method]).set_params(**settings)
        steps = [("scaler", CommonScaler()), ("sampler", sampler), ("head", head)]
    expected = Pipeline(steps).fit(Z, y)
    assert_allclose(model.estimator.predict_proba(Z), expected.predict_proba(Z), atol=1e-4)
    assert_array_equal(model.estimator.classes_, expected.classes_)
    for same in (Z.tolist(), torch.from_numpy(Z)):
        assert_array_equal(model.estimator.predict(same), expected.predict(Z))
    assert model.train_counts == {label: int(np.sum(y == label)) for label in "abc"}


def test_a_model_of_a_table_takes_rows_as_they_are(rows):
    X, y = rows
    X = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
    results = list(compare_table(X, y, samplers=["none"], seeds=2))
    model = refit(results, "logit_adjustment")
    proba = model.estimator.predict_proba(X)
    assert_allclose(proba.sum(axis=1), 1)
    again = clone(model.estimator).fit(X, y)
    assert_allclose(again.predict_proba(X), proba, atol=1e-4)


def test_adjusted_classifier_divides_by_the_class_sizes(rows):
    X, y = rows
    adjusted = AdjustedClassifier(LogisticRegression(), tau=0.5).fit(X, y)
    proba = LogisticRegression().fit(X, y).predict_proba(X)
    proba /= np.sqrt(np.unique(y, return_counts=True)[1])
    assert_allclose(adjusted.predict_proba(X), proba / proba.sum(axis=1, keepdims=True), rtol=1e-5)


def test_setting_that_failed_on_a_fold_is_left_out(rows):
    results = list(compare_embeddings(*rows, samplers=["smote"], seeds=2))
    scores = [({"k": 1}, [0.9, None]), ({"k": 2}, [0.7, 0.7]), ({"k": 3}, [0.7, 0.7])]
    for result in results:
        result.setting_scores["smote"] = scores
    assert best_setting(results, "smote") == 1
    results[0].setting_scores["smote"] = [(s, [None, *rest]) for s, (_, *rest) in scores]
    assert best_setting(results, "smote") == 1


def test_without_validation_rows_it_is_eos_with_its_default(rows):
    results = list(compare_embeddings(*rows, seeds=1, validation_folds=0))
    model = refit_recommended(results)
    assert model.method == "eos"
    assert model.settings == {"n_neighbors": 1000, "max_step": 0.5, "alpha": 0.03}


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("trained_on_rows", [False, True])
def test_given_parts_stay_out(rows, trained_on_rows):
    Z, y = rows
    test, validation = np.arange(300, 350), np.arange(350, 400)
    params = {"test": test, "validation": validation, "trained_on_rows": trained_on_rows}
    model = refit_recommended(compare_embeddings(Z, y, samplers=["none"], seeds=2, **params))
    assert model.left_out == ("test", "validation")
    assert sum(model.train_counts.values()) == 300
    assert_allclose(model.estimator[0].mean_, Z[:300].mean(axis=0), atol=1e-5)


def test_rows_are_made_long_tailed_as_in_the_comparison(digits):
    X, y = digits
    Z = X.reshape(len(X), -1)
    model = refit_recommended(
        compare_embeddings(Z, y, samplers=["none"], seeds=2, imbalance_ratio=10)
    )
    Z_tail, y_tail = make_imbalanced(Z, y, ratio=10, random_state=0)
    assert list(model.train_counts.values()) == np.bincount(y_tail).tolist()
    assert_allclose(model.estimator[0].mean_, Z_tail.mean(axis=0), atol=1e-5)
    assert model.imbalance_ratio == 10


def test_a_network_is_trained_once_more_on_all_images(digits):
    X, y = digits
    epochs = []
    results = list(
        compare(X, y, samplers=["none"], seeds=1, epochs=2, on_epoch=lambda: epochs.append(1))
    )
    assert len(epochs) == 4
    model = refit(results, "none")
    assert len(epochs) == 6
    net = results[0].fitted.embedder.net
    embedder = Embedder(clone(net), random_state=0).fit(X, y)
    assert_allclose(model.estimator[0].transform(X), embedder.transform(X), atol=1e-5)
    assert_array_equal(refit(results, "network").estimator.predict(X), embedder.predict(X))


def test_with_a_given_test_part_the_network_of_the_first_seed_serves(digits):
    epochs = []
    params = {"test": np.arange(400, 500), "imbalance_ratio": 5, "epochs": 1}
    results = list(
        compare(*digits, samplers=["none"], seeds=2, on_epoch=lambda: epochs.append(1), **params)
    )
    n_epochs = len(epochs)
    model = refit(results, "none")
    assert len(epochs) == n_epochs
    assert model.estimator[0] is results[0].fitted.embedder


# --- failures, and what is said -------------------------------------------------------------------


def test_no_other_method_stands_in_for_the_recommended_one(rows, tmp_path):
    """SMOTE fits every fold and seed here, but not the rows of the model."""
    Z, y = rows
    results = list(compare_embeddings(Z, y, samplers=["smote", "eos"], seeds=2))
    for result in results:
        result.validation = {"smote": [1.0], "eos": [0.5]}
    results[0].methods["smote"] = MethodResult(error="ValueError: no")
    comparison = results[0].fitted.comparison
    few = np.concatenate([np.flatnonzero(y == "a"), np.flatnonzero(y != "a")[:2]])
    object.__setattr__(comparison, "model_rows", few)
    with pytest.raises(ValueError, match=r"SMOTE cannot be fitted to the .* rows"):
        refit_recommended(results)
    record = make_record(Z, y, source="rows", arguments={})
    page = write_report(tmp_path, record, results).read_text()
    assert "No model was saved: SMOTE cannot be fitted" in page
    assert not (tmp_path / "load.py").exists()


def test_results_without_the_data_are_refused(rows, tmp_path):
    results = list(compare_embeddings(*rows, samplers=["none"], seeds=1))
    results[0].fitted = None
    with pytest.raises(ValueError, match="has no 'fitted'"):
        refit_recommended(results)


def test_an_interrupted_run_saves_no_model(rows, tmp_path):
    results = list(compare_embeddings(*rows, samplers=["none"], seeds=1))
    record = make_record(*rows, source="rows", arguments={}, complete=False)
    assert "No model was saved: The run was interrupted" in (
        write_report(tmp_path, record, results).read_text()
    )
    assert not (tmp_path / "head.safetensors").exists()


def test_page_card_and_terminal_say_which_rows_the_model_was_fitted_to(rows, tmp_path, capsys):
    np.savez(tmp_path / "rows.npz", X=rows[0], y=rows[1])
    folder = tmp_path / "report"
    arguments = ["--samplers", "none", "--seeds", "1", "--no-tune", "--report", str(folder)]
    assert cli.main(["compare", "--data", str(tmp_path / "rows.npz"), *arguments]) == 0
    output = capsys.readouterr().out
    texts = [(folder / name).read_text() for name in ("report.html", "README.md")]
    for text in (output, *texts):
        assert "fitted to all 400 embeddings" in text or "fitted to all 400 rows" in text
        assert "fitted to training rows alone" in text
    found = json.loads((folder / "results.json").read_text())["recommendation"]
    with safe_open(folder / "head.safetensors", "np") as file:
        assert file.metadata()["method"] == found["method"]


def test_a_model_that_was_fitted_before_is_saved(rows, tmp_path, monkeypatch):
    results = list(compare_embeddings(*rows, samplers=["none"], seeds=1))
    model = refit_recommended(results)
    results[0].fitted.comparison = None
    record = make_record(*rows, source="rows", arguments={})
    write_report(tmp_path, record, results, model=model)
    with safe_open(tmp_path / "head.safetensors", "np") as file:
        assert json.loads(file.metadata()["classes"]) == ["a", "b", "c"]


def test_files_of_results_do_not_hold_the_score_of_every_setting(rows, tmp_path):
    results = list(compare_embeddings(*rows, samplers=["none"], seeds=1))
    record = make_record(*rows, source="rows", arguments={})
    write_json(tmp_path / "results.json", record, results)
    [run] = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert "setting_scores" not in run
    assert run["methods"]["logit_adjustment"]["settings"].keys() == {"alpha", "tau"}
