"""Several augmented views of each training sample, as rows for the sampler and the head."""

import numpy as np
import pytest
import torch
from imblearn.over_sampling import RandomOverSampler
from networks import CNN, Inputs, make_data, make_net, make_tokens
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from skorch.dataset import Dataset

from imblearn_eos import EOS, Embedder, EmbeddingPipeline, LinearHead
from imblearn_eos.metrics import generalization_gap_report
from imblearn_eos.training import BatchAugmentation, Mixup

X, y = make_data()


def double(samples):
    return 2 * samples


def add_one(samples):
    return samples + 1


def add_noise(samples):
    return samples + torch.randn_like(samples)


def double_tokens(samples):
    return samples | {"mask": 2 * samples["mask"]}


def make_embedder(*transforms, n_views=3, **params):
    net = make_net(callbacks=[BatchAugmentation(transform) for transform in transforms])
    return Embedder(net, n_views=n_views, **{"random_state": 0, **params})


def test_views_are_embeddings_of_augmented_copies_after_those_of_the_samples():
    embedder = make_embedder(double, add_one).fit(X, y)
    Z, labels = embedder.transform_views(X, y)
    expected = [embedder.transform(samples) for samples in (X, 2 * X + 1, 2 * X + 1)]
    assert_allclose(Z, np.concatenate(expected), rtol=1e-5, atol=1e-6)
    assert_array_equal(Z[: len(X)], embedder.transform(X))
    assert_array_equal(labels, np.concatenate([y, y, y]))
    assert not embedder.net_.module_._forward_pre_hooks


def test_views_are_random_and_reproducible():
    embedder = make_embedder(add_noise).fit(X, y)
    Z, _ = embedder.transform_views(X, y)
    plain, first, second = np.split(Z, 3)
    assert not np.array_equal(first, second)
    assert not np.array_equal(plain, first)
    torch.rand(1)
    assert_array_equal(embedder.transform_views(X, y)[0], Z)
    other = clone(embedder).set_params(random_state=1)
    assert not np.array_equal(other.fit(X, y).transform_views(X, y)[0][len(X) :], Z[len(X) :])


def test_views_leave_new_samples_and_training_as_they_are():
    embedder, plain = (make_embedder(add_noise, n_views=n).fit(X, y) for n in (3, 1))
    assert_array_equal(embedder.transform(X), plain.transform(X))
    assert_array_equal(plain.transform_views(X, y)[0], plain.transform(X))


def test_containers_of_samples_and_labels_come_back():
    embedder = make_embedder(double).fit(X, y)
    Z, labels = embedder.transform_views(torch.from_numpy(X), torch.from_numpy(y))
    assert isinstance(Z, torch.Tensor)
    expected, expected_labels = embedder.transform_views(X, y)
    assert_array_equal(Z, expected)
    assert_array_equal(labels, expected_labels)
    found, labels = embedder.transform_views(Dataset(X, y))
    assert_array_equal(found, expected)
    assert_array_equal(labels, expected_labels)
    names = np.array(["a", "b", "c"])[y]
    named = make_embedder(double).fit(X, names)
    assert_array_equal(named.transform_views(X, names)[1], np.tile(names, 3))


def test_views_of_dicts():
    tokens, labels = make_tokens()
    net = make_net(
        Inputs,
        module__n_classes=3,
        callbacks=[BatchAugmentation(double_tokens)],
        predict_nonlinearity=None,
        criterion=MappedLoss,
    )
    embedder = Embedder(net, n_views=2, random_state=0).fit(tokens, labels)
    Z, _ = embedder.transform_views(tokens, labels)
    doubled = embedder.transform(double_tokens(tokens))
    assert_allclose(Z[len(labels) :], doubled, rtol=1e-5, atol=1e-6)


class MappedLoss(torch.nn.CrossEntropyLoss):
    def forward(self, outputs, target):
        return super().forward(outputs["logits"], target)


class Recorder(BaseEstimator):
    """A sampler that keeps what it gets."""

    def fit_resample(self, Z, labels):
        self.rows_ = Z, labels
        return Z, labels


@pytest.mark.parametrize("memory", [None, "folder"])
def test_a_pipeline_fits_its_later_steps_to_all_views(memory, tmp_path):
    memory = memory and str(tmp_path)
    steps = [("embedder", make_embedder(add_noise)), ("sampler", Recorder())]
    steps += [("over", RandomOverSampler(random_state=0)), ("head", LinearHead())]
    pipeline = EmbeddingPipeline(steps, memory=memory).fit(X, y)
    embedder = pipeline.named_steps["embedder"]
    assert isinstance(embedder, Embedder)
    rows = embedder.transform_views(X, y)
    assert_array_equal(pipeline.named_steps["sampler"].rows_[0], rows[0])
    assert_array_equal(pipeline.named_steps["sampler"].rows_[1], rows[1])
    head = LinearHead().fit(*RandomOverSampler(random_state=0).fit_resample(*rows))
    assert_allclose(pipeline.named_steps["head"].coef_, head.coef_, atol=1e-6)
    assert_array_equal(pipeline.predict(X), head.predict(embedder.transform(X)))
    module = pipeline.to_module()
    with torch.no_grad():
        proba = module(torch.from_numpy(X)).softmax(dim=1)
    assert_allclose(proba, pipeline.predict_proba(X), atol=1e-5)


def test_the_gap_is_that_of_the_samples_and_of_all_that_the_head_saw():
    steps = [("embedder", make_embedder(add_noise)), ("sampler", EOS(random_state=0))]
    pipeline = EmbeddingPipeline([*steps, ("head", LinearHead())]).fit(X, y)
    plain = clone(pipeline).set_params(embedder__n_views=1).fit(X, y)
    found, expected = (part.generalization_gap(X + 1, y) for part in (pipeline, plain))
    assert_allclose(found.before.all, expected.before.all)
    embedder = pipeline.named_steps["embedder"]
    rows = EOS(random_state=0).fit_resample(*embedder.transform_views(X, y))
    Z, Z_new = embedder.transform(X), embedder.transform(X + 1)
    expected = generalization_gap_report(Z, y, *rows, Z_new, y)
    assert_allclose(found.after.all, expected.after.all)


def test_a_pipeline_whose_fit_fails_keeps_its_embedder():
    class Failing(BaseEstimator):
        def fit_resample(self, Z, labels):
            raise ValueError("no rows today")

    embedder = make_embedder(add_noise)
    pipeline = EmbeddingPipeline([("embedder", embedder), ("sampler", Failing())])
    pipeline.steps.append(("head", LinearHead()))
    with pytest.raises(ValueError, match="no rows today"):
        pipeline.fit(X, y)
    assert pipeline.steps[0] == ("embedder", embedder)
    assert embedder.transform(X).shape == (len(X), 5)


@pytest.mark.parametrize("callbacks", [[], [Mixup()], "disable"])
def test_views_need_an_augmentation(callbacks):
    net = make_net(callbacks=callbacks)
    match = r"'n_views' parameter of Embedder is 2, but the net has no augmentation"
    with pytest.raises(ValueError, match=match):
        Embedder(net, n_views=2).fit(X, y)
    with pytest.raises(ValueError, match=match):
        Embedder(FrozenEstimator(net.fit(X, y)), n_views=2).fit(X, y)
    pipeline = EmbeddingPipeline.from_module(CNN(), trained_on_rows=True)
    with pytest.raises(ValueError, match=match):
        pipeline.set_params(embedder__n_views=2).fit(np.zeros((6, 1, 8, 8)), [0, 0, 1, 1, 2, 2])


def test_frozen_nets_have_views():
    net = make_net(callbacks=[BatchAugmentation(double)]).fit(X, y)
    embedder = Embedder(FrozenEstimator(net), n_views=2, random_state=0).fit(X, y)
    Z, _ = embedder.transform_views(X, y)
    assert_allclose(Z[len(X) :], embedder.transform(2 * X), rtol=1e-5, atol=1e-6)


def test_views_of_arrays_need_labels():
    embedder = Embedder(make_net(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="y is None, but only a dataset has labels of its own"):
        embedder.transform_views(X)
