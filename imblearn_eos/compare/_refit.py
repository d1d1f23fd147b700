"""The recommended model: fitted once more, to all rows that may be used for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline

from imblearn_eos.compare._fit import TrainingRows
from imblearn_eos.compare._notes import join_settings
from imblearn_eos.compare._recommend import best_setting
from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._splits import count
from imblearn_eos.compare._statistics import as_list
from imblearn_eos.compare._summary import choose_method
from imblearn_eos.embedding import EmbeddingPipeline


@dataclass(frozen=True)
class RefittedModel:
    """What `refit_recommended` returns.

    Attributes
    ----------
    method : str
        Its key in ``SeedResult.methods``.
    settings : dict of str to object
        The settings of the method, empty if it had none to choose from.
    estimator : estimator object
        Fitted: a pipeline of the scaling of the features, or of the network, and the classifier.
        For the network's own head, it is the `Embedder`. It has ``predict`` and ``predict_proba``
        for rows like those of the comparison.
    train_counts : dict of str to int
        Rows of each class that it was fitted to.
    left_out : tuple of str
        Which of "test" and "validation" were given, and are not among these rows.
    imbalance_ratio : float or None
        The ratio by which these rows were made long-tailed.

    Examples
    --------
    See `refit_recommended`.
    """

    method: str
    settings: dict[str, Any]
    estimator: Any
    train_counts: dict[str, int]
    left_out: tuple[str, ...] = ()
    imbalance_ratio: float | None = None


def refit_recommended(results: Iterable[SeedResult]) -> RefittedModel:
    """Fit the recommended method to all rows, as ``GridSearchCV`` does with ``refit=True``.

    The method is that of `recommend`. Without validation scores it is EOS, or the last method if
    EOS did not run. Its settings are those with the best mean score over the validation folds of
    all seeds; ties go to the default. A setting that failed on a fold is used only if all failed.

    A random split has no meaning for the final model, so the rows are those of the training and
    the test part together. A test or a validation part that was given stays out, so that the model
    can still be tested or calibrated on it. With ``imbalance_ratio``, the rows are made long-tailed
    by the same ratio. The random state is that of the first seed.

    After `compare`, this trains one more network, unless a test part was given: then the first
    seed's network was trained on the same rows, and is used again.

    Parameters
    ----------
    results : iterable of SeedResult
        As returned by `compare`, `compare_embeddings` or `compare_table`; the first one with its
        ``fitted``.

    Returns
    -------
    RefittedModel

    Raises
    ------
    ValueError
        When the first result has no ``fitted``, or the method cannot be fitted to these rows.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, refit_recommended
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> results = list(compare_table(X, y, samplers=["smote"], seeds=2))
    >>> model = refit_recommended(results)
    >>> sum(model.train_counts.values())
    500
    >>> model.estimator.predict(X[:2]).shape
    (2,)
    """
    results = as_list(results)
    first, method = results[0], choose_method(results)
    if first.fitted is None:
        raise ValueError(
            "The first of the results has no 'fitted', which the model needs. Compare again, and "
            "keep it."
        )
    comparison = first.fitted.comparison
    embedder, own_head, Z = _embed(comparison, first)
    y = comparison.y[comparison.model_rows]
    candidate = comparison.candidates_of(own_head)[method][best_setting(results, method)]
    with comparison.cores.limit_threads():
        [fitted] = TrainingRows(Z, y, first.seed, own_head, [candidate]).fit([candidate])
    if fitted.error is not None:
        name = find_method(method).name
        raise ValueError(f"{name} cannot be fitted to the {len(y)} rows. It says: {fitted.error}")
    return RefittedModel(
        method=method,
        settings=candidate.settings,
        estimator=assemble(embedder, None if method == "network" else fitted.head),
        train_counts=count(y, np.unique(y)),
        left_out=comparison.given_parts,
        imbalance_ratio=comparison.imbalance_ratio,
    )


def _embed(comparison, first):
    """Return what embeds the rows of the model, its own head, and the embedded rows."""
    rows, fitted = comparison.model_rows, first.fitted
    if np.array_equal(rows, fitted.train):
        return fitted.embedder, fitted.heads.get("network"), fitted.Z_train
    with comparison.cores.limit_threads():
        made = comparison.embed(first.seed, comparison.X[rows], comparison.y[rows])
        return made.embedder, made.own_head, made.embedder.transform(comparison.X[rows])


def assemble(embedder, head):
    """Return a fitted pipeline; without a head, the network as it is."""
    if head is None:
        return embedder
    if hasattr(embedder, "net_"):
        return EmbeddingPipeline([("embedder", embedder), ("head", head)])
    return make_pipeline(embedder, head)


def describe_model(model: RefittedModel, unit: str) -> str:
    """Return the method and settings of a model and the rows that it was fitted to, as text."""
    method, n = find_method(model.method), sum(model.train_counts.values())
    name = method.phrase or method.name
    if model.settings:
        name += f" ({join_settings(model.settings)})"
    if model.left_out:
        parts = " and ".join(model.left_out) + f" part{'s' * (len(model.left_out) > 1)}"
        rows = f"the {n} {unit} outside the given {parts}"
    elif model.imbalance_ratio:
        rows = f"{n} {unit} of the training and test parts"
    else:
        rows = f"all {n} {unit}"
    if model.imbalance_ratio:
        rows += f", made long-tailed by the ratio {model.imbalance_ratio:g}"
    return f"the model of {name}, fitted to {rows}"
