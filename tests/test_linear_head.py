import os
import pickle
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from interrupts import InterruptedBar
from networks import make_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from imblearn_eos import LinearHead
from imblearn_eos.embedding import _head

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def objective(coef, intercept, X, y, alpha):
    """Value and gradients of the documented objective, in NumPy float64."""
    X = np.asarray(X, dtype=np.float64)
    classes, codes = np.unique(y, return_inverse=True)
    logits = X @ coef.T + intercept
    targets = np.eye(len(classes))[codes]
    value = -(log_softmax(logits, axis=1) * targets).sum() / len(X)
    residuals = (softmax(logits, axis=1) - targets) / len(X)
    return (
        value + alpha / 2 * (coef**2).sum(),
        residuals.T @ X + alpha * coef,
        residuals.sum(axis=0),
    )


def real_data():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


@pytest.mark.parametrize("alpha", [1.0, 0.01, 0.001])
def test_equals_logistic_regression_for_many_classes(alpha):
    X, y = real_data()
    expected = LogisticRegression(C=1 / (alpha * len(y)), tol=1e-6, max_iter=1000).fit(X, y)
    head = LinearHead(alpha=alpha).fit(X, y)
    assert_allclose(head.predict_proba(X), expected.predict_proba(X), atol=1e-4)
    assert_array_equal(head.predict(X), expected.predict(X))
    assert_allclose(head.predict_log_proba(X), np.log(head.predict_proba(X)), atol=1e-9)


def test_equals_logistic_regression_for_two_classes_at_twice_the_C():
    X, y = real_data()
    alpha, y = 0.01, y > 4
    expected = LogisticRegression(C=2 / (alpha * len(y)), tol=1e-6, max_iter=1000).fit(X, y)
    head = LinearHead(alpha=alpha).fit(X, y)
    assert head.coef_.shape == (2, 64)
    assert head.intercept_.shape == (2,)
    assert_allclose(head.predict_proba(X), expected.predict_proba(X), atol=1e-4)
    assert_allclose(head.coef_[1], expected.coef_[0] / 2, atol=1e-3)
    assert_allclose(head.coef_[0], -head.coef_[1], atol=1e-6)
    assert_allclose(head.decision_function(X), expected.decision_function(X), atol=1e-2)


@pytest.mark.parametrize("alpha", [0, 0.1])
def test_gradient_vanishes_and_no_other_point_is_lower(alpha):
    X, y = make_data((60, 50, 40))
    head = LinearHead(alpha=alpha, tol=1e-8, max_iter=1000).fit(X, y)
    value, *gradients = objective(head.coef_, head.intercept_, X, y, alpha)
    for gradient in gradients:
        assert_allclose(gradient, 0, atol=1e-7)
    random_state = np.random.RandomState(0)
    for size in (1e-3, 0.1, 1):
        coef = head.coef_ + size * random_state.normal(size=head.coef_.shape)
        intercept = head.intercept_ + size * random_state.normal(size=3)
        assert objective(coef, intercept, X, y, alpha)[0] > value


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda X: X + np.float32(1e4), id="offset 1e4"),
        pytest.param(lambda X: X * np.float32(1e7), id="scale 1e7"),
        pytest.param(lambda X: X * np.float32(1e-7), id="scale 1e-7"),
        pytest.param(lambda X: X * np.logspace(-2, 7, 6, dtype=np.float32), id="mixed scales"),
        pytest.param(lambda X: np.c_[X, np.zeros(len(X)), X[:, :1]], id="constant, repeated"),
        pytest.param(lambda X: np.zeros_like(X), id="all constant"),
    ],
)
@pytest.mark.parametrize("alpha", [0, 0.01])
def test_badly_scaled_features_give_finite_weights(change, alpha):
    X, y = make_data((60, 50, 40))
    X = change(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        head = LinearHead(alpha=alpha, max_iter=50).fit(X, y)
    assert np.isfinite(head.coef_).all()
    assert np.isfinite(head.predict_proba(X)).all()
    # Never worse than the best constant guess.
    prior = np.log(np.bincount(y))
    start = objective(np.zeros_like(head.coef_), prior, X, y, alpha)[0]
    assert objective(head.coef_, head.intercept_, X, y, alpha)[0] <= start + 1e-9


@pytest.mark.parametrize("scale", [1e-5, 0.1, 1])
@pytest.mark.parametrize("alpha", [0.01, 1, 10])
def test_converges_with_dead_units_and_strong_penalties(scale, alpha):
    X, y = real_data()
    X = np.c_[scale * X[:, 16:32], np.zeros((len(X), 32))]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        head = LinearHead(alpha=alpha).fit(X, y)
    for gradient in objective(head.coef_, head.intercept_, X, y, alpha)[1:]:
        assert_allclose(gradient, 0, atol=2e-6)


def test_offset_does_not_change_the_probabilities():
    X, y = make_data()
    X = np.round(X * 64) / 64  # so that 1024 can be added in float32 without rounding
    plain = LinearHead().fit(X, y).predict_proba(X)
    moved = LinearHead().fit(X + np.float32(1024), y).predict_proba(X + np.float32(1024))
    assert_allclose(moved, plain, atol=1e-8)


@pytest.mark.parametrize("tau", [0.0, 1.5])
@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_intercepts_have_a_mean_of_zero_however_often_rows_are_repeated(alpha, tau):
    X, y = load_iris(return_X_y=True)
    X, y = X[20:], y[20:]
    heads = [
        LinearHead(alpha=alpha, tau=tau, max_iter=3000, tol=1e-4 if alpha == 0 else 1e-7).fit(
            np.tile(X + 1000, (n, 1)), np.tile(y, n)
        )
        for n in (1, 100)
    ]
    for head in heads:
        scale = np.abs(head.intercept_).max()
        assert head.intercept_.mean() == pytest.approx(0, abs=1e-12 * scale)
    if alpha:
        assert_allclose(*(head.intercept_ for head in heads), rtol=1e-3)


def test_too_few_iterations_warn_with_the_remedy():
    X, y = real_data()
    with pytest.warns(ConvergenceWarning, match=r"max_iter=3 .*Increase alpha or max_iter.*scale"):
        head = LinearHead(max_iter=3).fit(X, y)
    assert head.n_iter_ == 3


def test_the_warning_does_not_advise_to_standardize_embeddings():
    with pytest.warns(ConvergenceWarning) as caught:
        LinearHead(max_iter=1).fit(*real_data())
    assert "StandardScaler" not in str(caught[0].message)


def test_larger_alpha_gives_smaller_weights():
    X, y = make_data()
    norms = [np.linalg.norm(LinearHead(alpha=a).fit(X, y).coef_) for a in (0.001, 0.1, 10, 1e6)]
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] < 1e-5
    # The intercept is not penalized: what is left are the class frequencies.
    proba = LinearHead(alpha=1e6).fit(X, y).predict_proba(X[:1])[0]
    assert_allclose(proba, np.bincount(y) / len(y), atol=1e-4)


@pytest.mark.parametrize("tau", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("class_sizes", [(60, 6), (60, 20, 5)])
def test_tau_divides_probabilities_by_a_power_of_the_class_frequencies(tau, class_sizes):
    X, y = make_data(class_sizes)
    plain, head = LinearHead().fit(X, y), LinearHead(tau=tau).fit(X, y)
    expected = plain.predict_proba(X) / (np.bincount(y) / len(y)) ** tau
    expected /= expected.sum(axis=1, keepdims=True)
    assert_allclose(head.predict_proba(X), expected, atol=1e-9)
    assert_array_equal(head.coef_, plain.coef_)


def test_tau_has_no_effect_on_balanced_classes():
    X, y = make_data((30, 30, 30))
    expected = LinearHead().fit(X, y).predict_proba(X)
    assert_allclose(LinearHead(tau=2).fit(X, y).predict_proba(X), expected)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["ant", "bee", "cat"]),
        np.array([-3, 10, 700]),
        np.array(["a", "b", "c"], dtype=object),
    ],
)
def test_any_labels(labels):
    X, y = make_data()
    head, plain = LinearHead().fit(X, labels[y]), LinearHead().fit(X, y)
    assert_array_equal(head.classes_, labels)
    assert_array_equal(head.predict(X), labels[plain.predict(X)])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_give_what_arrays_give(dtype):
    X, y = make_data()
    tensor = torch.from_numpy(X).to(dtype).requires_grad_()
    array = tensor.detach().double().numpy()
    head = LinearHead().fit(tensor, torch.from_numpy(y))
    expected = LinearHead().fit(array, y)
    assert_allclose(head.coef_, expected.coef_, atol=1e-12)
    proba = head.predict_proba(tensor)
    assert isinstance(proba, np.ndarray)
    assert_allclose(proba, expected.predict_proba(array), atol=1e-12)
    assert isinstance(head.predict(tensor), np.ndarray)
    assert head.n_features_in_ == X.shape[1]


@needs_cuda
def test_cuda_equals_cpu():
    X, y = make_data()
    expected = LinearHead(device="cpu").fit(X, y)
    tensor = torch.from_numpy(X).cuda()
    for head in (
        LinearHead(device="cuda").fit(X, y),
        LinearHead().fit(tensor, torch.from_numpy(y).cuda()),
    ):
        assert_allclose(head.coef_, expected.coef_, atol=1e-6)
        assert_allclose(head.predict_proba(tensor), expected.predict_proba(X), atol=1e-6)


def test_input_is_not_changed():
    X, y = make_data()
    for array in (X, X.astype(np.float64)):
        before = array.copy()
        for container in (array, torch.from_numpy(array)):
            LinearHead().fit(container, y).predict_proba(container)
            assert_array_equal(array, before)


def test_names_of_a_dataframe_are_kept_and_forgotten():
    X, y = make_data()
    head = LinearHead().fit(pd.DataFrame(X, columns=list("abcdef")), pd.Series(y))
    assert_array_equal(head.feature_names_in_, list("abcdef"))
    head.fit(torch.from_numpy(X), y)
    assert not hasattr(head, "feature_names_in_")


def test_threads_of_blas_do_not_compete_with_those_of_torch(monkeypatch):
    def threads_of_blas():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    during = []
    loss = _head._penalized_loss
    monkeypatch.setattr(
        _head, "_penalized_loss", lambda *args: during.append(threads_of_blas()) or loss(*args)
    )
    with threadpool_limits(2, user_api="blas"):
        before = threads_of_blas()
        LinearHead().fit(*real_data())
        assert threads_of_blas() == before
    assert before != {1}
    assert during
    assert set().union(*during) <= {1}


def test_same_fit_twice_and_after_pickling():
    X, y = load_iris(return_X_y=True)
    head = LinearHead().fit(X, y)
    assert_array_equal(clone(head).fit(X, y).coef_, head.coef_)
    assert_array_equal(pickle.loads(pickle.dumps(head)).predict_proba(X), head.predict_proba(X))


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # scikit-learn's
@pytest.mark.parametrize(
    ("params", "change", "message"),
    [
        ({"alpha": -1}, lambda X, y: (X, y), "'alpha' parameter"),
        ({"max_iter": 0}, lambda X, y: (X, y), "'max_iter' parameter"),
        ({"tol": 0}, lambda X, y: (X, y), "'tol' parameter"),
        ({"device": "tpu"}, lambda X, y: (X, y), "'device' parameter"),
        ({}, lambda X, y: (X, np.zeros(len(X))), "one class"),
        ({}, lambda X, y: (X, y[1:]), r"92, 91"),
        # Labels of one class.
        ({}, lambda X, y: (X, y[:5]), r"92, 5"),
        ({}, lambda X, y: (X, X[:, 0]), "continuous"),
        ({}, lambda X, y: (X, None), "requires y"),
        ({}, lambda X, y: (X, [None, *y.astype(str)[1:]]), "y has labels .* sorted.*drop rows"),
        ({}, lambda X, y: (X, np.array(["a", *y[1:]], object)), "y has labels .* sorted.*one type"),
        (
            {},
            lambda X, y: (1e200 * X.astype(float), y),
            r"X contains a number of size \d.*e\+200.* scale",
        ),
        ({}, lambda X, y: (np.where(X > 0, 1.7e308, -1.7e308), y), r"X contains .*e\+308"),
        ({}, lambda X, y: (np.where(X > 2, 1.7e308, X.astype(float)), y), r"X contains .*e\+308"),
        ({}, lambda X, y: (np.where(X > 2, np.nan, X), y), "NaN"),
        ({}, lambda X, y: (torch.from_numpy(X).log(), y), "NaN"),
        ({}, lambda X, y: (X[:, None], y), "dim 3|shape"),
    ],
)
def test_bad_input_is_named(params, change, message):
    X, y = change(*make_data())
    with pytest.raises(ValueError, match=message):
        LinearHead(**params).fit(X, y)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_another_number_of_features_is_an_error(convert):
    X, y = make_data()
    head = LinearHead().fit(X, y)
    with pytest.raises(ValueError, match="5 features"):
        head.predict(convert(X[:, :5].copy()))


def interrupt(head, *rows, monkeypatch):
    monkeypatch.setattr(_head, "tqdm", lambda **kwargs: InterruptedBar(after=2))
    with pytest.raises(KeyboardInterrupt):
        head.fit(*rows)
    monkeypatch.undo()


def test_a_fit_that_fails_leaves_the_one_before(monkeypatch):
    X, y = make_data()
    head = LinearHead()
    interrupt(head, X, y, monkeypatch=monkeypatch)
    with pytest.raises(NotFittedError):
        head.predict(X)
    frame = pd.DataFrame(X).add_prefix("z")
    before = head.fit(frame, y).predict(frame)
    interrupt(head, X[:, :3], np.where(y == 0, "rare", "common"), monkeypatch=monkeypatch)
    assert_array_equal(head.predict(frame), before)
    with pytest.raises(ValueError, match="one class"):
        head.fit(X[:, :3], np.zeros_like(y))
    assert_array_equal(head.predict(frame), before)
    assert head.fit(X[:, :3], y).predict(X[:, :3]).shape == y.shape


def test_the_warning_of_too_few_iterations_points_to_the_call_of_fit():
    X, y = make_data()
    with pytest.warns(ConvergenceWarning) as caught:
        LinearHead(max_iter=1).fit(X, y)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_sparse_rows_give_what_dense_rows_give(convert, dtype):
    X, y = load_digits(return_X_y=True)
    X = np.c_[X[:400], np.zeros(400)].astype(dtype)
    expected, head = LinearHead(tol=1e-9).fit(X, y[:400]), LinearHead(tol=1e-9)
    head.fit(convert(X), y[:400])
    assert_allclose(head.coef_, expected.coef_, atol=1e-6)
    assert_allclose(head.intercept_, expected.intercept_, atol=5e-5)
    assert_allclose(head.predict_proba(convert(X)), head.predict_proba(X), atol=1e-12)


def test_sparse_rows_are_never_made_dense():
    n_samples, n_features = 2000, 300_000
    columns = np.random.RandomState(0).randint(n_features, size=3 * n_samples)
    places = np.arange(n_samples).repeat(3), columns
    X = sparse.csr_matrix((np.ones(len(columns)), places), shape=(n_samples, n_features))
    y = np.arange(n_samples) % 2
    tracemalloc.start()
    LinearHead(max_iter=5, alpha=10).fit(X, y).predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n_samples * n_features


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_bad_numbers_in_sparse_rows_are_named(value):
    X, y = make_data()
    X = sparse.csr_matrix(X.astype(np.float64))
    X.data[5] = value
    with pytest.raises(ValueError, match="X contains"):
        LinearHead().fit(X, y)


@pytest.mark.parametrize("class_sizes", [(60, 6), (60, 20, 5)])
def test_the_softmax_of_the_module_is_predict_proba(class_sizes):
    X, y = make_data(class_sizes)
    head = LinearHead(tau=1).fit(X, y)
    module = head.to_module()
    assert type(module) is torch.nn.Linear
    assert module.weight.dtype == torch.float32
    probabilities = module(torch.from_numpy(X)).softmax(dim=1).detach()
    assert_allclose(probabilities, head.predict_proba(X), atol=1e-6)


def test_an_unfitted_head_has_no_module():
    with pytest.raises(NotFittedError):
        LinearHead().to_module()


def test_a_lazy_frame_is_named():
    pl = pytest.importorskip("polars", reason="needs polars")
    frame = pl.DataFrame(make_data()[0])
    with pytest.raises(TypeError, match=r"X is a polars LazyFrame.*X\.collect\(\)"):
        LinearHead().fit(frame.lazy(), make_data()[1])
    head = LinearHead().fit(frame, make_data()[1])
    with pytest.raises(TypeError, match="X is a polars LazyFrame"):
        head.predict(frame.lazy())


CHILD = """
import multiprocessing
import numpy as np, torch
torch.set_num_threads(2)
from imblearn_eos import LinearHead

X = np.random.RandomState(0).randn(20_000, 50)
y = (X[:, 0] + X[:, 1] > 0).astype(int)

def fit(head):
    proba = head.predict_proba(X)
    assert torch.get_num_threads() == 2
    return LinearHead().fit(X, y).coef_, proba

if __name__ == "__main__":
    # Here torch starts its threads.
    head = LinearHead().fit(X, y)
    proba = head.predict_proba(X)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        [(coef_, seen)] = pool.map_async(fit, [head]).get(timeout=60)
    np.testing.assert_allclose(coef_, head.coef_, atol=1e-4)
    np.testing.assert_allclose(seen, proba, atol=1e-9)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which Windows lacks")
def test_a_forked_child_fits_and_predicts_after_its_parent():
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    subprocess.run([sys.executable, "-c", CHILD], check=True, env=environment, timeout=120)
