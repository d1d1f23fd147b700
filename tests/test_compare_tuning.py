"""Tests of how a comparison chooses the settings of its methods."""

import json

import numpy as np
import pytest
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from imblearn.pipeline import Pipeline
from numpy.testing import assert_allclose
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, make_scorer, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from imblearn_eos import EOS, AveragedHead, CommonScaler, LinearHead, cli
from imblearn_eos.compare import (
    METHODS,
    compare,
    compare_embeddings,
    compare_table,
    format_table,
    make_record,
    write_report,
)
from imblearn_eos.compare._candidates import best_candidate, make_candidates
from imblearn_eos.compare._embeddings import TOL
from imblearn_eos.compare._neighbors import Found, max_neighbors, share_neighbors
from imblearn_eos.compare._registry import ALPHAS, TAUS
from imblearn_eos.datasets import load_digit_images


@pytest.fixture(scope="module")
def rows():
    params = {"n_features": 12, "n_informative": 6, "weights": [0.7, 0.2], "random_state": 0}
    Z, y = make_classification(n_samples=400, n_classes=3, class_sep=0.8, **params)
    return Z.astype(np.float32), y


def candidates(samplers=None, head=None, n_classes=3, **params):
    defaults = {"eos": None, "default_eos": EOS(), "tune": True, "tune_head": True}
    return make_candidates(samplers, head or LinearHead(), n_classes, **(defaults | params))


# --- the choice -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scoring", ["balanced_accuracy", "f1_macro"])
@pytest.mark.parametrize("method", ["smote", "adasyn", "eos"])
def test_settings_are_those_of_a_grid_search_on_the_same_folds(rows, method, scoring):
    params = {"samplers": [method], "seeds": 1, "alpha": 0.01}
    (result,) = compare_embeddings(*rows, scoring=scoring, **params)
    train, y_train = result.fitted.train, result.fitted.y_train
    default = (
        EOS(n_neighbors=1000, max_step=0.5) if method == "eos" else result.fitted.samplers[method]
    )
    steps = [
        ("scaler", CommonScaler()),
        ("sampler", default),
        ("head", LinearHead(alpha=0.01, tol=TOL)),
    ]
    steps[1][1].set_params(random_state=0)
    grid = {"head__alpha": [0.01, *ALPHAS]}
    for name, values in METHODS[method].grid.items():
        standard = METHODS[method].make_sampler().get_params()[name]
        grid[f"sampler__{name}"] = list({standard, *values} if method != "eos" else values)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    search = GridSearchCV(Pipeline(steps), grid, scoring=scoring, cv=folds)
    search.fit(rows[0][train], y_train)
    assert np.mean(result.validation[method]) == pytest.approx(search.best_score_)
    settings = result.methods[method].settings
    prefixed = {("head__" if n == "alpha" else "sampler__") + n: v for n, v in settings.items()}
    position = search.cv_results_["params"].index(prefixed)
    assert search.cv_results_["mean_test_score"][position] == pytest.approx(search.best_score_)
    # What was chosen is fitted to all training rows.
    assert result.fitted.heads[method].alpha == settings["alpha"]
    for name in METHODS[method].grid:
        assert getattr(result.fitted.samplers[method], name) == settings[name]


def test_strength_of_logit_adjustment_is_chosen(rows):
    Z, y = rows
    (result,) = compare_embeddings(Z, y, samplers=["none"], seeds=1)
    settings, train = result.methods["logit_adjustment"].settings, result.fitted.train
    scores = {}
    for alpha in (0.03, *ALPHAS):
        for tau in (1.0, *TAUS):
            steps = [
                ("scaler", CommonScaler()),
                ("head", LinearHead(alpha=alpha, tau=tau, tol=TOL)),
            ]
            folds = StratifiedKFold(5, shuffle=True, random_state=0)
            search = GridSearchCV(Pipeline(steps), {}, scoring="balanced_accuracy", cv=folds)
            scores[alpha, tau] = search.fit(Z[train], y[train]).best_score_
    assert scores[settings["alpha"], settings["tau"]] == pytest.approx(max(scores.values()))
    assert result.fitted.heads["logit_adjustment"].tau == settings["tau"]


def test_a_scorer_chooses(rows):
    rarest = make_scorer(recall_score, labels=[2], average="macro")
    (result,) = compare_embeddings(*rows, samplers=["eos"], seeds=1, scoring=rarest)
    (usual,) = compare_embeddings(*rows, samplers=["eos"], seeds=1)
    assert result.validation["eos"] != usual.validation["eos"]
    assert np.mean(result.validation["eos"]) > np.mean(result.validation["none"])


@pytest.mark.parametrize("scoring", ["f1_macro", "average_precision", "neg_log_loss"])
def test_the_head_of_a_trained_network_can_be_scored(scoring):
    X, y = load_digit_images()
    X, y = X[y < 3], y[y < 3]
    params = {"epochs": 1, "samplers": ["none"], "tune": False, "imbalance_ratio": 5}
    (result,) = compare(X, y, seeds=1, scoring=scoring, **params)
    assert np.isfinite(result.validation["network"]).all()
    assert not result.validation_errors


def test_test_rows_do_not_choose(rows):
    Z, y = rows
    test = np.arange(300, 400)
    shuffled = y.copy()
    shuffled[test] = np.random.RandomState(0).permutation(y[test])
    first, second = (
        next(compare_embeddings(Z, labels, test=test, seeds=1)) for labels in (y, shuffled)
    )
    assert first.validation == second.validation
    for name in first.methods:
        assert first.methods[name].settings == second.methods[name].settings


def test_without_validation_rows_the_defaults_run(rows):
    (result,) = compare_embeddings(*rows, seeds=1, validation_folds=0)
    assert result.methods["eos"].settings == {"n_neighbors": 1000, "max_step": 0.5, "alpha": 0.03}
    assert result.methods["logit_adjustment"].settings == {"alpha": 0.03, "tau": 1.0}


def test_no_tuning_means_one_candidate(rows):
    assert {len(found) for found in candidates(tune=False).values()} == {1}
    (result,) = compare_embeddings(*rows, seeds=1, tune=False)
    assert all(outcome.settings == {} for outcome in result.methods.values())
    assert len(result.validation["eos"]) == 5


def test_what_is_given_keeps_its_settings(rows):
    given = ("mine", BorderlineSMOTE(k_neighbors=3))
    made = candidates(["eos", given], eos=EOS(n_neighbors=7), tune_head=False)
    assert len(made["mine"]) == len(made["eos"]) == 1
    assert made["eos"][0].sampler.n_neighbors == 7
    (result,) = compare_table(
        *rows, samplers=["smote"], seeds=1, classifier=DecisionTreeClassifier(max_depth=2)
    )
    assert result.methods["smote"].settings.keys() == {"k_neighbors"}


def test_the_default_comes_first_and_every_setting_once():
    for name, found in candidates().items():
        settings = [tuple(candidate.settings.items()) for candidate in found]
        assert len(set(settings)) == len(settings), name
    assert candidates()["eos"][0].settings == {"n_neighbors": 10, "max_step": 1.0, "alpha": 0.01}
    assert candidates()["smote"][0].settings == {"k_neighbors": 5, "alpha": 0.01}


def test_a_table_starts_from_shorter_steps_and_from_half_steps_for_trees(rows):
    for classifier, max_step in [(None, 0.25), (DecisionTreeClassifier(), 0.5)]:
        params = {"samplers": ["eos"], "seeds": 1, "classifier": classifier}
        (result,) = compare_table(*rows, **params, validation_folds=0)
        assert result.methods["eos"].settings == {"n_neighbors": 20, "max_step": max_step}
        (result,) = compare_table(*rows, **params)
        assert result.methods["eos"].settings["n_neighbors"] in (5, 20)


def test_best_candidate_has_the_best_mean_and_ties_go_to_the_first():
    assert best_candidate([[0.5, 0.7, 0.6], [0.7, 0.5, 0.6]]) == 0
    assert best_candidate([[0.5, 0.7], [0.7, 0.6]]) == 1
    assert best_candidate([[0.5, None], [0.7, 0.9]]) == 0
    assert best_candidate([[None], [0.7]]) is None


def test_a_setting_that_fails_on_a_fold_is_not_chosen():
    # Six rows of class 1 in a fold: SMOTE with ten neighbors fails.
    random_state = np.random.RandomState(0)
    X, y = random_state.normal(size=(100, 3)), np.repeat([0, 1], [90, 10])
    (result,) = compare_table(X, y, samplers=["smote"], seeds=1)
    assert result.methods["smote"].settings["k_neighbors"] == 3
    assert result.methods["smote"].error is None
    assert "smote" in result.validation


# --- methods without a sampler --------------------------------------------------------------------


def test_class_weights_and_averaged_heads_are_those_by_hand(rows):
    Z, y = rows
    names = ["class_weight", "averaged"]
    (result,) = compare_embeddings(Z, y, samplers=names, seeds=1, tune=False)
    train, test = result.fitted.train, result.fitted.test
    scaler = CommonScaler().fit(Z[train])
    assert repr(result.fitted.heads["averaged"].sampler) == (
        "EOS(max_step=0.5, n_neighbors=1000, random_state=0)"
    )
    eos = EOS(n_neighbors=1000, max_step=0.5, random_state=0)
    params = {"alpha": 0.03, "tol": TOL}
    heads = LinearHead(class_weight="balanced", **params), AveragedHead(eos, **params)
    for name, head in zip(names, heads, strict=True):
        head.fit(scaler.transform(Z[train]), y[train])
        assert_allclose(result.fitted.heads[name].coef_, head.coef_, atol=1e-4)
        assert result.methods[name].rows_added == 0
        score = balanced_accuracy_score(y[test], head.predict(scaler.transform(Z[test])))
        assert result.methods[name].scores["balanced_accuracy"] == pytest.approx(score)


def test_threshold_is_moved_for_two_classes_only(rows):
    Z, y = rows
    (result,) = compare_table(Z, y == 2, samplers=["threshold"], seeds=1)
    head = result.fitted.heads["threshold"]
    assert isinstance(head, TunedThresholdClassifierCV)
    recalls = [result.methods[name].recall["True"] for name in ("none", "threshold")]
    assert recalls[0] < recalls[1]
    for params in ({}, {"head": LogisticRegression(), "n_classes": 3, "tune_head": False}):
        assert "threshold" not in candidates(**params)


def test_methods_that_a_classifier_cannot_have_are_left_out(rows):
    made = candidates(head=KNeighborsClassifier(), tune_head=False)
    assert not made.keys() & {"class_weight", "averaged"}
    made = candidates(head=LogisticRegression(), tune_head=False)
    assert "class_weight" in made
    assert "averaged" not in made
    for params in ({"class_weight": "balanced"}, {"target_prior": [0.2, 0.3, 0.5]}):
        assert "averaged" not in candidates(head=LinearHead(**params), tune_head=False)


# --- shared neighbors -----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [SMOTE(), ADASYN(), EOS(), EOS(n_neighbors=90)])
@pytest.mark.parametrize("n_searched", [0, 120])
def test_shared_neighbors_change_no_row(rows, sampler, n_searched):
    Z, y = rows
    found = Found()
    expected = sampler.set_params(random_state=0).fit_resample(Z, y)[0]
    for _ in range(2):
        before = sampler.get_params()
        params = share_neighbors(sampler, found, n_searched)
        made = sampler.fit_resample(Z, y)[0]
        sampler.set_params(**params)
        assert_allclose(made, expected)
        assert sampler.get_params() == before
    assert found


def test_the_largest_search_serves_all():
    samplers = [SMOTE(), EOS(n_neighbors=90), BorderlineSMOTE(m_neighbors=500), None]
    assert max_neighbors(samplers) == 91


def test_table_and_page_say_what_was_chosen_and_how_often(rows, tmp_path):
    results = list(compare_embeddings(*rows, samplers=["smote"], seeds=3))
    for result, k in zip(results, [3, 10, 3], strict=True):
        result.methods["smote"].settings = {"k_neighbors": k, "alpha": 0.1}
        result.validation["smote"] = [1.0]
    line = "k_neighbors=3, alpha=0.1 (2 of 3 seeds); k_neighbors=10, alpha=0.1 (1 of 3 seeds)"
    assert f"\nChosen for SMOTE: {line}\n" in f"{format_table(results)}\n"
    results[0].scoring = "f1_macro"
    record = make_record(*rows, source="rows", arguments={})
    page = write_report(tmp_path, record, results).read_text()
    assert f"<dt>SMOTE</dt><dd>{line}</dd>" in page
    assert "best mean macro F1 on" in page
    untuned = list(compare_embeddings(*rows, samplers=["smote"], seeds=1, tune=False))
    assert "Chosen for" not in format_table(untuned)


# --- the command ----------------------------------------------------------------------------------


def test_options_of_the_command_reach_the_comparison(rows, tmp_path):
    data, results = tmp_path / "rows.npz", tmp_path / "results.json"
    np.savez(data, X=rows[0], y=rows[1])
    command = [
        "compare",
        "--data",
        str(data),
        "--json",
        str(results),
        "--seeds",
        "1",
        "--overwrite",
    ]

    def settings_of(*options):
        assert cli.main([*command, "--samplers", "eos", *options]) == 0
        return json.loads(results.read_text())["runs"][0]["methods"]["eos"]["settings"]

    assert settings_of().keys() == {"n_neighbors", "max_step", "alpha"}
    assert settings_of("--no-tune") == {}
    assert settings_of("--n-neighbors", "5", "--max-step", "0.5").keys() == {"alpha"}
    assert json.loads(results.read_text())["arguments"]["eos"] == "EOS(max_step=0.5, n_neighbors=5)"
    settings_of("--scoring", "f1_macro")
    assert json.loads(results.read_text())["arguments"]["scoring"] == "f1_macro"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--scoring", "luck"],
            ["'scoring'", "'luck'", "no scorer", "f1_macro", "recall_at_precision=0.9"],
        ),
        (
            ["--max-step", "2"],
            ["'max_step' parameter of the sampler 'eos'", "(0.0, 1.0]", "Got 2.0"],
        ),
    ],
)
def test_impossible_options_are_named(options, words, capsys):
    with pytest.raises(SystemExit):
        cli.main(["compare", "--epochs", "1", *options])
    message = capsys.readouterr().err
    assert all(word in message for word in words)
