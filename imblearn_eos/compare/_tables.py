"""Samplers beside each other on rows of numbers, with a scikit-learn classifier and no network."""

import time

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, check_array, check_consistent_length, column_or_1d

from imblearn_eos._compat import HasMethods, validate_params
from imblearn_eos._device import resolve_device
from imblearn_eos.compare import _methods
from imblearn_eos.compare._methods import SAMPLERS, SeedResult

# All with their own defaults; a thousand iterations are enough for logistic regression to converge.
CLASSIFIERS = {
    "logistic": LogisticRegression(max_iter=1000),
    "forest": RandomForestClassifier(),
    "boosting": HistGradientBoostingClassifier(),
}


@validate_params(
    {
        "X": ["array-like"],
        "y": ["array-like"],
        "classifier": [HasMethods(["fit", "predict", "predict_proba"]), None],
        **_methods.CONSTRAINTS,
    },
    prefer_skip_nested_validation=True,
)
def compare_table(
    X,
    y,
    *,
    classifier=None,
    samplers=tuple(SAMPLERS),
    seeds=5,
    test_size=0.3,
    imbalance_ratio=None,
    n_neighbors=10,
    enemy_search="neighborhood",
    device="auto",
):
    """Compare samplers on rows of numbers, seed after seed.

    For each seed: split, fill in missing values by the median and scale the features to unit
    variance, as fitted to the training rows, and for each sampler fit the classifier on the
    over-sampled training rows. Beside them stands the classifier without a sampler but with logit
    adjustment. The test rows are used for nothing but the scores.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Numbers; NaN stands for a missing value.
    y : array-like of shape (n_samples,)
        Labels of at least two classes, each with at least two rows.
    classifier : estimator object, default=None
        A scikit-learn classifier with ``predict_proba``. None means
        :class:`~sklearn.linear_model.LogisticRegression`, whose penalty weighs less the more rows
        there are, so that over-sampling also loosens it.
    samplers : array-like of str, default=("none", "random", "smote", "adasyn", "eos")
        Names in `SAMPLERS`. "none" always runs: it is what the others are compared with.
    seeds : int, default=5
        How many seeds; they are 0, 1, 2...
    test_size : float, default=0.3
        Share of each class's rows that goes to the test part.
    imbalance_ratio : float or None, default=None
        Make the training part long-tailed by this ratio. None leaves it as it is.
    n_neighbors : int, default=10
        K of EOS.
    enemy_search : {"neighborhood", "nearest"}, default="neighborhood"
        Where EOS looks for enemies.
    device : str or torch.device, default="auto"
        Where EOS computes.

    Returns
    -------
    iterator of SeedResult
        The input is checked now; each seed is run when its result is asked for.

    Raises
    ------
    ValueError
        When a parameter, a feature or a class cannot be used, and from the iterator when the
        classifier cannot be fitted. The message says what to change.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> for result in compare_table(X, y, samplers=["smote", "eos"], seeds=1):
    ...     print(result.seed, *result.methods)
    0 none logit_adjustment smote eos
    """
    X = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan", input_name="X")
    y = column_or_1d(y)
    check_consistent_length(X, y)
    _methods.check_classes(y)
    eos_params = {"n_neighbors": n_neighbors, "enemy_search": enemy_search, "device": device}
    resolve_device(device)
    samplers = _methods.make_samplers(samplers, eos_params)
    classifier = CLASSIFIERS["logistic"] if classifier is None else classifier
    splits = _methods.make_splits(y, seeds, test_size, imbalance_ratio)
    return (
        _run_seed(seed, (X[train], X[test], y[train], y[test]), samplers, classifier, test_size)
        for seed, (train, test) in enumerate(splits)
    )


def _run_seed(seed, split, samplers, classifier, test_size):
    X_train, X_test, y_train, y_test = split
    start = time.perf_counter()
    # A feature may be missing in all rows of a small training part.
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    scaler = make_pipeline(imputer, StandardScaler())
    Z_train, Z_test = scaler.fit_transform(X_train), scaler.transform(X_test)
    seconds_embed = time.perf_counter() - start
    rows = Z_train, Z_test, y_train, y_test
    methods, fitted = _methods.run_samplers(samplers, classifier, rows, seed)
    y_fitted = fitted.heads["none"].predict(Z_train)
    return SeedResult(
        seed=seed,
        train_counts=_methods.count(y_train),
        test_counts=_methods.count(y_test),
        test_size=test_size,
        train_loss=None,
        train_balanced_accuracy=float(balanced_accuracy_score(y_train, y_fitted)),
        seconds_train=0.0,
        seconds_embed=seconds_embed,
        methods=methods,
        fitted=Bunch(
            embedder=scaler, classes=np.unique(y_train), Z_train=Z_train, y_train=y_train, **fitted
        ),
    )
