"""The methods and the classifiers of a comparison. To add one, add one entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from imblearn import FunctionSampler
from imblearn.over_sampling import SMOTE, RandomOverSampler
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from imblearn_eos._device import resolve_device
from imblearn_eos.compare._adasyn import LenientADASYN
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


# Every sampler keeps its defaults, so that none is tuned. Only EOS takes options of the user.
METHODS: dict[str, Method] = {
    "network": Method("network, own head", phrase="the network's own head"),
    "none": Method("no over-sampling", FunctionSampler),
    "logit_adjustment": Method("logit adjustment"),
    "random": Method("random", RandomOverSampler, phrase="random over-sampling"),
    "smote": Method("SMOTE", SMOTE),
    "adasyn": Method("ADASYN", LenientADASYN),
    "eos": Method("EOS", EOS),
}

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
    """Return the names of the samplers to run: "none", the baseline, and those of ``names``.

    None means all samplers. Raise ValueError when a name is unknown or ``names`` is empty.
    """
    known = [name for name, method in METHODS.items() if method.make_sampler is not None]
    names = known if names is None else list(names)
    if not names or any(name not in known for name in names):
        raise ValueError(
            f"The 'samplers' parameter must name some of {', '.join(known)}. Got {names} instead."
        )
    return list(dict.fromkeys(["none", *names]))


def make_samplers(names, *, n_neighbors, enemy_search, device):
    """Return unfitted samplers by name; every EOS among them takes the options."""
    resolve_device(device)
    samplers = {name: METHODS[name].make_sampler() for name in select_samplers(names)}
    for sampler in samplers.values():
        if isinstance(sampler, EOS):
            sampler.set_params(n_neighbors=n_neighbors, enemy_search=enemy_search, device=device)
    return samplers
