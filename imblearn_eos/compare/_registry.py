"""The methods and the classifiers of a comparison. To add one, add one entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from imblearn import FunctionSampler
from imblearn.over_sampling import SMOTE, RandomOverSampler
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from imblearn_eos._device import resolve_device
from imblearn_eos.compare._adasyn import LenientADASYN
from imblearn_eos.over_sampling import EOS

# With more, EOS's own search, which is exact to the last bit, takes several times as long on a CPU.
MANY_NEIGHBORS = 200


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
            f"The 'samplers' parameter must name some of {', '.join(known)}, or hold pairs of a "
            f"new name and a sampler (an object, not a class). Got {names} instead."
        )
    return list(dict.fromkeys(["none", *names]))


def make_samplers(samplers, *, n_neighbors, enemy_search, device):
    """Return unfitted samplers by name.

    ``samplers`` holds names of `METHODS` and pairs of a new name and a sampler. Every EOS of the
    registry takes the options; a sampler that is given as a pair keeps its own.
    """
    resolve_device(device)
    pairs = dict(entry for entry in samplers or () if _is_pair(entry))
    names = samplers and [entry for entry in samplers if not _is_pair(entry)]
    made = {}
    for name in select_samplers(names or (["none"] if pairs else samplers)):
        made[name] = METHODS[name].make_sampler()
        if isinstance(made[name], EOS):
            finder = _make_finder(n_neighbors, device)
            made[name].set_params(n_neighbors=finder, enemy_search=enemy_search, device=device)
    return made | pairs


def _make_finder(n_neighbors, device):
    if n_neighbors <= MANY_NEIGHBORS or resolve_device(device).type != "cpu":
        return n_neighbors
    return NearestNeighbors(n_neighbors=n_neighbors + 1, algorithm="brute")


def _is_pair(entry):
    if not isinstance(entry, (tuple, list)) or len(entry) != 2:
        return False
    name, sampler = entry
    is_new = isinstance(name, str) and name not in METHODS
    return is_new and hasattr(sampler, "fit_resample") and not isinstance(sampler, type)
