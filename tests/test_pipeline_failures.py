"""What an EmbeddingPipeline refuses before it trains, and what remains after a fit that fails."""

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from networks import make_data, make_net
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.exceptions import NotInitializedError
from torch import nn
from torch.utils.data import TensorDataset

from imblearn_eos import EOS, Embedder, EmbeddingPipeline, LinearHead, make_embedding_pipeline

X, y = make_data()


def make_pipeline(net=None, sampler=None, head=None):
    return make_embedding_pipeline(net or make_net(), sampler, head, random_state=0)


# --- before training ------------------------------------------------------------------------------


class Trained(Callback):
    """Fails the test if a network is trained."""

    def on_train_begin(self, net, **kwargs):
        pytest.fail("The network was trained before the error was found.")


@pytest.mark.parametrize(
    ("steps", "labels", "message"),
    [
        ({"sampler": EOS(n_neighbors=0)}, y, "'n_neighbors' parameter of EOS"),
        ({"sampler": SMOTE(k_neighbors=0)}, y, "'k_neighbors' parameter of SMOTE"),
        ({"sampler": EOS(device="tpu")}, y, "'device' parameter"),
        ({"head": LinearHead(alpha=-1)}, y, "'alpha' parameter of LinearHead"),
        ({"head": LinearHead(device="cuda:99")}, y, "'device' parameter"),
        ({"head": LogisticRegression(C=-1)}, y, "'C' parameter of LogisticRegression"),
        ({"sampler": EOS(sampling_strategy=0.5)}, y, "sampling_strategy"),
        ({"sampler": EOS(sampling_strategy={0: 10})}, y, "number of samples in a class"),
        ({"sampler": EOS(sampling_strategy={"1": 300})}, y, "not present in the data"),
        ({"sampler": EOS(sampling_strategy={7: 300})}, None, "not present in the data"),
        ({}, np.zeros(len(X)), "one class"),
        ({}, [None, *y.astype(str)[1:]], "cannot be sorted"),
        ({}, y[1:], "inconsistent numbers"),
        # Labels of one class.
        ({}, y[:5], r"inconsistent numbers of samples: \[92, 5\]"),
    ],
)
def test_what_cannot_work_is_found_before_training(steps, labels, message):
    pipeline = make_pipeline(make_net(callbacks=[Trained()]), **steps)
    samples = TensorDataset(torch.from_numpy(X), torch.from_numpy(y)) if labels is None else X
    with pytest.raises(ValueError, match=message):
        pipeline.fit(samples, labels)


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": EOS(sampling_strategy={7: 300}), "head": LinearHead()},
        {"head__sampler__sampling_strategy": {7: 300}},
    ],
)
def test_what_cannot_work_is_found_before_a_frozen_network_embeds(changes):
    class Unused(torch.nn.Module):
        def forward(self, x):
            raise AssertionError("the network ran")

    pipeline = EmbeddingPipeline.from_module(Unused(), trained_on_rows=False, layer="")
    with pytest.raises(ValueError, match="not present in the data"):
        pipeline.set_params(**changes).fit(X, y)


def test_no_samples_are_found_before_training():
    with pytest.raises(ValueError, match="at least 2 classes, but y has no rows"):
        make_pipeline(make_net(callbacks=[Trained()])).fit(X[:0], y[:0])


def test_missing_labels_are_found_before_training():
    with pytest.raises(ValueError, match="EmbeddingPipeline requires y"):
        make_pipeline(make_net(callbacks=[Trained()])).fit(X)


class Mine(ClassifierMixin, BaseEstimator):
    """A head without scikit-learn's constraints of parameters."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[np.zeros(len(X), int)]


class AutoC(LogisticRegression):
    """A head whose own fit makes its parameter one that scikit-learn accepts."""

    def fit(self, X, y):
        C, self.C = self.C, 1.0
        super().fit(X, y)
        self.C = C
        return self


@pytest.mark.parametrize(
    "step", [Mine(), FrozenEstimator(Mine().fit(X, y)), AutoC(C="auto"), make_net(nn.LazyLinear)]
)
def test_heads_of_any_kind_pass_the_check(step):
    if isinstance(step, NeuralNet):
        step.set_params(module__out_features=3)
    assert make_pipeline(head=step).fit(X, y).predict(X).shape == y.shape


class Doubling(RandomOverSampler):
    """A sampler with a strategy that imbalanced-learn's samplers do not have."""

    def fit_resample(self, X, y):
        assert self.sampling_strategy == "double"
        return np.concatenate([X, X]), np.concatenate([y, y])


def test_samplers_and_transformers_of_any_kind_pass_the_check():
    pipeline = make_pipeline(sampler=Doubling(sampling_strategy="double"))
    pipeline.steps.insert(1, ("union", FeatureUnion([("pca", PCA(2))])))
    assert pipeline.fit(X, y).predict(X).shape == y.shape


def test_nothing_is_checked_where_scikit_learn_is_told_not_to():
    head = LogisticRegression(max_iter=50.0)
    with pytest.raises(ValueError, match="'max_iter'"):
        make_pipeline(head=head).fit(X, y)
    with config_context(skip_parameter_validation=True):
        make_pipeline(head=head).fit(X, y)


def test_a_function_as_sampling_strategy_is_called_once():
    calls = []

    def strategy(y):
        calls.append(y)
        return {2: 30}

    make_pipeline(sampler=EOS(sampling_strategy=strategy)).fit(X, y)
    assert len(calls) == 1


def test_samplers_behind_others_may_name_what_is_there_by_then():
    pipeline = make_pipeline(sampler=RandomUnderSampler(sampling_strategy={0: 10}))
    pipeline.steps.insert(2, ("again", EOS(sampling_strategy={0: 45})))
    assert pipeline.fit(X, y).predict(X).shape == y.shape


# --- after a fit that failed ----------------------------------------------------------------------


class Interrupted(RandomOverSampler):
    """A sampler at which Ctrl-C is pressed."""

    def fit_resample(self, X, y):
        raise KeyboardInterrupt


class Failing(LogisticRegression):
    """A head whose fit fails for one value of its parameter."""

    def fit(self, X, y):
        if self.C == 2:
            raise ValueError("C is 2")
        return super().fit(X, y)

    def fit_transform(self, X, y):
        return self.fit(X, y).decision_function(X)

    def fit_predict(self, X, y):
        return self.fit(X, y).predict(X)


BROKEN = [{"sampler": SMOTE(k_neighbors=1000)}, {"sampler": Interrupted()}, {"head__C": 2}]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("method", ["fit", "fit_transform", "fit_predict"])
@pytest.mark.parametrize("has_memory", [False, True])
def test_no_head_of_the_network_before_is_left(broken, method, has_memory, tmp_path):
    pipeline = make_pipeline(head=Failing()).set_params(
        memory=str(tmp_path) if has_memory else None
    )
    pipeline.fit(X, y)
    before, net = pipeline["head"], pipeline["embedder"].net_
    Z = pipeline["embedder"].transform(X)
    expected = before.predict(Z)
    fit = getattr(pipeline.set_params(**broken), method)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        fit(X, y)
    # The new network is kept, and nothing predicts with it.
    assert pipeline["embedder"].net_ is not net
    for use in (
        lambda: pipeline.predict(X),
        lambda: pipeline.generalization_gap(X, y),
        pipeline.to_module,
    ):
        with pytest.raises(NotFittedError):
            use()
    before.C = 1.0
    assert_array_equal(before.predict(Z), expected)
    pipeline.set_params(sampler=EOS(), head__C=1.0)
    assert pipeline.fit(X, y).predict(X).shape == y.shape


def test_no_net_of_skorch_or_transformer_of_the_network_before_is_left():
    head = make_net(nn.LazyLinear, module__out_features=3)
    steps = [("embedder", make_pipeline()[0]), ("pca", PCA(2)), ("sampler", EOS()), ("head", head)]
    pipeline = EmbeddingPipeline(steps).fit(X, y)
    with pytest.raises(KeyboardInterrupt):
        pipeline.set_params(sampler=Interrupted()).fit(X, y)
    with pytest.raises((NotFittedError, NotInitializedError)):
        pipeline.predict(X)
    with pytest.raises(ValueError, match="n_components"):
        pipeline.set_params(pca__n_components=10**6).fit(X, y)
    assert not hasattr(pipeline["pca"], "components_")


def test_a_frozen_network_with_another_layer_counts_as_another():
    trained = make_pipeline().fit(X, y)["embedder"].net_
    pipeline = make_pipeline(net=FrozenEstimator(trained)).fit(X, y)
    steps = {"sampler": Interrupted(), "head": LinearHead()}
    with pytest.raises(KeyboardInterrupt):
        pipeline.set_params(**steps, embedder__layer="hidden").fit(X, y)
    with pytest.raises(NotFittedError):
        pipeline.predict(X)


def test_a_fit_that_fails_before_the_network_is_trained_keeps_the_one_before():
    pipeline = make_pipeline().fit(X, y)
    expected, gap = pipeline.predict_proba(X), pipeline.generalization_gap(X, y)
    for samples, labels in ((X, np.zeros(len(X))), (X * np.nan, y)):
        with pytest.raises(ValueError, match=r"one class|NaN"):
            pipeline.fit(samples, labels)
        assert_array_equal(pipeline.predict_proba(X), expected)
        assert_array_equal(pipeline.generalization_gap(X, y).before.all, gap.before.all)


def test_steps_are_fitted_as_clones_and_say_what_happened_to_the_network_that_is_kept():
    sampler, head = SMOTE(k_neighbors=3), Failing(C=2)
    steps = [("embedder", make_pipeline()[0]), ("sampler", sampler), ("head", head)]
    pipeline = EmbeddingPipeline(steps)
    with pytest.raises(ValueError, match="C is 2"):
        pipeline.fit(X, y)
    assert hasattr(pipeline["sampler"], "sampling_strategy_")
    assert not hasattr(sampler, "sampling_strategy_")
    pipeline.set_params(head__C=1.0).fit(X, y)
    assert head.C == 2
    assert pipeline.predict(X).shape == y.shape


def test_a_frozen_head_is_as_it_was():
    pipeline = make_pipeline().fit(X, y)
    head = FrozenEstimator(pipeline.steps[-1][1])
    with pytest.raises(KeyboardInterrupt):
        pipeline.set_params(head=head, sampler=Interrupted()).fit(X, y)
    assert head.predict(pipeline["embedder"].transform(X)).shape == y.shape


@pytest.mark.parametrize("last", [None, "passthrough"])
def test_a_pipeline_without_a_head_keeps_no_ranges(last):
    pipeline = make_pipeline().fit(X, y)
    with pytest.raises(KeyboardInterrupt):
        pipeline.set_params(head=last, sampler=Interrupted()).fit(X, y)
    with pytest.raises(NotFittedError):
        pipeline.generalization_gap(X, y)


class InterruptedAtTransform(Embedder):
    """An Embedder at which Ctrl-C is pressed after the network is trained."""

    def transform(self, X):
        raise KeyboardInterrupt


def test_a_pipeline_without_other_steps_keeps_the_network():
    pipeline = EmbeddingPipeline([("embedder", InterruptedAtTransform(make_net()))])
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit_transform(X, y)
    assert isinstance(pipeline["embedder"].net_, NeuralNet)


class Uncloneable(Failing):
    """A head that changes a parameter, which scikit-learn forbids."""

    def __init__(self, C=1.0, marks=()):
        super().__init__(C=C)
        self.marks = list(marks)


def test_a_head_that_cannot_be_cloned_is_refused_before_training():
    steps = [("embedder", Embedder(make_net(callbacks=[Trained()]))), ("head", Uncloneable())]
    with pytest.raises(RuntimeError, match="Cannot clone object Uncloneable"):
        EmbeddingPipeline(steps).fit(X, y)
