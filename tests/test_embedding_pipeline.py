import pickle
import re
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import Pipeline
from imblearn.under_sampling import RandomUnderSampler
from networks import (
    CNN,
    MLP,
    FocalLoss,
    OneLogit,
    ScaledMLP,
    SharedHead,
    SoftmaxMLP,
    make_data,
    make_net,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skorch import NeuralNetBinaryClassifier
from torch import nn
from torch.utils.data import TensorDataset

from imblearn_eos import EOS, Embedder, EmbeddingPipeline, LinearHead, make_embedding_pipeline

X, y = make_data()
TWO = (y > 0).astype(int)


def make_pipeline(net=None, sampler=None, head=None, **params):
    net = make_net() if net is None else net
    return make_embedding_pipeline(net, sampler, head, **{"random_state": 0, **params})


def two_class_net(module=MLP):
    return make_net(module, module__n_classes=2)


# --- fit and predict ------------------------------------------------------------------------------


def test_the_three_phases_by_hand_give_the_same():
    pipeline = make_pipeline().fit(X, y)
    embedder, sampler, head = (clone(step) for _, step in pipeline.steps)
    Z, labels = sampler.fit_resample(embedder.fit_transform(X, y), y)
    assert_array_equal(np.bincount(labels), [50, 50, 50])
    proba = head.fit(Z, labels).predict_proba(embedder.transform(X))
    assert_array_equal(pipeline.predict_proba(X), proba)


def test_plain_pipeline_of_the_same_steps_predicts_the_same():
    pipeline = make_pipeline()
    plain = Pipeline([(name, clone(step)) for name, step in pipeline.steps]).fit(X, y)
    assert_array_equal(pipeline.fit(X, y).predict_proba(X), plain.predict_proba(X))


def test_same_seed_same_predictions_and_any_labels():
    labels = np.array(["x", "q", "m"])[y]
    first = make_pipeline().fit(X, labels)
    second = clone(first).fit(X, labels)
    assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert_array_equal(first.classes_, ["m", "q", "x"])
    assert set(first.predict(X)) <= {"m", "q", "x"}
    assert first.score(X, labels) > 0.6


def test_pickle_of_a_fitted_pipeline():
    pipeline = make_pipeline().fit(X, y)
    again = pickle.loads(pickle.dumps(pipeline))
    assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))
    inputs = torch.from_numpy(X)
    assert torch.equal(again.to_module()(inputs), pipeline.to_module()(inputs))


def test_tensors_give_the_predictions_of_arrays():
    expected = make_pipeline().fit(X, y).predict_proba(X)
    inputs = torch.from_numpy(X)
    for labels in (y, torch.from_numpy(y)):
        assert_allclose(make_pipeline().fit(inputs, labels).predict_proba(inputs), expected)


def test_embeddings_as_data_frames():
    expected = make_pipeline().fit(X, y)
    proba = expected.predict_proba(X)
    with config_context(transform_output="pandas"):
        pipeline = make_pipeline().fit(X, y)
        assert isinstance(pipeline[0].transform(X), pd.DataFrame)
        assert_allclose(pipeline.predict_proba(X), proba)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merged = pipeline.to_module()
    assert_allclose(outputs(merged), outputs(expected.to_module()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_tensors_stay_there():
    inputs = torch.from_numpy(X).cuda()
    pipeline = make_pipeline(make_net(device="cuda")).fit(inputs, torch.from_numpy(y).cuda())
    module = pipeline.to_module()
    assert module(inputs).device == inputs.device
    proba = module(inputs).softmax(dim=1).detach().cpu().numpy()
    assert_allclose(proba, pipeline.predict_proba(inputs), atol=1e-5)


def test_slices():
    pipeline = make_pipeline().fit(X, y)
    Z = pipeline["embedder"].transform(X)
    for part in (pipeline[:1], pipeline[:-1]):
        assert type(part) is EmbeddingPipeline
    assert_array_equal(pipeline[:1].transform(X), Z)
    for part in (pipeline[1:], pipeline[-1:]):
        assert type(part) is Pipeline
        assert_array_equal(part.predict_proba(Z), pipeline.predict_proba(X))
    assert pipeline[0] is pipeline["embedder"]
    # What is left after the Embedder can be fitted again.
    assert_array_equal(clone(pipeline[1:]).fit(Z, y).predict_proba(Z), pipeline.predict_proba(X))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            [("scaler", StandardScaler()), ("head", LinearHead())],
            r"must be an Embedder, got StandardScaler\. Wrap",
        ),
        # It has neither transform nor fit_resample, which imbalanced-learn would complain of.
        (
            [("net", make_net()), ("head", LinearHead())],
            r"got NeuralNetClassifier\. Wrap .*Embedder\(net\)",
        ),
        ([("e", Embedder), ("head", LinearHead())], "got the class Embedder"),
        ([("e", Embedder(make_net())), ("s", EOS)], "instance .* instead of a class"),
        ([], "must be an Embedder, got NoneType"),
    ],
)
def test_impossible_steps_are_an_error_at_fit_only(steps, message):
    pipeline = EmbeddingPipeline(steps)
    clone(pipeline)
    with pytest.raises(TypeError, match=re.compile(message, re.DOTALL)):
        pipeline.fit(X, y)


# --- search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_all_three_phases(n_jobs):
    grid = {
        "embedder__net__lr": [0.01, 0.1],
        "sampler__n_neighbors": [5],
        "head__alpha": [0.01, 100],
    }
    search = GridSearchCV(
        make_pipeline(), grid, cv=2, scoring="balanced_accuracy", n_jobs=n_jobs, error_score="raise"
    )
    search.fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    best = make_pipeline().set_params(**search.best_params_).fit(X, y)
    assert_array_equal(search.predict(X), best.predict(X))


# --- to_module ------------------------------------------------------------------------------------


def outputs(module, inputs=X):
    with torch.no_grad():
        return module(torch.from_numpy(inputs))


@pytest.mark.parametrize("module", [MLP, SharedHead])
@pytest.mark.parametrize("head", [LinearHead(), LogisticRegression(), LinearDiscriminantAnalysis()])
def test_module_gives_the_probabilities_of_the_pipeline(module, head):
    pipeline = make_pipeline(
        make_net(module, module__dropout=0.5) if module is MLP else make_net(module), head=head
    ).fit(X, y)
    merged = pipeline.to_module()
    assert type(merged) is module
    assert not merged.training
    proba = outputs(merged).softmax(dim=1).numpy()
    assert_allclose(proba, pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    "head", [LinearHead(), LogisticRegression(), SGDClassifier(loss="log_loss")]
)
def test_module_for_two_classes(head):
    pipeline = make_pipeline(two_class_net(), head=head).fit(X, TWO)
    proba = outputs(pipeline.to_module()).softmax(dim=1).numpy()
    assert_allclose(proba, pipeline.predict_proba(X), atol=1e-5)


def test_module_with_a_softmax_of_its_own():
    pipeline = make_pipeline(make_net(SoftmaxMLP, criterion=nn.NLLLoss)).fit(X, y)
    assert_allclose(outputs(pipeline.to_module()).numpy(), pipeline.predict_proba(X), atol=1e-5)


def test_module_for_images_whose_head_is_lazy_and_without_bias():
    images = np.random.RandomState(0).normal(size=(len(y), 1, 6, 6)).astype(np.float32)
    pipeline = make_pipeline(make_net(CNN, module__bias=False)).fit(images, y)
    proba = outputs(pipeline.to_module(), images).softmax(dim=1).numpy()
    assert_allclose(proba, pipeline.predict_proba(images), atol=1e-5)


def test_module_that_is_the_head():
    net = make_net(nn.Linear, module__in_features=6, module__out_features=3)
    pipeline = make_pipeline(net).fit(X, y)
    proba = outputs(pipeline.to_module()).softmax(dim=1).numpy()
    assert_allclose(proba, pipeline.predict_proba(X), atol=1e-5)


def test_module_is_a_copy_and_draws_no_random_numbers():
    pipeline = make_pipeline().fit(X, y)
    before = pipeline["embedder"].predict_proba(X)
    state = torch.random.get_rng_state()
    merged = pipeline.to_module()
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.zero_()
    assert_array_equal(pipeline["embedder"].predict_proba(X), before)
    assert all(parameter.requires_grad for parameter in merged.parameters())


def test_samplers_and_passthrough_do_not_hinder_the_module():
    steps = [
        ("embedder", Embedder(make_net(), random_state=0)),
        ("nothing", "passthrough"),
        ("under", RandomUnderSampler(sampling_strategy="majority", random_state=0)),
        ("over", SMOTE(k_neighbors=3, random_state=0)),
        ("head", LinearHead()),
    ]
    pipeline = EmbeddingPipeline(steps).fit(X, y)
    proba = outputs(pipeline.to_module()).softmax(dim=1).numpy()
    assert_allclose(proba, pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (KNeighborsClassifier(), "no coef_ and no intercept_"),
        (RidgeClassifier(), r"'head' \(RidgeClassifier\) has no predict_proba"),
        (SGDClassifier(loss="modified_huber"), "not the softmax"),
        (OneVsRestClassifier(LogisticRegression()), "no coef_"),
        (SGDClassifier(loss="log_loss"), "not the softmax"),
        (SVC(kernel="linear"), "no predict_proba"),
    ],
)
def test_heads_that_are_no_softmax_layer_are_refused(head, message):
    pipeline = make_pipeline(head=head).fit(X, y)
    with pytest.raises(ValueError, match=message):
        pipeline.to_module()


def test_saturated_one_vs_rest_heads_are_refused_too():
    head = SGDClassifier(loss="log_loss", alpha=1e-9)
    pipeline = make_pipeline(head=head).fit(X * 100, y)
    with pytest.raises(ValueError, match="not the softmax"):
        pipeline.to_module()


def test_steps_that_transform_embeddings_are_refused_by_name():
    steps = [("embedder", Embedder(make_net())), ("shrink", PCA(2)), ("head", LinearHead())]
    pipeline = EmbeddingPipeline(steps).fit(X, y)
    with pytest.raises(ValueError, match=r"'shrink' \(PCA\)"):
        pipeline.to_module()


def test_one_logit_nets_are_refused_with_the_remedy():
    net = NeuralNetBinaryClassifier(OneLogit, train_split=None, verbose=0, max_epochs=1)
    pipeline = make_pipeline(net).fit(X, TWO)
    assert pipeline.predict_proba(X).shape == (len(X), 2)
    with pytest.raises(ValueError, match=r"1 output.*CrossEntropyLoss"):
        pipeline.to_module()


def test_a_layer_that_is_not_the_head_is_refused():
    pipeline = make_pipeline(layer="hidden").fit(X, y)
    with pytest.raises(ValueError, match=r"'hidden' with 5 output.*'layer' parameter of Embedder"):
        pipeline.to_module()


class DropFirstClass(RandomOverSampler):
    def fit_resample(self, X, y):
        return X[y != 0], y[y != 0]


def test_a_head_that_lost_a_class_is_refused():
    pipeline = make_pipeline(sampler=DropFirstClass()).fit(X, y)
    with pytest.raises(ValueError, match=r"knows the classes \[1, 2\], the network \[0, 1, 2\]"):
        pipeline.to_module()


def test_unfitted_or_headless_pipelines_are_refused():
    with pytest.raises(ValueError, match="not fitted"):
        make_pipeline().to_module()
    headless = make_pipeline().fit(X, y)[:1]
    with pytest.raises(ValueError, match="has no coef_"):
        headless.to_module()


# --- make_embedding_pipeline ----------------------------------------------------------------------


def test_defaults_and_names():
    net = make_net()
    pipeline = make_embedding_pipeline(net, layer="head", memory="folder", verbose=True)
    assert list(pipeline.named_steps) == ["embedder", "sampler", "head"]
    embedder, sampler, head = (step for _, step in pipeline.steps)
    assert embedder.net is net
    assert (embedder.layer, embedder.memory, embedder.random_state) == ("head", "folder", None)
    assert repr(sampler) == "EOS(n_neighbors=1000)"
    assert isinstance(head, LinearHead)
    assert pipeline.verbose
    assert pipeline.memory is None


def test_random_state_seeds_every_step_that_has_none():
    sampler, head = SMOTE(), LogisticRegression()
    pipeline = make_embedding_pipeline(make_net(), sampler, head, random_state=0)
    seeds = [step.random_state for _, step in pipeline.steps]
    assert all(isinstance(seed, int) for seed in seeds)
    assert sampler.random_state is None
    assert head.random_state is None
    again = make_embedding_pipeline(make_net(), sampler, head, random_state=0)
    assert [step.random_state for _, step in again.steps] == seeds
    # The network does not depend on the steps that follow it.
    other = make_embedding_pipeline(make_net(), SMOTE(random_state=7), random_state=0)
    assert other["embedder"].random_state == seeds[0]
    assert other["sampler"].random_state == 7


def test_no_sampler():
    pipeline = make_pipeline(sampler="passthrough").fit(X, y)
    Z = pipeline["embedder"].transform(X)
    expected = LinearHead().fit(Z, y).predict_proba(Z)
    assert_array_equal(pipeline.predict_proba(X), expected)


@pytest.mark.parametrize(
    "net",
    [
        make_net(),
        make_net(SoftmaxMLP, criterion=nn.NLLLoss),
        make_net(criterion=FocalLoss, predict_nonlinearity=partial(torch.softmax, dim=1)),
    ],
)
def test_module_under_the_nets_own_nonlinearity_gives_the_probabilities(net):
    pipeline = make_pipeline(net).fit(X, y)
    pipeline["embedder"].net_.module_.train()
    module = pipeline.to_module()
    assert not module.training
    with torch.no_grad():
        result = pipeline["embedder"].net_._get_predict_nonlinearity()(module(torch.from_numpy(X)))
    assert_allclose(result.numpy(), pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("net", [make_net(criterion=FocalLoss), make_net(ScaledMLP)])
def test_module_whose_outputs_would_be_other_probabilities_is_refused(net):
    pipeline = make_pipeline(net).fit(X, y)
    with pytest.raises(ValueError, match="predict_nonlinearity"):
        pipeline.to_module()


@pytest.mark.parametrize("params", [{"sampler": EOS}, {"head": LinearHead}])
def test_a_class_in_place_of_an_object_is_refused(params):
    with pytest.raises(TypeError, match=r"instance .* instead of a class"):
        make_embedding_pipeline(make_net(), **params, random_state=0)


def test_slices_that_end_before_the_head_can_be_fitted():
    images = np.random.RandomState(0).normal(size=(len(y), 1, 6, 6)).astype(np.float32)
    pipeline = make_pipeline(make_net(CNN), EOS(n_neighbors=50))
    embedder = pipeline[:1].fit(images, y)
    Z = embedder.transform(images)
    assert_array_equal(Z, pipeline.fit(images, y)["embedder"].transform(images))
    labelled = TensorDataset(torch.from_numpy(images), torch.from_numpy(y))
    resampled = pipeline[:2].fit_resample(labelled)
    expected = clone(pipeline["sampler"]).fit_resample(Z, y)
    for part, expected_part in zip(resampled, expected, strict=True):
        assert_allclose(part, expected_part)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "saga", "head"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_bias_of_a_module_has_a_mean_of_zero(solver, n_classes):
    head = LinearHead(tau=1) if solver == "head" else LogisticRegression(solver=solver)
    net = make_net(module__n_classes=n_classes)
    rows = y < n_classes
    pipeline = make_embedding_pipeline(net, "passthrough", head, random_state=0)
    pipeline.fit(X[rows], y[rows])
    if n_classes == 3:
        # Another solver may find intercepts with any mean.
        pipeline[-1].intercept_ = pipeline[-1].intercept_ + 5
    module = pipeline.to_module()
    assert abs(module.head.bias.mean().item()) < 1e-6
    proba = module(torch.from_numpy(X[rows])).softmax(dim=1).detach()
    assert_allclose(proba, pipeline.predict_proba(X[rows]), atol=1e-5)
