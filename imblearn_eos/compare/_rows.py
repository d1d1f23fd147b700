"""Compare samplers on rows of numbers, with a scikit-learn classifier and without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from imblearn_eos._compat import HasMethods, validate_params
from imblearn_eos._defaults import TABLE_GRID, eos_for_table
from imblearn_eos._validation import to_array
from imblearn_eos.compare._candidates import make_candidates
from imblearn_eos.compare._parallel import choose_cores
from imblearn_eos.compare._registry import CLASSIFIERS
from imblearn_eos.compare._run import CONSTRAINTS, Embedded, SeedResult, run
from imblearn_eos.over_sampling import EOS

# For fewer numbers, tasks side by side take longer than one after the other.
MANY_NUMBERS = 200_000


@validate_params(
    {**CONSTRAINTS, "classifier": [HasMethods(["fit", "predict", "predict_proba"]), None]},
    prefer_skip_nested_validation=True,
)
def compare_table(
    X: ArrayLike,
    y: ArrayLike,
    *,
    classifier: BaseEstimator | None = None,
    groups: ArrayLike | None = None,
    test: ArrayLike | None = None,
    validation: ArrayLike | None = None,
    samplers: str | Sequence[str | tuple[str, Any]] | None = None,
    seeds: int = 5,
    test_size: float = 0.3,
    imbalance_ratio: float | None = None,
    validation_folds: int = 5,
    eos: EOS | None = None,
    tune: bool = True,
    scoring: str | Callable | None = None,
    cost_matrix: ArrayLike | None = None,
    device: str | torch.device = "auto",
    n_jobs: int | None = None,
) -> Iterator[SeedResult]:
    """Compare samplers on rows of numbers, seed after seed.

    For each seed: split, fill in missing values by the median and scale the features to unit
    variance, as fitted to the training rows, and for each sampler fit the classifier on the
    over-sampled training rows. The classifier without a sampler but with logit adjustment is
    added. The same is done inside each of five folds of the training rows, for the scores that
    choose a method. The test rows are used for the scores only.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Numbers; NaN stands for a missing value.
    y : array-like of shape (n_samples,)
        Labels of at least two classes, each with at least two rows.
    classifier : estimator object, default=None
        A scikit-learn classifier with ``predict_proba``. None means
        :class:`~sklearn.linear_model.LogisticRegression`. The more rows there are, the less its
        penalty weighs, so over-sampling also loosens the penalty.
    groups : array-like of shape (n_samples,) or None, default=None
        Rows of one group, such as a patient or a video, stay on one side of every split.
    test, validation : array-like or None, default=None
        The rows of a test and of a validation part, as a mask or as positions. All seeds then
        share them. Without a validation part, rows are held out of the training part.
    samplers : str or array-like, default=None
        One or more names of samplers in `METHODS`, and pairs of a new name and a sampler, as in
        ``["eos", ("Borderline", BorderlineSMOTE())]``. None means all names. "none" always runs:
        it is the baseline.
    seeds : int, default=5
        Number of seeds; they are 0, 1, 2...
    test_size : float, default=0.3
        Share of each class's rows that goes to the test part.
    imbalance_ratio : float or None, default=None
        Make the training part long-tailed by this ratio. None leaves it unchanged.
    validation_folds : int, default=5
        How many of five folds of the training rows are held out in turn to choose a method (see
        `recommend`). With 0, no method is chosen.
    eos : EOS or None, default=None
        The sampler named "eos", whose settings then stay as they are. None means
        ``EOS(n_neighbors=20, max_step=0.25)``, half steps for scikit-learn's trees and forests and
        its gradient boosting, or another K and step if they are better.
    tune : bool, default=True
        Choose the settings of each method by the validation rows, on the same folds for all. False
        means the defaults. Samplers and classifiers that are given keep their own.
    scoring : str, callable or None, default=None
        What validation rows choose by: a scorer, or a name of scikit-learn's scorers. For two
        classes, "f1", "precision", "recall", "jaccard", "average_precision" and
        "recall_at_precision=0.9" are of the rarer class; the last is its recall at the best
        threshold with at least this precision. With more classes, "average_precision" and
        "roc_auc" are means over the classes. None means balanced accuracy.
    cost_matrix : array-like or DataFrame of shape (n_classes, n_classes), default=None
        Choose by the mean cost instead. Rows are true, columns predicted classes, in sorted order;
        those of a pandas DataFrame have the names of the classes, in any order. Each method gets
        its mean cost on the test rows, and "cost" is added: the head or classifier of "none", with
        decisions of least expected cost.
    device : str or torch.device, default="auto"
        Where EOS computes.
    n_jobs : int or None, default=None
        CPU cores. None means one for small data, else all.

    Returns
    -------
    iterator of SeedResult
        The input is checked at once; each seed runs when its result is requested.

    Raises
    ------
    ValueError
        When a parameter, a feature or a class cannot be used, and from the iterator when the
        classifier cannot be fitted.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> for result in compare_table(X, y, samplers=["smote", "eos"], seeds=1):
    ...     print(result.seed, *result.methods)
    0 none logit_adjustment smote eos
    """
    X = check_array(to_array(X), dtype=np.float64, ensure_all_finite="allow-nan", input_name="X")
    classifier = CLASSIFIERS["logistic"] if classifier is None else classifier
    candidates = partial(
        make_candidates,
        samplers,
        classifier,
        eos=eos,
        default_eos=eos_for_table(classifier, device=device),
        eos_grid=TABLE_GRID,
        tune=tune,
        tune_head=False,
    )
    return run(
        X,
        y,
        _scale,
        candidates,
        seeds=seeds,
        cores=choose_cores(
            n_jobs, X.size, many=MANY_NUMBERS, n_tasks=1 + validation_folds, device=device
        ),
        scoring=scoring,
        cost_matrix=cost_matrix,
        test_size=test_size,
        imbalance_ratio=imbalance_ratio,
        groups=groups,
        test=test,
        validation=validation,
        validation_folds=validation_folds,
    )


def _scale(seed, X_train, y_train):
    # A feature may be missing in all rows of a small training part.
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Embedded(make_pipeline(imputer, StandardScaler()).fit(X_train))
