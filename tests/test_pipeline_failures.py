"""What an EmbeddingPipeline refuses before it trains, and what a fit that fails leaves."""

import warnings

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
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.exceptions import NotInitializedError
from torch import nn
from torch.utils.data import TensorDataset

from imblearn_eos import EOS, Embedder, EmbeddingPipeline, LinearHead, make_embedding_pipeline

X, y = make_data()


def make_pipeline(net=None, sampler=None, head=None):
    return make_embedding_pipeline(net or make_net(), sampler, head, random_state=0)


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
    ],
)
def test_what_later_steps_refuse_is_found_before_training(steps, labels, message):
    pipeline = make_pipeline(make_net(callbacks=[Trained()]), **steps)
    samples = TensorDataset(torch.from_numpy(X), torch.from_numpy(y)) if labels is None else X
    with pytest.raises(ValueError, match=message):
        pipeline.fit(samples, labels)


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


class Interrupted(RandomOverSampler):
    """A sampler at which Ctrl-C is pressed."""

    def fit_resample(self, X, y):
        raise KeyboardInterrupt


FAILING = [(SMOTE(k_neighbors=1000), ValueError), (Interrupted(), KeyboardInterrupt)]


@pytest.mark.parametrize(("sampler", "error"), FAILING)
@pytest.mark.parametrize("head", [None, LogisticRegression(), make_net(nn.LazyLinear)])
@pytest.mark.parametrize("has_memory", [False, True])
def test_after_a_failed_fit_no_head_of_the_network_before_is_left(
    sampler, error, head, has_memory, tmp_path
):
    if isinstance(head, NeuralNet):
        head.set_params(module__out_features=3)
    pipeline = make_pipeline(head=head).set_params(memory=str(tmp_path) if has_memory else None)
    pipeline.fit(X, y)
    before, net = pipeline.steps[-1][1], pipeline["embedder"].net_
    Z = pipeline["embedder"].transform(X)
    expected = before.predict(Z)
    with pytest.raises(error):
        pipeline.set_params(sampler=sampler).fit(X, y)
    assert pipeline["embedder"].net_ is not net
    for use in (
        lambda: pipeline.predict(X),
        lambda: pipeline.generalization_gap(X, y),
        pipeline.to_module,
    ):
        with pytest.raises((NotFittedError, NotInitializedError)):
            use()
    # Nothing is lost to who has it still.
    assert_array_equal(before.predict(Z), expected)
    assert pipeline.set_params(sampler=EOS()).fit(X, y).predict(X).shape == y.shape


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


@pytest.mark.parametrize("method", ["fit", "fit_transform", "fit_predict"])
@pytest.mark.parametrize("broken", [{"head__C": 2}, {"sampler": Interrupted()}])
def test_a_head_that_fails_does_not_keep_what_it_knew_of_the_network_before(method, broken):
    pipeline = make_pipeline(head=Failing()).fit(X, y)
    fit = getattr(pipeline.set_params(**broken), method)
    with pytest.raises((ValueError, KeyboardInterrupt)):
        fit(X, y)
    with pytest.raises(NotFittedError):
        pipeline.predict(X)


@pytest.mark.parametrize("broken", [{"head__C": 2}, {"sampler__k_neighbors": 1000}])
def test_a_failed_fit_leaves_the_sampler_that_was_given(broken):
    pipeline = make_pipeline(sampler=SMOTE(k_neighbors=3), head=Failing())
    sampler = pipeline["sampler"]
    with pytest.raises(ValueError, match=r"C is 2|1001"):
        pipeline.set_params(**broken).fit(X, y)
    assert pipeline["sampler"] is sampler
    # What it says of the network that is kept is still to be read.
    assert hasattr(sampler, "sampling_strategy_")
    sampler.k_neighbors = 3
    assert pipeline.set_params(head__C=1.0).fit(X, y).predict(X).shape == y.shape


def test_a_head_that_cannot_be_cloned_keeps_no_other_step_from_being_forgotten():
    steps = [("embedder", make_pipeline()[0]), ("pca", PCA(2)), ("head", Uncloneable())]
    pipeline = EmbeddingPipeline(steps).fit(X, y)
    pipeline.steps[-1][1].C = 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="'head'") as caught:
            pipeline.fit(X, y)
    assert str(caught.value.__context__) == "C is 2"
    assert not hasattr(pipeline["pca"], "components_")


def test_a_pipeline_has_the_ways_to_fit_that_its_last_step_has():
    methods = ("fit_transform", "fit_predict", "fit_resample")
    for last, found in (
        (LinearHead(), set()),
        (LinearDiscriminantAnalysis(), {"fit_transform"}),
        (Failing(), {"fit_transform", "fit_predict"}),
        (EOS(), {"fit_resample"}),
    ):
        pipeline = EmbeddingPipeline([("embedder", make_pipeline()[0]), ("last", last)])
        assert {name for name in methods if hasattr(pipeline, name)} == found
    Z, labels = pipeline.fit_resample(X, y)
    assert len(Z) == len(labels) > len(X)


class Resampling(Failing):
    """A last step that resamples and predicts."""

    def fit_resample(self, X, y):
        return X, y


class ResamplingPCA(PCA):
    """A last step that resamples and transforms, and whose fit fails for no components."""

    fit_resample = Resampling.fit_resample

    def fit(self, X, y=None):
        if self.n_components == 0:
            raise ValueError("C is 2")
        return super().fit(X)


@pytest.mark.parametrize(
    ("last", "broken"),
    [(Resampling(), {"last__C": 2}), (ResamplingPCA(2), {"last__n_components": 0})],
)
def test_a_failed_fit_forgets_what_resamples_and_is_used_by_prediction_too(last, broken):
    pipeline = EmbeddingPipeline([("embedder", make_pipeline()[0]), ("last", last)]).fit(X, y)
    check_is_fitted(last)
    with pytest.raises(ValueError, match="C is 2"):
        pipeline.set_params(**broken).fit(X, y)
    with pytest.raises(NotFittedError):
        check_is_fitted(pipeline["last"])


class Uncloneable(Failing):
    """A head that changes a parameter, which scikit-learn forbids."""

    def __init__(self, C=1.0, marks=()):
        super().__init__(C=C)
        self.marks = list(marks)


def test_a_head_that_cannot_be_cloned_is_warned_of():
    pipeline = EmbeddingPipeline([("embedder", make_pipeline()[0]), ("head", Uncloneable())]).fit(
        X, y
    )
    pipeline.steps[-1][1].C = 2
    with (
        pytest.warns(UserWarning, match="'head' .Uncloneable. may have been") as warned,
        pytest.raises(ValueError, match="C is 2"),
    ):
        pipeline.fit(X, y)
    assert warned[0].filename == __file__


def test_a_failed_fit_forgets_what_knew_another_layer_of_a_frozen_network():
    trained = make_pipeline().fit(X, y)["embedder"].net_
    pipeline = make_pipeline(net=FrozenEstimator(trained)).fit(X, y)
    with pytest.raises(KeyboardInterrupt):
        pipeline.set_params(sampler=Interrupted()).fit(X, y)
    with pytest.raises(NotFittedError):
        pipeline.predict(X)


def test_a_failed_fit_leaves_no_transformer_of_the_network_before():
    pipeline = EmbeddingPipeline(
        [("embedder", make_pipeline()[0]), ("pca", PCA(2)), ("head", "passthrough")]
    )
    assert pipeline.fit(X, y).transform(X).shape == (len(X), 2)
    with pytest.raises(ValueError, match="n_components"):
        pipeline.set_params(pca__n_components=10**6).fit(X, y)
    with pytest.raises(NotFittedError):
        pipeline.transform(X)


class InterruptedAtTransform(Embedder):
    """An Embedder at which Ctrl-C is pressed after the network is trained."""

    def transform(self, X):
        raise KeyboardInterrupt


def test_a_pipeline_without_other_steps_keeps_the_network():
    pipeline = EmbeddingPipeline([("embedder", InterruptedAtTransform(make_net()))])
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit_transform(X, y)
    assert isinstance(pipeline["embedder"].net_, NeuralNet)


@pytest.mark.parametrize(("sampler", "error"), FAILING)
def test_after_a_failed_fit_a_frozen_head_is_as_it_was(sampler, error):
    pipeline = make_pipeline().fit(X, y)
    head = FrozenEstimator(pipeline.steps[-1][1])
    pipeline.set_params(head=head, sampler=sampler)
    with pytest.raises(error):
        pipeline.fit(X, y)
    assert head.predict(pipeline["embedder"].transform(X)).shape == y.shape


@pytest.mark.parametrize("last", [None, "passthrough"])
def test_a_failed_fit_without_a_head_says_why_and_keeps_no_ranges(last):
    pipeline = make_pipeline().fit(X, y)
    pipeline.set_params(head=last, sampler=SMOTE(k_neighbors=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="n_neighbors"):
            pipeline.fit(X, y)
    with pytest.raises(NotFittedError, match="ranges of the training embeddings"):
        pipeline.generalization_gap(X, y)


def test_a_fit_that_fails_before_the_network_is_trained_leaves_the_one_before():
    pipeline = make_pipeline().fit(X, y)
    expected = pipeline.predict_proba(X)
    with pytest.raises(ValueError, match="one class"):
        pipeline.fit(X, np.zeros(len(X)))
    assert_array_equal(pipeline.predict_proba(X), expected)


class Doubling(RandomOverSampler):
    """A sampler that understands a strategy which imbalanced-learn's do not."""

    def fit_resample(self, X, y):
        assert self.sampling_strategy == "double"
        return np.concatenate([X, X]), np.concatenate([y, y])


def test_strategies_of_samplers_of_ones_own_pass_the_check():
    pipeline = make_pipeline(sampler=Doubling(sampling_strategy="double"))
    assert pipeline.fit(X, y).predict(X).shape == y.shape


def test_transformers_without_constraints_pass_the_check():
    pipeline = make_pipeline()
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


def test_bad_labels_are_what_the_embedder_says():
    for labels, message in (
        (np.zeros(len(X)), "one class"),
        ([None, *y.astype(str)[1:]], "cannot be sorted"),
        (y[1:], "inconsistent numbers"),
        (None, "requires y"),
    ):
        with pytest.raises(ValueError, match=message):
            make_pipeline(make_net(callbacks=[Trained()])).fit(X, labels)


def test_a_pipeline_without_steps_says_what_to_give():
    with pytest.raises(ValueError, match=r"'steps' parameter of EmbeddingPipeline is empty"):
        EmbeddingPipeline([]).fit(X, y)
