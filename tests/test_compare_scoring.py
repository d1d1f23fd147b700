"""What a comparison can choose by, and how such scores are shown."""

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
)
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV
from sklearn.preprocessing import label_binarize

from imblearn_eos import LinearHead
from imblearn_eos.compare import (
    compare_table,
    format_table,
    format_verdict,
    make_record,
    recommend,
    write_report,
)
from imblearn_eos.compare._measures import number, signed_number
from imblearn_eos.compare._scoring import find_scorer

NAMES = np.array(["ant", "bee", "cat"])


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
    shown = [float(line.split()[-8 if "(" not in line else -11]) for line in lines[: len(losses)]]
    np.testing.assert_allclose(sorted(shown), np.sort(list(losses.values())), atol=6e-4)
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
