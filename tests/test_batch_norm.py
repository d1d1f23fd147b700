"""Batch-norm statistics of balanced classes."""

from collections import Counter

import numpy as np
import pytest
import torch
from networks import Backbone, make_data, make_net
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from skorch.dataset import Dataset

from imblearn_eos import Embedder
from imblearn_eos.training import BatchAugmentation, BatchLoader, shift_batch_norm
from imblearn_eos.training._batch_norm import _balanced_rows

COUNTS = (60, 30, 10)
X, y = make_data(COUNTS)


def add_one(samples):
    return samples + 1


def add_noise(samples):
    return samples + torch.randn_like(samples)


def moments(net, samples):
    """Compute what the only batch-norm layer should have learned from samples of one batch."""
    module = net.module_
    with torch.no_grad():
        hidden = module.hidden(torch.from_numpy(samples)).numpy().astype(np.float64)
    return hidden.mean(axis=0), hidden.var(axis=0, ddof=1)


def test_statistics_are_those_of_balanced_classes():
    # Sizes of which each class can have the same multiple, so that the draw does not matter.
    samples, labels = make_data((20, 20, 10))
    net = make_net(batch_size=-1).fit(samples, labels)
    shifted = shift_batch_norm(net, samples, labels, random_state=0)
    rows = np.concatenate([np.resize(np.flatnonzero(labels == label), 17) for label in range(3)])
    drawn = _balanced_rows(labels, np.random.RandomState(0))
    assert Counter(labels[drawn]) == Counter(labels[rows])
    mean, variance = moments(net, samples[drawn])
    assert_allclose(shifted.module_.norm.running_mean, mean, rtol=1e-4, atol=1e-6)
    assert_allclose(shifted.module_.norm.running_var, variance, rtol=1e-4)


@pytest.mark.parametrize("loader", [torch.utils.data.DataLoader, BatchLoader])
def test_statistics_are_means_over_batches(loader):
    net = make_net(batch_size=20, iterator_valid=loader).fit(X, y)
    shifted = shift_batch_norm(net, X, y, random_state=0)
    drawn = _balanced_rows(y, np.random.RandomState(0))
    batches = [moments(net, X[drawn[start : start + 20]]) for start in range(0, len(drawn), 20)]
    mean, variance = np.mean(batches, axis=0)
    assert_allclose(shifted.module_.norm.running_mean, mean, rtol=1e-4, atol=1e-6)
    assert_allclose(shifted.module_.norm.running_var, variance, rtol=1e-4)


def test_rows_of_small_classes_come_equally_often_and_of_large_ones_once():
    rows = _balanced_rows(y, np.random.RandomState(0))
    assert Counter(y[rows]) == {0: 34, 1: 34, 2: 34}
    times = [set(Counter(rows[y[rows] == label].tolist()).values()) for label in range(3)]
    assert times == [{1}, {1, 2}, {3, 4}]
    assert (np.diff(y[rows]) != 0).sum() > 34


def test_nothing_else_of_the_net_changes_and_the_net_itself_does_not():
    net = make_net(callbacks=[BatchAugmentation(add_noise)]).fit(X, y)
    before = {name: tensor.clone() for name, tensor in net.module_.state_dict().items()}
    shifted = shift_batch_norm(net, X, y, random_state=0)
    for name, tensor in net.module_.state_dict().items():
        assert_array_equal(tensor, before[name])
    changed = shifted.module_.state_dict()
    names = {name for name in before if not torch.equal(changed[name], before[name])}
    assert names == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert shifted.module_.norm.momentum == net.module_.norm.momentum
    assert not shifted.module_.training
    assert not shifted.module_._forward_pre_hooks


def test_dropout_does_not_run():
    net = make_net(module__dropout=0.9, batch_size=-1).fit(X, y)
    plain = make_net(batch_size=-1).fit(X, y)
    plain.module_.load_state_dict(net.module_.state_dict())
    found, expected = (shift_batch_norm(part, X, y, random_state=0) for part in (net, plain))
    assert_array_equal(found.module_.norm.running_var, expected.module_.norm.running_var)


def test_samples_are_augmented_and_draws_are_reproducible():
    net = make_net(callbacks=[BatchAugmentation(add_one)], batch_size=-1).fit(X, y)
    shifted = shift_batch_norm(net, X, y, random_state=0)
    drawn = _balanced_rows(y, np.random.RandomState(0))
    assert_allclose(
        shifted.module_.norm.running_mean, moments(net, X[drawn] + 1)[0], rtol=1e-4, atol=1e-6
    )
    noisy = make_net(callbacks=[BatchAugmentation(add_noise)]).fit(X, y)
    first, again, other = (
        shift_batch_norm(noisy, X, y, random_state=seed).module_.norm.running_mean
        for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert not torch.equal(first, other)


def test_datasets_and_labels_of_any_kind():
    net = make_net().fit(X, y)
    names = np.array(["a", "b", "c"])[y]
    found = shift_batch_norm(net, Dataset(X, y), names, random_state=0)
    expected = shift_batch_norm(net, X, torch.from_numpy(y), random_state=0)
    assert_array_equal(found.module_.norm.running_mean, expected.module_.norm.running_mean)


def test_shifted_nets_embed():
    embedder = Embedder(make_net(), random_state=0).fit(X, y)
    shifted = shift_batch_norm(embedder.net_, X, y, random_state=0)
    Z = Embedder(FrozenEstimator(shifted)).fit(X, y).transform(X)
    with torch.no_grad():
        assert_allclose(Z, shifted.module_.embed(torch.from_numpy(X)), rtol=1e-5, atol=1e-6)
    assert not np.allclose(Z, embedder.transform(X))


def test_modules_without_batch_norm_are_refused():
    net = make_net(Backbone).initialize()
    with pytest.raises(ValueError, match="Backbone has no batch normalization with running"):
        shift_batch_norm(net, X, y)


def test_a_last_batch_of_one_sample_is_left_out():
    # 33 rows for each of three classes.
    net = make_net(batch_size=14).fit(X, y)
    assert len(_balanced_rows(y, np.random.RandomState(0))) % 14 == 4
    assert len(_balanced_rows(y[:98], np.random.RandomState(0))) % 14 == 1
    shifted = shift_batch_norm(net, X[:98], y[:98], random_state=0)
    assert shifted.module_.norm.running_var.isfinite().all()


def test_rows_are_needed():
    net = make_net().fit(X, y)
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        shift_batch_norm(net, X[:0], y[:0])
    with pytest.raises(TypeError, match="at least 1 dimension"):
        shift_batch_norm(net, X, None)


def test_a_net_must_be_trained():
    with pytest.raises(NotFittedError, match="not fitted"):
        shift_batch_norm(make_net(), X, y)
