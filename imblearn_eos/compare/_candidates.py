"""The settings of each method among which validation rows choose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from numbers import Real
from typing import Any

import numpy as np
from imblearn import FunctionSampler
from sklearn.base import BaseEstimator, clone

from imblearn_eos._compat import validate_parameter_constraints
from imblearn_eos.compare._costs import Costs
from imblearn_eos.compare._registry import ALPHAS, METHODS, TAUS, find_method, make_samplers
from imblearn_eos.embedding import LinearHead

# Scores that differ by less are equal.
TIE = 1e-12


@dataclass(frozen=True)
class Candidate:
    """One setting of a method. Candidates that share a sampler or a head hold the same object.

    Attributes
    ----------
    sampler, head : estimator object or None
        Unfitted. The network's own head needs neither.
    tau : float
        Strength of logit adjustment.
    costs : Costs or None
        By which the head decides.
    averaged_with : Candidate or None
        Whose logits are averaged with those of this one.
    settings : dict of str to object
        The values that other candidates of the method do not all have.
    """

    sampler: BaseEstimator | None = None
    head: BaseEstimator | None = None
    tau: float = 0.0
    costs: Costs | None = None
    averaged_with: Candidate | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def make_candidates(
    samplers,
    head,
    n_classes,
    *,
    eos,
    default_eos,
    eos_grid=None,
    tune,
    tune_head,
    scorer=None,
    costs=None,
):
    """Return the candidates of each method, the default first.

    Parameters
    ----------
    samplers : sequence or None
        Names of `METHODS` and pairs of a new name and a sampler, which keeps its settings. None
        means all names.
    head : estimator object
        A classifier.
    n_classes : int
    eos : EOS or None
        The sampler named "eos", which keeps its settings.
    default_eos : EOS
        The sampler named "eos" if none is given.
    eos_grid : dict or None, default=None
        What is tried instead of the grid of `METHODS`.
    tune, tune_head : bool
        Whether to vary samplers and heads.
    scorer : callable or None, default=None
        Of the validation rows.
    costs : Costs or None, default=None
        If there are any, "cost" decides by them.

    Returns
    -------
    dict of str to list of Candidate
    """
    if eos is not None:
        params = eos.get_params(deep=False)
        # One word would be replaced by the name of the comparison.
        validate_parameter_constraints(
            eos._parameter_constraints, params, caller_name="the sampler 'eos'"
        )
    heads = _vary(head, {"alpha": ALPHAS} if tune and tune_head else {})
    of_eos = default_eos if eos is None else eos
    grid = (eos_grid or METHODS["eos"].grid) if tune and eos is None else {}
    with_eos = _combine(_vary(of_eos, grid), heads)
    plain = [({}, FunctionSampler())]
    made = {}
    for name, sampler in make_samplers(samplers, of_eos).items():
        method = find_method(name)
        if name == "none":
            made[name] = _combine(plain, heads)
            made["logit_adjustment"] = [
                replace(c, tau=tau, settings=c.settings | ({"tau": tau} if tune else {}))
                for c in made[name]
                for tau in ((1.0, *TAUS) if tune else (1.0,))
            ]
            if costs is not None:
                made["cost"] = [replace(c, costs=costs) for c in made[name]]
        elif name == "eos":
            made[name] = with_eos
        elif name == "averaged":
            # An AveragedHead has none of these parameters.
            is_plain = type(head) is LinearHead and head.class_weight is head.target_prior is None
            if is_plain and isinstance(head.label_smoothing, Real) and not head.label_smoothing:
                made[name] = [
                    replace(c, averaged_with=Candidate(plain[0][1], c.head, tau=1.0))
                    for c in with_eos
                ]
        elif method.make_head is not None:
            varied = [(settings, method.make_head(h, n_classes, scorer)) for settings, h in heads]
            if varied[0][1] is not None:
                made[name] = _combine(plain, varied)
        else:
            made[name] = _combine(_vary(sampler, method.grid if tune else {}), heads)
    return made


def _combine(samplers, heads):
    """Return a candidate for each sampler and head, given with their settings."""
    return [
        Candidate(sampler, head, settings=of_sampler | of_head)
        for (of_sampler, sampler), (of_head, head) in product(samplers, heads)
    ]


def _vary(estimator, grid):
    """Return pairs of settings and an estimator with them, its own settings first."""
    # A class instead of an estimator is refused by clone, with a reason.
    params = clone(estimator).get_params()
    grid = {n: [params[n], *(v for v in values if v != params[n])] for n, values in grid.items()}
    settings = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return [(setting, clone(estimator).set_params(**setting)) for setting in settings]


def best_candidate(scores: list[list[float | None]]) -> int | None:
    """Return the position of the candidate with the best mean score, the first of several.

    Parameters
    ----------
    scores : list of list of float or None
        For each fold the score of each candidate, None where it failed. A candidate that failed on
        a fold is left out, because means over different folds cannot be compared.

    Returns
    -------
    int or None
        None if every candidate failed on some fold, or there are no folds.
    """
    if not scores:
        return None
    totals = np.round(np.sum(np.array(scores, dtype=float), axis=0) / TIE)
    return None if np.isnan(totals).all() else int(np.nanargmax(totals))
