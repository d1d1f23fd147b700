"""Compare samplers on embeddings: of a frozen backbone, or of any network, computed before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from imblearn_eos._compat import HasMethods, Interval, validate_params
from imblearn_eos._defaults import alpha_for_embeddings, eos_for_embeddings
from imblearn_eos._validation import to_array
from imblearn_eos.compare._candidates import make_candidates
from imblearn_eos.compare._memorized import find_memorized
from imblearn_eos.compare._parallel import choose_cores
from imblearn_eos.compare._rows import MANY_NUMBERS
from imblearn_eos.compare._run import CONSTRAINTS, Embedded, SeedResult, run
from imblearn_eos.embedding import CommonScaler, LinearHead
from imblearn_eos.over_sampling import EOS

# Of the default head: coarser than usual, which changes one prediction in thousands.
TOL = 1e-4
NO_SCORES = (
    "There are no scores and no recommendation, because the network was trained on all of these "
    "rows, and scores of rows that it has seen are too good: give test and validation rows that "
    "it has not seen."
)
NO_CHOICE = (
    "There is no recommendation, because the network was trained on the training rows, and a "
    "choice by rows that it has seen is no guide to new ones: give validation rows that it has not "
    "seen."
)
NO_TEST = (
    "There are no test scores, because the network was trained on the training rows: give test "
    "rows that it has not seen."
)


@validate_params(
    {
        **{name: kinds for name, kinds in CONSTRAINTS.items() if name != "X"},
        "Z": "no_validation",
        "trained_on_rows": ["boolean"],
        "head": [HasMethods(["fit", "predict", "predict_proba"]), None],
        "alpha": [Interval(Real, 0, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def compare_embeddings(
    Z: ArrayLike | torch.Tensor,
    y: ArrayLike,
    *,
    trained_on_rows: bool = False,
    groups: ArrayLike | None = None,
    test: ArrayLike | None = None,
    validation: ArrayLike | None = None,
    head: BaseEstimator | None = None,
    samplers: str | Sequence[str | tuple[str, Any]] | None = None,
    seeds: int = 5,
    test_size: float = 0.3,
    imbalance_ratio: float | None = None,
    validation_folds: int = 5,
    eos: EOS | None = None,
    tune: bool = True,
    scoring: str | Callable | None = None,
    cost_matrix: ArrayLike | None = None,
    alpha: float | None = None,
    device: str | torch.device = "auto",
    n_jobs: int | None = None,
) -> Iterator[SeedResult]:
    """Compare samplers on embeddings, seed after seed.

    For each seed: split, subtract the mean of the training rows and divide by one common scale,
    and for each sampler fit the head on the over-sampled training rows. The head without a sampler
    but with logit adjustment is added. The same is done inside each of five folds of the training
    rows, for the scores that choose a method (see `recommend`). The test rows are used for the
    scores only.

    Parameters
    ----------
    Z : array-like or torch.Tensor of shape (n_samples, n_features)
        Embeddings, finite numbers, as from `FeatureExtractor` or any network. They are computed
        with as float32.
    y : array-like of shape (n_samples,)
        Labels of at least two classes, each with at least two rows.
    trained_on_rows : bool, default=False
        Whether the network that made the embeddings was trained on these rows (all but the
        ``test`` and ``validation`` rows) and their labels. This cannot be seen from the numbers.
        Scores and choices then need ``test`` and ``validation`` rows that it has not seen. Without
        them there are none, and ``SeedResult.warnings`` says why.
    groups : array-like of shape (n_samples,) or None, default=None
        Rows of one group, such as a patient or a video, stay on one side of every split.
    test, validation : array-like or None, default=None
        The rows of a test and of a validation part, as a mask or as positions. All seeds then
        share them. Without a validation part, rows are held out of the training part.
    head : estimator object, default=None
        A scikit-learn classifier with ``predict_proba``. None means `LinearHead`.
    samplers : str or array-like, default=None
        One or more names of samplers in `METHODS`, and pairs of a new name and a sampler, as in
        ``["eos", ("Borderline", BorderlineSMOTE())]``. None means all names. "none" always runs:
        it is the baseline.
    seeds : int, default=5
        Number of seeds; they are 0, 1, 2...
    test_size : float, default=0.3
        Share of each class's rows that goes to the test part; with ``groups``, about this share.
    imbalance_ratio : float or None, default=None
        Make the training part long-tailed by this ratio. None leaves it unchanged.
    validation_folds : int, default=5
        How many of five folds of the training rows are held out in turn to choose a method. With
        0, no method is chosen.
    eos : EOS or None, default=None
        The sampler named "eos", whose settings then stay as they are. None means
        ``EOS(n_neighbors=1000, max_step=0.5)``, with full steps for ``trained_on_rows``, or the
        setting of its ``grid`` in `METHODS` that is best.
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
    alpha : float or None, default=None
        L2 penalty of the default head. None means 0.03, or 0.01 for ``trained_on_rows``.
    device : str or torch.device, default="auto"
        Where EOS and the default head compute.
    n_jobs : int or None, default=None
        CPU cores. None means one for small data, else all.

    Returns
    -------
    iterator of SeedResult
        The input is checked at once; each seed runs when its result is requested.

    Raises
    ------
    ValueError
        When a parameter, an embedding or a class cannot be used, and from the iterator when the
        head cannot be fitted.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_embeddings, recommend
    >>> Z, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> results = list(compare_embeddings(Z, y, samplers=["smote", "eos"], seeds=1))
    >>> list(results[0].methods)
    ['none', 'logit_adjustment', 'smote', 'eos']
    >>> recommend(results).method in results[0].methods
    True
    """
    Z = check_array(to_array(Z, "Z"), dtype=np.float32, input_name="Z")
    if alpha is None:
        alpha = alpha_for_embeddings(trained_on_rows=trained_on_rows)
    candidates = partial(
        make_candidates,
        samplers,
        LinearHead(alpha=alpha, tol=TOL, device=device) if head is None else head,
        eos=eos,
        default_eos=eos_for_embeddings(trained_on_rows=trained_on_rows, device=device),
        tune=tune,
        tune_head=head is None,
    )
    notes = []
    if trained_on_rows:
        validation_folds = 0
        if validation is None:
            notes = [NO_SCORES if test is None else NO_CHOICE]
        elif test is None:
            notes = [NO_TEST]
    return run(
        Z,
        y,
        _scale,
        candidates,
        # The seeds of samplers whose results nobody scores make no difference.
        seeds=1 if NO_SCORES in notes else seeds,
        cores=choose_cores(
            n_jobs, Z.size, many=MANY_NUMBERS, n_tasks=1 + validation_folds, device=device
        ),
        inspect=None if trained_on_rows or groups is not None else find_memorized,
        notes=notes,
        scoring=scoring,
        cost_matrix=cost_matrix,
        test_size=test_size,
        imbalance_ratio=imbalance_ratio,
        groups=groups,
        test=test,
        validation=validation,
        all_to_train=trained_on_rows,
        validation_folds=validation_folds,
    )


def _scale(seed, Z_train, y_train):
    return Embedded(CommonScaler().fit(Z_train))
