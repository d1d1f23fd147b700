"""Masked arrays: the values behind masks are not used."""

import numpy as np
import pytest
from networks import make_net

from imblearn_eos import EOS, Embedder, LinearHead, TorchNearestNeighbors
from imblearn_eos.compare import compare_embeddings, compare_table
from imblearn_eos.losses import adjust_logits, class_balanced_weights
from imblearn_eos.metrics import expected_calibration_error, generalization_gap

X = np.random.RandomState(0).randn(30, 16).astype("float32")
Y = np.arange(30) % 3


def masked(values):
    values = np.ma.array(values, mask=False)
    values[3] = np.ma.masked
    return values


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: EOS().fit(masked(X), Y), "X"),
        (lambda: EOS().fit_resample(masked(X), Y), "X"),
        (lambda: EOS().fit_resample(X, masked(Y)), "y"),
        (lambda: TorchNearestNeighbors().fit(masked(X)), "X"),
        (lambda: TorchNearestNeighbors().fit(X).kneighbors(masked(X)), "X"),
        (lambda: Embedder(make_net()).fit(masked(X), Y), "X"),
        (lambda: Embedder(make_net()).fit(X, masked(Y)), "y"),
        (lambda: LinearHead().fit(masked(X), Y), "X"),
        (lambda: LinearHead().fit(X, masked(Y)), "y"),
        (lambda: LinearHead().fit(X, Y).predict(masked(X)), "X"),
        (lambda: generalization_gap(masked(X), Y, X, Y), "Z_train"),
        (lambda: generalization_gap(X, Y, X, masked(Y)), "y"),
        (lambda: compare_table(masked(X), Y), "X"),
        (lambda: compare_table(X, masked(Y)), "y"),
        (lambda: compare_embeddings(masked(X), Y), "Z"),
        (lambda: compare_embeddings(X, Y, groups=masked(Y)), "groups"),
        (lambda: adjust_logits(masked(X), np.ones(16)), "logits"),
        (lambda: class_balanced_weights(masked(Y + 1)), "class_counts"),
        (lambda: expected_calibration_error(masked(Y), np.full((30, 3), 1 / 3)), "y"),
    ],
)
def test_masked_entries_are_refused(call, name):
    with pytest.raises(ValueError, match=rf"^{name} has \d+ masked entries"):
        call()


def test_masked_arrays_without_masked_entries_are_arrays():
    X_resampled, _ = EOS(random_state=0).fit_resample(np.ma.array(X, mask=False), Y)
    np.testing.assert_array_equal(X_resampled, EOS(random_state=0).fit_resample(X, Y)[0])
