"""The settings of each method among which validation rows choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from imblearn import FunctionSampler
from sklearn.base import BaseEstimator, clone

from imblearn_eos._compat import validate_parameter_constraints
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
    averaged_with : Candidate or None
        Whose logits are averaged with those of this one.
    settings : dict of str to object
        The values that other candidates of the method do not all have.
    """

    sampler: BaseEstimator | None = None
    head: BaseEstimator | None = None
    tau: float = 0.0
    averaged_with: Candidate | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def make_candidates(samplers, head, n_classes, *, eos, default_eos, eos_grid=None, tune, tune_head):
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

    Returns
    -------
    dict of str to list of Candidate
    """
    if eos is not None:
        params = eos.get_params(deep=False)
        validate_parameter_constraints(eos._parameter_constraints, params, caller_name="EOS")
    of_eos = default_eos if eos is None else eos
    heads = _vary(head, {"alpha": ALPHAS} if tune and tune_head else {})
    taus = [({"tau": tau} if tune else {}, tau) for tau in ((1.0, *TAUS) if tune else (1.0,))]
    plain, made = FunctionSampler(), {}
    grid = {} if not tune or eos is not None else eos_grid or METHODS["eos"].grid
    varied_eos = _vary(of_eos, grid)
    for name, sampler in make_samplers(samplers, of_eos).items():
        method = find_method(name)
        if name in ("eos", "averaged"):
            found = [(of_eos | of_h, s, h) for (of_eos, s), (of_h, h) in product(varied_eos, heads)]
            if name == "eos":
                made[name] = [Candidate(s, h, settings=settings) for settings, s, h in found]
            elif type(head) is LinearHead:
                made[name] = [
                    Candidate(s, h, averaged_with=Candidate(plain, h, 1.0), settings=settings)
                    for settings, s, h in found
                ]
            continue
        if method.make_head is not None:
            varied = [(s, method.make_head(h, n_classes)) for s, h in heads]
            if varied[0][1] is not None:
                made[name] = [Candidate(plain, h, settings=settings) for settings, h in varied]
            continue
        if name == "none":
            made[name] = [Candidate(plain, h, settings=settings) for settings, h in heads]
            made["logit_adjustment"] = [
                Candidate(plain, h, tau, settings=of_head | of_tau)
                for (of_head, h), (of_tau, tau) in product(heads, taus)
            ]
            continue
        varied = _vary(sampler, method.grid if tune else {})
        made[name] = [
            Candidate(s, h, settings=of_sampler | of_head)
            for (of_sampler, s), (of_head, h) in product(varied, heads)
        ]
    return made


def _vary(estimator, grid):
    """Return pairs of settings and an estimator with them, its own settings first."""
    params = estimator.get_params()
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
