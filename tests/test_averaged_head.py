import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from networks import make_data, make_net
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from imblearn_eos import EOS, AveragedHead, EmbeddingPipeline, LinearHead, make_embedding_pipeline
from imblearn_eos.embedding import Embedder

SAMPLER = EOS(n_neighbors=1000, random_state=0)
X, y = make_data((60, 20, 9))
NAMES = np.array(["ant", "bee", "cat"])[y]


@pytest.mark.parametrize(
    "sampler", [SAMPLER, SMOTE(random_state=0), RandomUnderSampler(random_state=0)]
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_logits_are_the_mean_of_those_of_both_heads(sampler, n_classes):
    is_used = y < n_classes
    Z, labels = X[is_used], NAMES[is_used]
    resampled = LinearHead(alpha=0.1).fit(*clone(sampler).fit_resample(Z, labels))
    adjusted = LinearHead(alpha=0.1, tau=1.5).fit(Z, labels)
    head = AveragedHead(sampler, tau=1.5, alpha=0.1).fit(Z, labels)
    assert_array_equal(head.classes_, np.unique(labels))
    expected = (resampled.decision_function(Z) + adjusted.decision_function(Z)) / 2
    assert_allclose(head.decision_function(Z), expected, atol=1e-9)
    assert head.coef_.shape == (n_classes, 6)
    assert head.intercept_.mean() == pytest.approx(0, abs=1e-12)
    assert head.n_iter_ == resampled.n_iter_ + adjusted.n_iter_
    logits = head.to_module()(torch.from_numpy(Z))
    assert_allclose(logits.softmax(dim=1).detach(), head.predict_proba(Z), atol=1e-6)


@pytest.mark.parametrize(
    "convert", [torch.from_numpy, sparse.csr_array, pd.DataFrame, np.ndarray.tolist]
)
def test_containers(convert):
    rows = X.astype(np.float64)
    expected = AveragedHead(SAMPLER).fit(rows, y)
    head = AveragedHead(SAMPLER).fit(convert(rows), y)
    assert_allclose(head.coef_, expected.coef_, atol=1e-5)
    assert_allclose(head.predict_proba(convert(rows)), expected.predict_proba(rows), atol=1e-5)


def test_it_is_cloned_pickled_and_leaves_its_sampler_as_it_was():
    head = AveragedHead(SAMPLER).fit(X, y)
    assert not hasattr(SAMPLER, "base_indices_")
    assert len(head.sampler_.base_indices_) == 3 * 60 - len(y)
    assert_array_equal(clone(head).fit(X, y).coef_, head.coef_)
    assert_array_equal(pickle.loads(pickle.dumps(head)).predict(X), head.predict(X))
    with pytest.raises(NotFittedError):
        clone(head).to_module()


def test_its_settings_reach_both_heads():
    with pytest.warns(ConvergenceWarning, match="max_iter=2 ") as caught:
        head = AveragedHead(SAMPLER, max_iter=2).fit(X, y)
    assert len(caught) == 2
    assert head.n_iter_ == 4


class Forgetful(RandomOverSampler):
    def fit_resample(self, X, y):
        return X[y != y[0]], y[y != y[0]]


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Forgetful(), r"'sampler' .*\['ant', 'bee', 'cat'\], but Forgetful .*\['bee', 'cat'\]"),
        (None, "'sampler' parameter"),
        ("passthrough", "'sampler' parameter"),
        (EOS(n_neighbors=0), "'n_neighbors' parameter"),
    ],
)
def test_a_sampler_that_does_not_fit_is_named(sampler, message):
    with pytest.raises(ValueError, match=message):
        AveragedHead(sampler).fit(X, NAMES)


def test_a_fit_that_fails_leaves_the_one_before():
    head = AveragedHead(SAMPLER).fit(X, NAMES)
    before = head.predict_proba(X)
    with pytest.raises(ValueError, match="'sampler'"):
        head.set_params(sampler=Forgetful()).fit(X[:, :3], NAMES)
    assert_array_equal(head.predict_proba(X), before)


def test_calibration_scales_the_mean():
    head = AveragedHead(SAMPLER).fit(X[::2], NAMES[::2])
    coef = head.coef_
    head.calibrate(X[1::2], NAMES[1::2])
    assert head.temperature_ != 1
    assert_allclose(head.coef_ * head.temperature_, coef)


def fitted_pipeline(head):
    pipeline = make_embedding_pipeline(make_net(), "passthrough", head, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return pipeline.fit(X, NAMES)


def test_it_is_the_last_step_of_a_pipeline_that_becomes_a_network():
    pipeline = fitted_pipeline(AveragedHead(EOS(n_neighbors=1000)))
    # The pipeline seeds the sampler in it.
    assert pipeline["head"].sampler.random_state is not None
    expected = clone(pipeline["head"]).fit(pipeline["embedder"].transform(X), NAMES)
    assert_allclose(pipeline["head"].coef_, expected.coef_, atol=1e-9)
    with torch.no_grad():
        proba = pipeline.to_module()(torch.from_numpy(X)).softmax(dim=1)
    assert_allclose(proba, pipeline.predict_proba(X), atol=1e-5)
    gap = pipeline.generalization_gap(X[:20], NAMES[:20])
    assert_array_equal(gap.before.all, gap.after.all)


def assert_checked_before_training(head, message):
    embedder = Embedder(make_net())
    pipeline = EmbeddingPipeline([("embedder", embedder), ("head", head)])
    with pytest.raises(ValueError, match=message):
        pipeline.fit(X, NAMES)
    assert not hasattr(embedder, "net_")


@pytest.mark.parametrize("params", [{"target_prior": [0.5, 0.5]}, {"class_weight": {"dog": 2}}])
def test_a_pipeline_checks_parameters_for_classes_before_training(params):
    assert_checked_before_training(LinearHead(**params), "target_prior|in class_weight")


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (EOS(sampling_strategy={"dog": 3}), "dog"),
        (EOS(device="tpu"), "'device' parameter"),
        (SMOTE(k_neighbors=-1), "'k_neighbors' parameter"),
    ],
)
def test_a_pipeline_checks_its_sampler_before_training(sampler, message):
    assert_checked_before_training(AveragedHead(sampler), message)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_no_sampler_is_put_before_it(is_frozen):
    net = FrozenEstimator(make_net()) if is_frozen else make_net()
    pipeline = make_embedding_pipeline(net, head=AveragedHead(SAMPLER))
    assert pipeline["sampler"] == "passthrough"


@pytest.mark.parametrize("sampler", [EOS(), RandomOverSampler()])
def test_a_pipeline_refuses_to_over_sample_before_it(sampler):
    embedder = Embedder(make_net())
    steps = [("embedder", embedder), ("sampler", sampler), ("head", AveragedHead(SAMPLER))]
    with pytest.raises(ValueError, match=f"{type(sampler).__name__} before .* 'passthrough'"):
        EmbeddingPipeline(steps).fit(X, NAMES)
    assert not hasattr(embedder, "net_")


def test_a_parameter_of_no_sampler_names_the_one_to_set():
    pipeline = make_embedding_pipeline(make_net(), head=AveragedHead(SAMPLER))
    with pytest.raises(ValueError, match=r"'sampler__max_step' .* 'head__sampler__max_step'"):
        pipeline.set_params(sampler__max_step=0.5)
    assert pipeline.set_params(head__sampler__max_step=0.5)["head"].sampler.max_step == 0.5
    pipeline.set_params(sampler=EOS(), sampler__max_step=0.25)
    assert pipeline["sampler"].max_step == 0.25


def test_settings_of_the_sampler_can_be_searched():
    grid = {"sampler__n_neighbors": [3, 30], "tau": [0.5, 1.0]}
    search = GridSearchCV(AveragedHead(SAMPLER), grid, cv=2, error_score="raise").fit(X, NAMES)
    assert len(search.cv_results_["params"]) == 4
