import signal

import numpy as np
import pytest
import torch
from imblearn.metrics import geometric_mean_score
from imblearn.over_sampling import ADASYN, SMOTE
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, recall_score
from sklearn.preprocessing import FunctionTransformer
from skorch import NeuralNetClassifier

from imblearn_eos import EOS, Embedder, LinearHead
from imblearn_eos.compare import METRICS, LenientADASYN, compare
from imblearn_eos.datasets import load_digit_images, split_imbalanced
from imblearn_eos.metrics import expected_calibration_error, generalization_gap
from imblearn_eos.models import SmallCNN

QUICK = {"seeds": 1, "epochs": 1, "imbalance_ratio": 4, "validation_folds": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digit_images()
    return X[y < 3], y[y < 3]


def run(digits, **params):
    return list(compare(*digits, **{**QUICK, **params}))


def test_every_sampler_refits_a_head_on_the_embeddings_of_one_network(digits):
    (result,) = run(digits, epochs=2, samplers=["none", "random", "smote", "eos"])
    assert list(result.methods) == ["network", "none", "logit_adjustment", "random", "smote", "eos"]
    largest = max(result.train_counts.values())
    missing = sum(largest - count for count in result.train_counts.values())
    for name, outcome in result.methods.items():
        assert outcome.error is None
        assert outcome.scores.keys() == METRICS.keys()
        assert all(0 <= score <= 1 for score in outcome.scores.values())
        assert outcome.rows_added == (missing if name in ("random", "smote", "eos") else 0)
    assert result.seconds_train > 0
    assert result.seconds_embed > 0
    assert result.methods["eos"].seconds_refit > 0


def test_one_sampler_needs_no_list(digits):
    results = [run(digits, samplers=samplers)[0] for samplers in ("random", ["random"])]
    first, second = ({k: o.scores for k, o in result.methods.items()} for result in results)
    assert first == second
    assert "random" in first


def test_counts_are_those_of_the_split(digits):
    result = run(digits, samplers=["none"])[0]
    _, _, y_train, y_test = split_imbalanced(*digits, imbalance_ratio=4, random_state=0)
    assert list(result.train_counts.values()) == np.bincount(y_train).tolist()
    assert list(result.test_counts.values()) == np.bincount(y_test).tolist()


def test_same_seeds_give_the_same_scores_and_others_do_not(digits):
    first, second = (run(digits, seeds=2, samplers=["eos"]) for _ in range(2))
    scores = [[r.methods["eos"].scores for r in results] for results in (first, second)]
    assert scores[0] == scores[1]
    assert first[0].train_loss != first[1].train_loss


def test_test_rows_change_nothing_that_is_trained(digits, monkeypatch):
    X, y = digits
    test = split_imbalanced(np.arange(len(y)), y, imbalance_ratio=4, random_state=0)[1]
    seen = []
    original = LinearHead.fit
    monkeypatch.setattr(
        LinearHead, "fit", lambda self, Z, y: seen.append(Z) or original(self, Z, y)
    )
    losses = []
    for images in (X, np.where(np.isin(np.arange(len(y)), test)[:, None, None, None], 0.5, X)):
        losses.append(run((images, y), samplers=["eos"])[0].train_loss)
    assert losses[0] == losses[1]
    none, eos, none_again, eos_again = seen
    assert_array_equal(none, none_again)
    assert_array_equal(eos, eos_again)


def test_each_part_passes_through_the_trained_network_once(digits, monkeypatch):
    rows, original = [], SmallCNN.forward

    def forward(self, X):
        if not self.training:
            rows.append(len(X))
        return original(self, X)

    monkeypatch.setattr(SmallCNN, "forward", forward)
    (result,) = run(digits, samplers=["none"])
    n_rows = sum(result.train_counts.values()) + sum(result.test_counts.values())
    # Before training, a few rows tell which layer is the head.
    assert n_rows <= sum(rows) < n_rows + 20


def test_scores_are_taken_on_test_predictions(digits, monkeypatch):
    monkeypatch.setattr(LinearHead, "predict", lambda self, Z: np.zeros(len(Z), dtype=int))
    result = run(digits, samplers=["none"])[0]
    assert result.methods["none"].scores["balanced_accuracy"] == pytest.approx(1 / 3)


def test_no_over_sampling_always_runs(digits):
    (result,) = run(digits, samplers=["eos"])
    assert list(result.methods) == ["network", "none", "logit_adjustment", "eos"]


def test_logit_adjustment_divides_probabilities_without_a_sampler_by_class_sizes(digits):
    (result,) = run(digits, samplers=["none"], epochs=2)
    _, X_test, y_train, y_test = split_imbalanced(*digits, imbalance_ratio=4, random_state=0)
    Z_test = result.fitted.embedder.transform(X_test)
    y_proba = result.fitted.heads["none"].predict_proba(Z_test)
    counts = np.bincount(y_train)
    y_pred = np.argmax(np.log(y_proba) - np.log(counts / counts.sum()), axis=1)
    adjusted = result.methods["logit_adjustment"]
    assert adjusted.scores["balanced_accuracy"] == balanced_accuracy_score(y_test, y_pred)
    assert not np.array_equal(y_pred, y_proba.argmax(axis=1))
    assert adjusted.rows_added == 0
    assert adjusted.gap == {}


def test_calibration_is_measured_at_both_frequencies(digits):
    (result,) = run(digits, samplers=["none"], epochs=2)
    _, X_test, y_train, y_test = split_imbalanced(*digits, imbalance_ratio=4, random_state=0)
    y_proba = result.fitted.embedder.predict_proba(X_test)
    brier = [((p - np.eye(3)[label]) ** 2).sum() for p, label in zip(y_proba, y_test, strict=True)]
    weight = (np.bincount(y_train) / np.bincount(y_test))[y_test]
    expected = {
        "expected_calibration_error": expected_calibration_error(y_test, y_proba),
        "brier_score": np.mean(brier),
        "expected_calibration_error_at_training_frequencies": expected_calibration_error(
            y_test, y_proba, sample_weight=weight
        ),
        "brier_score_at_training_frequencies": np.average(brier, weights=weight),
    }
    found = result.methods["network"].calibration
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value)


def test_recall_confusion_and_gap_are_those_of_the_predictions(digits):
    (result,) = run(digits, samplers=["smote"], epochs=2)
    _, X_test, y_train, y_test = split_imbalanced(*digits, imbalance_ratio=4, random_state=0)
    fitted, outcome = result.fitted, result.methods["smote"]
    Z_test = fitted.embedder.transform(X_test)
    y_pred = fitted.heads["smote"].predict(Z_test)
    assert_array_equal(outcome.details.confusion, confusion_matrix(y_test, y_pred))
    recalls = recall_score(y_test, y_pred, average=None)
    assert list(outcome.recall.values()) == pytest.approx(list(recalls))
    gap = generalization_gap(fitted.Z_train, y_train, Z_test, y_test)
    # SMOTE cannot leave the range of a class.
    assert outcome.gap["before"] == outcome.gap["after"] == pytest.approx(gap)
    assert outcome.gap["label_noise"] < gap
    assert outcome.gap["size_matched"] == np.mean(outcome.details.gap.size_matched.all)


def test_balanced_accuracy_is_that_of_scikit_learn():
    assert METRICS["balanced_accuracy"] is balanced_accuracy_score


def test_sampler_that_fails_is_reported_with_its_reason_and_the_others_run(digits):
    # Two rows of class 2: SMOTE cannot find five neighbors.
    X, y = digits
    kept = np.r_[np.flatnonzero(y < 2), np.flatnonzero(y == 2)[:4]]
    (result,) = run((X[kept], y[kept]), imbalance_ratio=None, samplers=["smote", "random"])
    assert result.methods["smote"].error.startswith("ValueError: Expected n_neighbors")
    assert result.methods["smote"].scores == {}
    assert result.methods["random"].error is None


def test_warnings_of_a_sampler_are_kept_with_its_result(digits):
    (result,) = run(digits, epochs=4, eos=EOS(n_neighbors=1), samplers=["eos"])
    assert "enemy_search='nearest'" in result.methods["eos"].warnings[0]


def test_options_reach_eos_and_the_callback_counts_epochs(digits, monkeypatch):
    fitted, epochs = [], []
    original = EOS.fit_resample
    monkeypatch.setattr(
        EOS,
        "fit_resample",
        lambda self, Z, y: fitted.append(self.get_params()) or original(self, Z, y),
    )
    options = {"max_step": 0.3, "enemy_search": "nearest", "device": "cpu"}
    eos = EOS(**options)
    run(digits, seeds=2, samplers=["eos"], on_epoch=lambda: epochs.append(1), eos=eos)
    assert [{key: params[key] for key in options} for params in fitted] == [options] * 2
    assert [params["random_state"] for params in fitted] == [0, 1]
    assert len(epochs) == 2


def test_string_labels(digits):
    X, y = digits
    (result,) = run((X, np.array(["zero", "one", "two"])[y]), samplers=["eos"])
    assert set(result.train_counts) == {"zero", "one", "two"}


def test_interrupted_training_is_not_taken_for_a_finished_one(digits):
    def interrupt():
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(digits, epochs=2, samplers=["none"], on_epoch=interrupt)


def test_diverged_training_says_what_to_change(digits):
    with pytest.raises(ValueError, match="learning rate"):
        run(digits, epochs=3, lr=1e30, samplers=["none"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"samplers": ["smoke"]}, "'samplers' parameter must name .*adasyn.*Got \\['smoke'\\]"),
        ({"samplers": []}, "'samplers' parameter .*Got \\[\\]"),
        ({"samplers": "smoke"}, "'samplers' parameter must name .*Got \\['smoke'\\]"),
        ({"seeds": 0}, "'seeds' parameter"),
        ({"epochs": 0}, "'epochs' parameter"),
        ({"lr": 0.0}, "'lr' parameter"),
        ({"device": "tpu"}, "'device' parameter"),
        ({"imbalance_ratio": 1000}, "imbalance ratio of 1000 leaves no row"),
    ],
)
def test_bad_parameter_is_named_before_any_training(digits, params, message):
    with pytest.raises(ValueError, match=message):
        compare(*digits, **{**QUICK, **params})


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((4, 64)), [0, 0, 1, 1], r"shape \(n_samples, channels, height, width\)"),
        (np.zeros((4, 1, 7, 8)), [0, 0, 1, 1], "at least 8 x 8 pixels"),
        (np.zeros((4, 1, 8, 8)), [0, 0, 0, 0], "y has 1 class"),
        (np.zeros((4, 1, 8, 8)), [0, 0, 1], "inconsistent numbers of samples"),
        (
            np.zeros((4, 1, 8, 8)),
            [3.0, 0.2, 0.1, 0.2],
            "continuous",
        ),
        (
            np.zeros((4, 1, 8, 8)),
            [0.0, 1.0, np.nan, 1.0],
            r"y has missing labels \(nan\) in 1 of 4 rows",
        ),
        (
            np.zeros((4, 1, 8, 8)),
            np.array(["a", 1, "a", 1], dtype=object),
            "y has labels that cannot be sorted",
        ),
        (np.zeros((3, 1, 8, 8)), ["cat", "cat", "dog"], "Class dog has 1 row"),
    ],
)
def test_bad_data_are_named_before_any_training(X, y, message):
    with pytest.raises(ValueError, match=message):
        compare(X, y, epochs=1)


def test_scores_are_those_of_the_same_steps_by_hand(digits):
    X, y = digits
    params = {"epochs": 2, "batch_size": 20, "lr": 2e-3, "alpha": 0.1, "tune": False}
    params["eos"] = EOS(n_neighbors=4)
    (result,) = run(digits, samplers=["none", "smote", "eos"], **params)
    X_train, X_test, y_train, y_test = split_imbalanced(X, y, imbalance_ratio=4, random_state=0)
    net = NeuralNetClassifier(
        SmallCNN,
        module__n_classes=3,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=2e-3,
        batch_size=20,
        max_epochs=2,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    embedder = Embedder(net, random_state=0)
    Z_train, Z_test = embedder.fit_transform(X_train, y_train), embedder.transform(X_test)
    predictions = {
        "network": embedder.predict(X_test),
        "none": LinearHead(alpha=0.1).fit(Z_train, y_train).predict(Z_test),
    }
    for name, sampler in {
        "smote": SMOTE(random_state=0),
        "eos": EOS(n_neighbors=4, random_state=0),
    }.items():
        head = LinearHead(alpha=0.1).fit(*sampler.fit_resample(Z_train, y_train))
        predictions[name] = head.predict(Z_test)
    for name, y_pred in predictions.items():
        assert result.methods[name].scores == {
            "balanced_accuracy": balanced_accuracy_score(y_test, y_pred),
            "macro_g_mean": geometric_mean_score(y_test, y_pred, average="macro"),
            "macro_f1": f1_score(y_test, y_pred, average="macro", zero_division=0),
        }


def test_adasyn_leaves_the_classes_that_it_refuses_and_says_so():
    random_state = np.random.RandomState(0)
    X = np.r_[random_state.randn(60, 2), random_state.randn(20, 2), random_state.randn(9, 2) + 99]
    y = np.repeat(["common", "near", "far"], [60, 20, 9])
    with pytest.warns(
        UserWarning, match=r"ADASYN refuses 1 of the 2 classes to over-sample.*: far\..*neigbours"
    ):
        X_resampled, y_resampled = LenientADASYN(random_state=0).fit_resample(X, y)
    expected = ADASYN(random_state=0, sampling_strategy={"near": 60}).fit_resample(X, y)
    assert_array_equal(X_resampled, expected[0])
    assert_array_equal(y_resampled, expected[1])


def test_adasyn_takes_sparse_rows():
    X, y = np.random.RandomState(0).randn(90, 2), np.repeat(["common", "rare"], [60, 30])
    dense, labels = LenientADASYN(random_state=0).fit_resample(X, y)
    rows, sparse_labels = LenientADASYN(random_state=0).fit_resample(sparse.csr_matrix(X), y)
    assert rows.format == "csr"
    assert_array_equal(rows.toarray(), dense)
    assert_array_equal(sparse_labels, labels)


# --- validation, and networks of the user ---------------------------------------------------------


def test_one_fold_trains_one_network_more_and_chooses(digits):
    epochs = []
    params = {"epochs": 2, "validation_folds": 1, "samplers": ["eos"], "tune": False}
    (result,) = run(digits, **params, on_epoch=lambda: epochs.append(1))
    assert len(epochs) == 4
    assert result.validation.keys() == {"network", "none", "logit_adjustment", "eos"}
    assert {len(values) for values in result.validation.values()} == {1}
    (without,) = run(digits, **{**params, "validation_folds": 0})
    assert without.methods["eos"].scores == result.methods["eos"].scores


class Flat(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7), torch.nn.ReLU())
        self.head = torch.nn.Linear(7, 3)

    def forward(self, X):
        return self.head(self.body(X))


@pytest.mark.parametrize("name", ["net", "embedder"])
def test_network_of_the_user_is_trained_instead(digits, name):
    net = NeuralNetClassifier(
        Flat, criterion=torch.nn.CrossEntropyLoss, max_epochs=3, train_split=None, verbose=0
    )
    given, epochs = {"net": net, "embedder": Embedder(net)}[name], []
    (result,) = run(digits, **{name: given}, on_epoch=lambda: epochs.append(1), samplers=["eos"])
    assert len(epochs) == 3
    assert result.fitted.Z_train.shape[1] == 7
    network = result.fitted.embedder.predict(digits[0][result.fitted.test])
    assert_array_equal(result.fitted.predictions["network"], network)
    assert not hasattr(given, "net_")
    assert net.callbacks is None


def test_any_transformer_may_embed(digits):
    embedder = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    (result,) = run(digits, embedder=embedder, samplers=["eos"])
    assert list(result.methods) == ["none", "logit_adjustment", "eos"]
    assert result.train_loss is None
