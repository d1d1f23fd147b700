"""What a comparison can choose by, and how such scores are shown."""

import csv
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    jaccard_score,
    log_loss,
    make_scorer,
    matthews_corrcoef,
    mean_absolute_error,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV
from sklearn.preprocessing import label_binarize

from imblearn_eos import LinearHead
from imblearn_eos.compare import (
    METRICS,
    compare_table,
    format_table,
    format_verdict,
    make_record,
    recommend,
    summarize,
    write_csv,
    write_report,
)
from imblearn_eos.compare._measures import main_measure, number, signed_number
from imblearn_eos.compare._recommend import guess_margin
from imblearn_eos.compare._scoring import find_scorer

NAMES = np.array(["ant", "bee", "cat"])
BEES, MACRO = ("bee", "ant"), {"average": "macro"}


def bee(y, proba):
    return y == "bee", proba


def make_rows(n_classes, weights):
    X, y = make_classification(
        n_samples=300,
        n_features=8,
        n_informative=5,
        n_classes=n_classes,
        weights=weights,
        class_sep=0.6,
        flip_y=0.1,
        random_state=0,
    )
    return X, NAMES[y]


@pytest.fixture(scope="module", params=[[0.8], [0.2]], ids=["last is rarer", "first is rarer"])
def two(request):
    X, y = make_rows(2, request.param)
    head = LogisticRegression().fit(X[::2], y[::2])
    rarer = NAMES[0 if request.param[0] < 0.5 else 1]
    return head, X, y, rarer


@pytest.fixture(scope="module")
def three():
    X, y = make_rows(3, [0.6, 0.3])
    return LogisticRegression().fit(X[::2], y[::2]), X, y


# --- the scores -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("f1", f1_score),
        ("precision", precision_score),
        ("recall", recall_score),
        ("jaccard", jaccard_score),
    ],
)
def test_scores_of_two_classes_are_those_of_the_rarer(two, name, function):
    head, X, y, rarer = two
    _, scorer = find_scorer(name, y)
    assert scorer(head, X, y) == pytest.approx(function(y == rarer, head.predict(X) == rarer))


def test_average_precision_is_that_of_the_rarer_of_two_classes(two):
    head, X, y, rarer = two
    proba = head.predict_proba(X)[:, head.classes_ == rarer]
    expected = average_precision_score(y == rarer, proba)
    assert find_scorer("average_precision", y)[1](head, X, y) == pytest.approx(expected)


def test_average_precision_is_a_mean_over_more_classes(three):
    head, X, y = three
    _, scorer = find_scorer("average_precision", y)
    one_hot, proba = label_binarize(y, classes=head.classes_), head.predict_proba(X)
    assert scorer(head, X, y) == pytest.approx(average_precision_score(one_hot, proba))
    # A fold may lack a class.
    some = y != "cat"
    expected = np.mean([average_precision_score(one_hot[some, i], proba[some, i]) for i in (0, 1)])
    assert scorer(head, X[some], y[some]) == pytest.approx(expected)
    assert scorer(head, X[y == "ant"], y[y == "ant"]) == 0


@pytest.mark.parametrize("least", [0.3, 0.6, 0.9, 1.0])
def test_recall_at_a_precision_is_the_best_of_all_thresholds(two, least):
    head, X, y, rarer = two
    name, scorer = find_scorer(f"recall_at_precision={least}", y)
    scores = head.predict_proba(X)[:, list(head.classes_).index(rarer)]
    found = [0.0]
    for threshold in scores:
        hits = np.sum((scores >= threshold) & (y == rarer))
        if hits / np.sum(scores >= threshold) >= least:
            found.append(hits / np.sum(y == rarer))
    assert scorer(head, X, y) == pytest.approx(max(found))
    assert name == f"recall_at_precision={least}"


def test_log_loss_is_known_where_rows_lack_a_class(three):
    head, X, y = three
    _, scorer = find_scorer("neg_log_loss", y)
    some = y != "bee"
    column = {label: i for i, label in enumerate(head.classes_)}
    proba = head.predict_proba(X[some])[np.arange(some.sum()), [column[c] for c in y[some]]]
    assert scorer(head, X[some], y[some]) == pytest.approx(np.log(proba).mean())
    assert scorer(head, X, y) == pytest.approx(-log_loss(y, head.predict_proba(X)))


@pytest.mark.parametrize(
    ("scoring", "words"),
    [
        ("luck", ["no scorer has this name", "f1_macro", "recall_at_precision=0.9"]),
        ("f1", ["it is for two classes", "f1_macro"]),
        ("recall_at_precision=0.9", ["it is for two classes"]),
        ("r2", ["could not convert string to float"]),
    ],
)
def test_names_that_do_not_apply_are_refused_with_those_that_do(three, scoring, words):
    _, X, y = three
    with pytest.raises(ValueError, match=f"'scoring' parameter cannot be '{scoring}'") as caught:
        compare_table(X, y, scoring=scoring)
    assert all(word in str(caught.value) for word in [*words, "balanced_accuracy"])


@pytest.mark.parametrize("least", ["", "2", "0", "high"])
def test_impossible_precisions_are_refused(least):
    X, y = make_rows(2, [0.8])
    with pytest.raises(ValueError, match=rf"cannot be .*: '{least}' is not a number up to 1\."):
        compare_table(X, y, scoring=f"recall_at_precision={least}")


# --- in a comparison ------------------------------------------------------------------------------


def test_average_precision_chooses():
    X, y = make_rows(2, [0.8])
    results = list(compare_table(X, y, samplers=["smote"], seeds=1, scoring="average_precision"))
    (result,) = results
    found = []
    pipeline = clone(result.fitted.embedder)
    train = result.fitted.train
    for fit, held in StratifiedKFold(5, shuffle=True, random_state=0).split(train, y[train]):
        fit, held = train[fit], train[held]
        head = LogisticRegression(max_iter=1000).fit(pipeline.fit_transform(X[fit]), y[fit])
        proba = head.predict_proba(pipeline.transform(X[held]))[:, 1]
        found.append(average_precision_score(y[held] == "bee", proba))
    assert result.validation["none"] == pytest.approx(found)
    means = {name: np.mean(scores) for name, scores in result.validation.items()}
    # The order of probabilities, and so this score, is the same with logit adjustment.
    assert means[recommend(results).method] == pytest.approx(max(means.values()))


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        ("f1", make_scorer(f1_score, pos_label="bee")),
        ("balanced_accuracy", "balanced_accuracy"),
        # It is the same at every threshold.
        ("average_precision", "balanced_accuracy"),
        ("neg_log_loss", "balanced_accuracy"),
    ],
)
def test_the_threshold_follows_scores_of_labels(scoring, expected):
    X, y = make_rows(2, [0.8])
    (result,) = compare_table(X, y, samplers=["threshold"], seeds=1, scoring=scoring)
    fitted = result.fitted
    tuned = TunedThresholdClassifierCV(LogisticRegression(max_iter=1000), scoring=expected)
    tuned.fit(fitted.Z_train, fitted.y_train)
    assert fitted.heads["threshold"].best_threshold_ == pytest.approx(tuned.best_threshold_)
    assert fitted.heads["threshold"].best_score_ == pytest.approx(tuned.best_score_)


def test_a_method_without_a_finite_score_is_not_recommended():
    def scorer(head, Z, y):
        # Logit adjustment is the only method that changes a head after its fit.
        return np.nan if isinstance(head, LogisticRegression) else 0.5

    X, y = make_rows(2, [0.8])
    results = list(compare_table(X, y, samplers=["smote"], seeds=1, scoring=scorer))
    assert results[0].validation.keys() == {"logit_adjustment"}
    assert results[0].validation_errors["smote"] == "The scorer returned nan."
    assert recommend(results).method == "logit_adjustment"


# --- on the test rows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scoring", "metric", "slow"),
    [
        ("f1_macro", "macro_f1", lambda y, p: f1_score(y, np.where(p > 0.5, *BEES), **MACRO)),
        ("recall", "recall", lambda y, p: np.mean(p[y == "bee"] > 0.5)),
        (
            "average_precision",
            "average_precision",
            lambda y, p: average_precision_score(*bee(y, p)),
        ),
        ("neg_log_loss", "log_loss", lambda y, p: log_loss(*bee(y, p))),
        (
            make_scorer(lambda y, y_pred: np.mean(y == y_pred)),
            "lambda",
            lambda y, p: np.mean((y == "bee") == (p > 0.5)),
        ),
    ],
)
def test_chosen_score_is_that_of_the_test_rows(scoring, metric, slow, tmp_path):
    X, y = make_rows(2, [0.8])
    results = list(compare_table(X, y, samplers=["smote"], seeds=3, scoring=scoring))
    expected = {}
    for method in ("none", "smote"):
        expected[method] = [
            slow(r.fitted.y_test, r.fitted.heads[method].predict_proba(r.fitted.Z_test)[:, 1])
            for r in results
        ]
        found = [r.methods[method].scores[metric] for r in results]
        np.testing.assert_allclose(found, expected[method])
    difference = summarize(results)["smote"][metric]["difference"]
    assert difference["mean"] == pytest.approx(
        np.mean(np.subtract(expected["smote"], expected["none"]))
    )
    measure = main_measure(results)
    assert f" {measure.format_difference(difference['mean'])} (" in format_table(results)
    record = make_record(X, y, source="rows", arguments={})
    write_csv(tmp_path / "r.csv", record, results)
    lines = list(csv.DictReader((tmp_path / "r.csv").open()))
    # A column of the recall of each class has this name.
    column = "recall_score" if metric == "recall" else metric
    assert float(lines[0][column]) == pytest.approx(expected["none"][0])
    page = write_report(tmp_path, record, results).read_text().replace("\u00a0", " ")
    assert f"<td>{measure.format(np.mean(expected['smote']))}</td>" in page
    method = recommend(results).method
    mean = np.mean([r.methods[method].scores[metric] for r in results])
    sentence = f" {measure.name} on the test rows is {measure.phrase(mean)}"
    card = (tmp_path / "README.md").read_text()
    assert all(sentence in text for text in (format_verdict(results), page, card))
    lower = " (lower is better)" * measure.lower_is_better
    assert f"{lower} | {measure.phrase(mean)} | " in card


def test_default_has_no_other_score(tmp_path):
    X, y = make_rows(2, [0.8])
    (result,) = compare_table(X, y, samplers=["none"], seeds=1)
    assert list(result.methods["none"].scores) == list(METRICS)
    assert " on the test rows is " not in format_verdict([result])


def test_noise_of_other_scores_is_unknown_on_a_given_test_part(tmp_path):
    X, y = make_rows(2, [0.8])
    params = {"samplers": ["smote"], "test": np.arange(150, 300), "seeds": 3}
    results = list(compare_table(X, y, scoring="average_precision", **params))
    assert summarize(results)["smote"]["average_precision"]["difference"]["low"] is None
    page = write_report(tmp_path, make_record(X, y, source="", arguments={}), results).read_text()
    caption = page[page.index("Average precision on the test rows, in points") :]
    assert caption.startswith(
        "Average precision on the test rows, in points above or below no over-sampling.\n"
    )
    assert '<span class="unknown">noise unknown</span>' in page
    card = (tmp_path / "README.md").read_text()
    assert "The interval of the average precision is not known." in card


@pytest.mark.parametrize("fault", ["raises", "is not finite"])
def test_a_score_that_fails_on_the_test_rows_is_told(fault, tmp_path):
    def luck(head, Z, y):
        if len(y) < 90:
            return 0.5
        if fault == "raises":
            raise ValueError("Only one class.")
        return np.nan

    X, y = make_rows(2, [0.8])
    params = {"samplers": ["smote"], "test": np.arange(200, 300), "seeds": 1}
    results = list(compare_table(X, y, scoring=luck, **params))
    outcome = results[0].methods["smote"]
    assert "luck" not in outcome.scores
    assert outcome.warnings[0].startswith("luck of the test rows is")
    assert format_verdict(results).startswith("Do not over-sample")
    assert "SMOTE warned on 1 of 1 seed: luck of the test rows" in format_table(results)
    write_report(tmp_path, make_record(X, y, source="", arguments={}), results)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_chance_is_known_for_the_area_under_the_curve(n_classes, seeds):
    X, y = make_rows(n_classes, [0.7] if n_classes == 2 else [0.5, 0.3])
    shuffled = np.random.RandomState(0).permutation(y)
    params = {"samplers": ["none"], "seeds": seeds, "scoring": "roc_auc"}
    learnt, guessed = (list(compare_table(X, labels, **params)) for labels in (y, shuffled))
    assert not recommend(learnt).near_chance
    assert recommend(guessed).near_chance
    assert "the roc auc, " in format_verdict(guessed)
    assert "is within noise of guessing, 50.0 %" in format_verdict(guessed)


def test_margin_of_guesses_is_that_of_random_scores():
    random_state = np.random.RandomState(0)
    y = np.repeat([0, 1], [60, 20])
    areas = [roc_auc_score(y, random_state.normal(size=80)) for _ in range(1000)]
    X, labels = random_state.normal(size=(160, 2)), np.repeat(["ant", "bee"], [120, 40])
    (result,) = compare_table(X, labels, samplers=["none"], seeds=1, test_size=0.5)
    assert list(result.test_counts.values()) == [60, 20]
    assert guess_margin(result) == pytest.approx(1.96 * np.std(areas), rel=0.1)


def test_chance_of_other_scores_is_not_known():
    X, y = make_rows(2, [0.8])
    shuffled = np.random.RandomState(0).permutation(y)
    params = {"samplers": ["none"], "seeds": 3}
    assert recommend(list(compare_table(X, shuffled, **params))).near_chance
    results = list(compare_table(X, shuffled, scoring="average_precision", **params))
    assert not recommend(results).near_chance
    assert "learnt" not in format_verdict(results)


def test_recall_at_a_precision_is_not_that_of_predict(tmp_path):
    X, y = make_rows(2, [0.8])
    params = {"samplers": ["smote"], "seeds": 3, "scoring": "recall_at_precision=0.9"}
    results = list(compare_table(X, y, **params))
    page = write_report(tmp_path, make_record(X, y, source="", arguments={}), results).read_text()
    card = (tmp_path / "README.md").read_text()
    verdict = format_verdict(results)
    assert " recall at precision 0.9 on the test rows is " in verdict
    assert "false alarms" not in verdict
    for text in (page, card):
        assert "predict uses the usual threshold, which is not that of the recall at" in text
        assert "precision_recall_curve of scikit-learn on predict_proba of load.py" in text


# --- how they are shown ---------------------------------------------------------------------------


def test_a_metric_is_refused_as_a_scorer():
    X, y = make_rows(2, [0.8])
    with pytest.raises(ValueError, match="looks like it is a metric function"):
        compare_table(X, y, scoring=matthews_corrcoef)


@pytest.mark.parametrize(
    ("scoring", "words"),
    [
        # Adjusted probabilities have none.
        (lambda head, Z, y: head.decision_function(Z).mean(), "AdjustedClassifier .*Attribute"),
        (lambda head, Z, y: None, ".*TypeError"),
        # It needs rows of each class.
        ("neg_brier_score", ".*ValueError"),
    ],
)
def test_a_scorer_that_fails_is_named(scoring, words):
    X, y = make_rows(3, [0.7, 0.2])
    kept = np.sort(np.r_[np.flatnonzero(y != "cat"), np.flatnonzero(y == "cat")[:3]])
    results = compare_table(X[kept], y[kept], samplers=["none"], seeds=1, scoring=scoring)
    with pytest.raises(ValueError, match=rf"'scoring' parameter cannot score {words}"):
        list(results)


def test_without_a_finite_score_no_method_is_recommended():
    X, _ = make_rows(2, [0.8])
    y = np.where(X[:, 0] > 1, "bee", "ant")
    scoring = {"scoring": lambda head, Z, y: np.nan}
    results = list(compare_table(X, y, samplers=["none"], seeds=1, **scoring))
    assert recommend(results) is None
    assert "was not chosen, because no method has a validation score" in format_verdict(results)


def test_losses_are_shown_as_they_are_and_the_lowest_is_first(tmp_path):
    X, y = make_rows(3, [0.6, 0.3])
    results = list(compare_table(X, y, samplers=["smote"], seeds=3, scoring="neg_log_loss"))
    assert results[0].scoring == "neg_log_loss"
    losses = {m: -np.mean([r.validation[m] for r in results]) for m in results[0].methods}
    assert recommend(results).method == min(losses, key=losses.get)
    head, _, *lines = format_table(results).splitlines()
    assert "validation log loss" in head
    tested = {m: np.mean([r.methods[m].scores["log_loss"] for r in results]) for m in losses}
    for line, method in zip(lines, sorted(losses, key=losses.get), strict=False):
        assert f" {losses[method]:.3f} " in line
        assert f" {tested[method]:.3f} " in line
    page = write_report(tmp_path, make_record(X, y, source="rows", arguments={}), results)
    text = page.read_text()
    assert "log loss,<br>validation" in text
    assert "in percent except for the log loss, of which lower is better." in text
    assert "the method with the lowest mean log loss on the rows held out" in text
    for loss in losses.values():
        assert f"<td>{loss:.3f}</td>" in text
    assert "It was chosen by log loss." in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("scorer", "name", "header", "sign"),
    [
        (make_scorer(matthews_corrcoef), "matthews_corrcoef", "matthews corrcoef", 1),
        (
            make_scorer(
                lambda y, y_pred: mean_absolute_error(y == "ant", y_pred == "ant"),
                greater_is_better=False,
            ),
            "neg_lambda",
            "lambda",
            -1,
        ),
    ],
)
def test_scorers_are_shown_by_the_name_of_their_function(scorer, name, header, sign):
    X, y = make_rows(3, [0.6, 0.3])
    results = list(compare_table(X, y, samplers=["none"], seeds=1, scoring=scorer))
    results[0].validation["none"] = [sign * 1.5]
    assert results[0].scoring == name
    lines = format_table(results).splitlines()
    assert f"validation {header} " in lines[0]
    assert any(line.startswith("no over-sampling") and " 1.500 " in line for line in lines)


def test_no_warning_where_a_class_is_never_predicted():
    X, y = make_rows(2, [0.97])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = list(compare_table(X, y, samplers=["none"], seeds=1, scoring="precision"))
    assert "Use" in format_verdict(results) or "learnt" in format_verdict(results)


@pytest.mark.parametrize(
    ("value", "text", "signed"),
    [
        (None, "-", None),
        (0.0, "0.000", "0.000"),
        (0.12345, "0.123", "+0.123"),
        (-12.345, "-12.35", "-12.35"),
        (1234.5, "1234", "+1234"),
        (0.000012, "1.20e-05", "+1.20e-05"),
    ],
)
def test_numbers_have_about_four_digits(value, text, signed):
    assert number(value) == text
    assert signed is None or signed_number(value) == signed


def test_a_linear_head_needs_no_threshold():
    X, y = make_rows(2, [0.8])
    (result,) = compare_table(X, y, classifier=LinearHead(), seeds=1, scoring="f1", tune=False)
    assert "threshold" not in result.methods
