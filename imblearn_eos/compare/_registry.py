"""The methods and the classifiers of a comparison. To add one, add one entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imblearn import FunctionSampler
from imblearn.over_sampling import SMOTE, RandomOverSampler
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV

from imblearn_eos._compat import scores_labels
from imblearn_eos.compare._adasyn import LenientADASYN
from imblearn_eos.embedding import LinearHead
from imblearn_eos.over_sampling import EOS


@dataclass(frozen=True)
class Method:
    """A method of a comparison, an entry of `METHODS`.

    Attributes
    ----------
    name : str
        Its name in tables, plots and the report.
    make_sampler : callable or None, default=None
        Returns a new sampler, which gets the seed of the run as its ``random_state``. None for a
        method without a sampler.
    phrase : str or None, default=None
        Its name in sentences. None means ``name``.
    grid : dict of str to list
        Values of the sampler's parameters to choose from, beside its defaults.
    make_head : callable or None, default=None
        Of a method without a sampler: called with the classifier, the number of classes and the
        scorer of the validation rows, returns the classifier to fit instead, or None if the method
        does not apply.

    Examples
    --------
    >>> from imblearn.over_sampling import SVMSMOTE
    >>> from imblearn_eos.compare import METHODS, Method
    >>> METHODS["svm_smote"] = Method("SVM-SMOTE", SVMSMOTE)  # now every comparison runs it
    >>> del METHODS["svm_smote"]
    """

    name: str
    make_sampler: Callable[[], BaseEstimator] | None = None
    phrase: str | None = None
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    make_head: Callable[[BaseEstimator, int, Callable], BaseEstimator | None] | None = None


def _weigh_classes(head, n_classes, scorer):
    if "class_weight" not in head.get_params():
        return None
    return clone(head).set_params(class_weight="balanced")


def _move_threshold(head, n_classes, scorer):
    # For a linear head, logit adjustment with a tau of its choice does the same.
    if n_classes > 2 or isinstance(head, LinearHead):
        return None
    # A scorer of probabilities is the same at every threshold.
    scoring = scorer if scores_labels(scorer) else "balanced_accuracy"
    return TunedThresholdClassifierCV(head, scoring=scoring)


METHODS: dict[str, Method] = {
    "network": Method("network, own head", phrase="the network's own head"),
    "none": Method("no over-sampling", FunctionSampler),
    "logit_adjustment": Method("logit adjustment"),
    "class_weight": Method("class weights", make_head=_weigh_classes),
    "threshold": Method("moved threshold", phrase="a moved threshold", make_head=_move_threshold),
    "cost": Method("expected cost"),
    "random": Method("random", RandomOverSampler, phrase="random over-sampling"),
    "smote": Method("SMOTE", SMOTE, grid={"k_neighbors": [3, 10]}),
    "adasyn": Method("ADASYN", LenientADASYN, grid={"n_neighbors": [3, 10]}),
    "eos": Method("EOS", EOS, grid={"n_neighbors": [10, 1000], "max_step": [0.5, 1.0]}),
    "averaged": Method("EOS + logit adjustment"),
}
# They need no sampler, and run where they apply.
AUTOMATIC = ("network", "logit_adjustment", "cost")
# Of logit adjustment, beside 1, which stands for balanced classes.
TAUS = (0.5, 1.5)
# Penalties of the linear head, beside the one that is given.
ALPHAS = (0.001, 0.1)

# All keep their defaults, except for the iterations that logistic regression needs to converge.
CLASSIFIERS: dict[str, BaseEstimator] = {
    "logistic": LogisticRegression(max_iter=1000),
    "forest": RandomForestClassifier(),
    "boosting": HistGradientBoostingClassifier(),
}


def find_method(key: str) -> Method:
    """Return the method of a key in ``SeedResult.methods``, also of a sampler of the user."""
    return METHODS.get(key) or Method(key, FunctionSampler)


def select_samplers(names: Iterable[str] | None = None) -> list[str]:
    """Return the names of the methods to run: "none", the baseline, and those of ``names``.

    None means all methods. Raise ValueError when a name is unknown or ``names`` is empty.
    """
    known = [name for name in METHODS if name not in AUTOMATIC]
    names = known if names is None else list(names)
    if not names or any(name not in known for name in names):
        raise ValueError(
            f"The 'samplers' parameter must name some of {', '.join(known)}, or hold pairs of a "
            f"new name and a sampler (an object, not a class). Got {names} instead."
        )
    return list(dict.fromkeys(["none", *names]))


def make_samplers(samplers, eos):
    """Return unfitted samplers by name, None for a method without one.

    ``samplers`` holds names of `METHODS` and pairs of a new name and a sampler, or is one name.
    ``eos`` is the sampler named "eos".
    """
    samplers = [samplers] if isinstance(samplers, str) else samplers
    pairs = dict(entry for entry in samplers or () if _is_pair(entry))
    names = samplers and [entry for entry in samplers if not _is_pair(entry)]
    selected = select_samplers(names or (["none"] if pairs else samplers))
    made = {name: (METHODS[name].make_sampler or (lambda: None))() for name in selected}
    if "eos" in made:
        made["eos"] = eos
    return made | pairs


def _is_pair(entry):
    if not isinstance(entry, (tuple, list)) or len(entry) != 2:
        return False
    name, sampler = entry
    is_new = isinstance(name, str) and name not in METHODS
    return is_new and hasattr(sampler, "fit_resample") and not isinstance(sampler, type)
