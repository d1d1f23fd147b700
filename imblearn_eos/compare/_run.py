"""One comparison: each sampler on the same rows, and a head fitted to each result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from numbers import Integral, Real

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils import Bunch, check_consistent_length, column_or_1d

from imblearn_eos._compat import Interval
from imblearn_eos._device import DEVICE_CONSTRAINT
from imblearn_eos._validation import to_array
from imblearn_eos.compare._candidates import Candidate, best_candidate
from imblearn_eos.compare._costs import Costs, check_costs
from imblearn_eos.compare._fit import TrainingRows
from imblearn_eos.compare._parallel import Cores
from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._scores import MethodResult, add_chosen, score
from imblearn_eos.compare._scoring import DEFAULT, apply_scorer, find_scorer
from imblearn_eos.compare._splits import (
    N_FOLDS,
    check_classes,
    choose_model_rows,
    count,
    make_splits,
    warn_of_copies,
)
from imblearn_eos.metrics import generalization_gap_report
from imblearn_eos.over_sampling import EOS

# Parameters that all comparisons share.
CONSTRAINTS = {
    "X": ["array-like"],
    "y": ["array-like"],
    "groups": ["array-like", None],
    "test": ["array-like", None],
    "validation": ["array-like", None],
    "samplers": ["array-like", str, None],
    "seeds": [Interval(Integral, 1, None, closed="left")],
    "test_size": [Interval(Real, 0, 1, closed="neither")],
    "imbalance_ratio": [Interval(Real, 1, None, closed="left"), None],
    "validation_folds": [Interval(Integral, 0, N_FOLDS, closed="both")],
    "eos": [EOS, None],
    "tune": ["boolean"],
    "scoring": [str, callable, None],
    # An array, or a data frame with the names of the classes.
    "cost_matrix": "no_validation",
    "device": DEVICE_CONSTRAINT,
    "n_jobs": [Interval(Integral, 1, None, closed="left"), None],
}


@dataclass
class SeedResult:
    """One seed of a comparison: the split, the fitted estimators and the results.

    Attributes
    ----------
    seed : int
        Seed of the split, the network and the samplers.
    train_counts, test_counts : dict of str to int
        Rows per class.
    test_size : float
        Share of each class's rows in the test part, before the training part was made long-tailed.
    train_loss : float or None
        Mean loss in the last epoch of the network; None without a network.
    train_balanced_accuracy : float
        Balanced accuracy of the network, or else of the classifier, on its training rows. It shows
        whether the network was trained long enough, without use of the test rows.
    seconds_train, seconds_embed : float
        Time to train the network, or to fit the scaling of the features, and to embed all rows.
    methods : dict of str to MethodResult
        One for each of ``samplers``, "none" among them, that applies to the data and the
        classifier. Always "logit_adjustment" of the head or classifier of "none", with a cost
        matrix "cost", which predicts the class of least expected cost by its probabilities, and on
        images "network", the network's own head.
    validation : dict of str to list of float
        Score of each method, with the setting that has the best mean, on the validation rows: one
        value for each fold inside the training rows, or one for a given validation part. Greater
        is better. Methods that failed on a fold are left out. Empty if there are no validation
        rows.
    validation_errors : dict of str to str
        The first error of each method that failed on a fold.
    setting_scores : dict of str to list of tuple
        Pairs for each method: one of its settings, the default first, and the score of this setting
        on each fold, None where it failed. Not written to files.
    scoring : str
        What these scores are: the name of a scorer, such as "balanced_accuracy". If it begins with
        ``neg_``, as "neg_mean_cost" does with a cost matrix, they are minus a cost or a loss. The
        same score of the test rows is in ``MethodResult.scores``, a loss without the minus.
    cost_matrix : list of list of float or None
        The cost of each true class (row) for each predicted one, in the order of ``train_counts``.
    test_is_given : bool
        Whether the test part was given. Then all seeds share it, and intervals come from its rows.
        A method without error but with empty ``scores`` was not scored, because there are no test
        rows.
    validation_is_given : bool
        Whether the validation part was given, instead of folds of the training rows.
    trained_on_rows : bool or None
        As given to `compare_embeddings`; None in other comparisons.
    warnings : list of str
        What is doubtful about the data or the comparison as a whole, one sentence or two each.
    unit : str or None
        What a row is, in the plural, for example "photos". None means images of a network, and
        else rows.
    fitted : :class:`~sklearn.utils.Bunch` or None
        What is not written to files: ``embedder``, ``classes``, the training rows as ``Z_train``
        and ``y_train``, the test rows as ``Z_test`` and ``y_test``, the positions of both in the
        data as ``train`` and ``test``, and by method the ``samplers``, the ``heads`` and the
        ``predictions``, labels of the test rows. ``comparison`` holds the data, for
        `refit_recommended`. Set it to None to save memory; the model needs that of the first seed.
    """

    seed: int
    train_counts: dict[str, int]
    test_counts: dict[str, int]
    test_size: float
    train_loss: float | None
    train_balanced_accuracy: float | None
    seconds_train: float
    seconds_embed: float
    methods: dict[str, MethodResult]
    validation: dict[str, list[float]] = field(default_factory=dict)
    validation_errors: dict[str, str] = field(default_factory=dict)
    setting_scores: dict[str, list[tuple]] = field(default_factory=dict, repr=False)
    scoring: str = DEFAULT
    cost_matrix: list[list[float]] | None = None
    test_is_given: bool = False
    validation_is_given: bool = False
    trained_on_rows: bool | None = None
    warnings: list[str] = field(default_factory=list)
    unit: str | None = None
    fitted: Bunch | None = field(default=None, repr=False)


@dataclass
class Embedded:
    """What embeds the rows of one split.

    ``embedder`` has ``transform``. ``own_head`` is the head that an embedding network was trained
    with, a classifier of embeddings, or None without a network.
    """

    embedder: object
    own_head: object = None
    train_loss: float | None = None


def run(
    X,
    y,
    embed,
    candidates,
    *,
    seeds,
    cores,
    inspect=None,
    notes=(),
    scoring=None,
    cost_matrix=None,
    **params,
):
    """Check the labels and make the splits now; return an iterator that runs seed after seed.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
    y : array-like of shape (n_samples,)
    embed : callable
        Called as ``embed(seed, X_train, y_train)`` for the training rows of a split, and for the
        rows of each fold inside of them; returns `Embedded`.
    candidates : callable
        Called with the number of classes, the scorer and the `Costs`; returns the candidates of
        each method by its name.
    seeds : int
    cores : Cores
    inspect : callable or None, default=None
        Called with the ``fitted`` of the first seed, if it has test rows; returns a list of
        warnings.
    notes : sequence of str, default=()
        Warnings on the comparison as a whole.
    scoring, cost_matrix
        As in `compare_table`.
    **params : dict
        Of `make_splits`.

    Returns
    -------
    iterator of SeedResult
    """
    y = column_or_1d(to_array(y, "y"))
    check_consistent_length(X, y)
    check_classes(y)
    classes = np.unique(y)
    costs = None if cost_matrix is None else check_costs(cost_matrix, classes)
    scoring, scorer = find_scorer(scoring, y, costs)
    splits = make_splits(y, seeds, **params)
    parts = [part for part in ("test", "validation") if params.get(part) is not None]
    notes = [*notes, *warn_of_copies(X, splits, parts)]
    imbalance_ratio = params["imbalance_ratio"]
    comparison = _Comparison(
        X,
        y,
        embed,
        candidates(len(classes), scorer=scorer, costs=costs),
        cores,
        scoring,
        scorer,
        model_rows=choose_model_rows(
            y, imbalance_ratio, *(params.get(part) for part in ("test", "validation"))
        ),
        costs=costs,
        given_parts=tuple(parts),
        imbalance_ratio=imbalance_ratio,
    )

    def run_seed(seed, split):
        result = comparison.run_split(seed, split)
        result.test_is_given = "test" in parts
        result.validation_is_given = "validation" in parts
        result.trained_on_rows = params.get("all_to_train")
        is_plain = params.get("groups") is None and not result.test_is_given
        result.test_size = params["test_size"] if is_plain else len(split.test) / len(y)
        result.scoring, result.cost_matrix = scoring, costs and costs.values.tolist()
        result.warnings = list(notes)
        if inspect is not None and seed == 0 and len(split.test):
            result.warnings += inspect(result.fitted)
        return result

    return (run_seed(seed, split) for seed, split in enumerate(splits))


@dataclass(frozen=True)
class _Comparison:
    """The data and the methods that all splits share.

    ``model_rows`` are the positions of the rows that the recommended model is fitted to.
    """

    X: np.ndarray
    y: np.ndarray
    embed: Callable[..., Embedded]
    candidates: dict[str, list[Candidate]]
    cores: Cores
    scoring: str
    scorer: Callable[[object, np.ndarray, np.ndarray], float]
    model_rows: np.ndarray
    costs: Costs | None = None
    given_parts: tuple[str, ...] = ()
    imbalance_ratio: float | None = None

    def run_split(self, seed, split):
        """Choose the setting of each method, fit it to the training rows, and score it."""
        start = time.perf_counter()
        # A given validation part needs no network of its own.
        fits = [split.train, *(fit for fit, _ in split.folds if fit is not split.train)]
        embedded, *others = self.cores.map(
            [partial(self.embed, seed, self.X[fit], self.y[fit]) for fit in fits]
        )
        seconds_train = time.perf_counter() - start
        inner = iter(others)
        folds = [
            self._validate(seed, embedded if fit is split.train else next(inner), fit, held)
            for fit, held in split.folds
        ]

        start = time.perf_counter()
        Z_train, Z_test = (
            # Not every embedder takes zero rows.
            embedded.embedder.transform(self.X[rows]) if len(rows) else None
            for rows in (split.train, split.test)
        )
        seconds_embed = time.perf_counter() - start
        y_train, y_test = self.y[split.train], self.y[split.test]
        candidates = self.candidates_of(embedded.own_head)
        best = {name: best_candidate([fold[name][0] for fold in folds]) for name in candidates}
        chosen = {name: candidates[name][position or 0] for name, position in best.items()}
        rows = TrainingRows(Z_train, y_train, seed, embedded.own_head, chosen.values())
        outcomes = self._map(lambda name: next(rows.fit([chosen[name]])), chosen)
        methods, kept = {}, Bunch(samplers={}, heads={}, predictions={})
        for name, fitted in outcomes.items():
            if find_method(name).make_sampler is None:
                fitted.sampler = None
            if fitted.error is None:
                kept.heads[name] = fitted.head
                if fitted.sampler is not None:
                    kept.samplers[name] = fitted.sampler
            elif name == "none":
                raise ValueError(
                    f"The classifier {chosen[name].head!r} cannot be fitted to the training rows "
                    f"as they are. It says: {fitted.error}"
                )
            methods[name], kept.predictions[name] = _score(
                fitted, Z_train, y_train, Z_test, y_test, self.costs
            )
            methods[name].settings = chosen[name].settings
            if methods[name].scores:
                add_chosen(methods[name], self.scoring, self.scorer, fitted.head, Z_test, y_test)
        classes = np.unique(y_train)
        y_fitted = (embedded.own_head or kept.heads["none"]).predict(Z_train)
        return SeedResult(
            seed=seed,
            train_counts=count(y_train, classes),
            test_counts=count(y_test, classes),
            test_size=0.0,
            train_loss=embedded.train_loss,
            train_balanced_accuracy=float(balanced_accuracy_score(y_train, y_fitted)),
            seconds_train=seconds_train,
            seconds_embed=seconds_embed,
            methods=methods,
            validation={
                name: [fold[name][0][position] for fold in folds]
                for name, position in best.items()
                if position is not None
            },
            validation_errors={
                name: next(error for fold in folds if (error := fold[name][1]))
                for name, position in best.items()
                if folds and position is None
            },
            setting_scores={
                name: [(c.settings, [fold[name][0][i] for fold in folds]) for i, c in enumerate(cs)]
                for name, cs in candidates.items()
            },
            fitted=Bunch(
                embedder=embedded.embedder,
                classes=classes,
                train=split.train,
                test=split.test,
                Z_train=Z_train,
                y_train=y_train,
                Z_test=Z_test,
                y_test=y_test,
                comparison=self,
                **kept,
            ),
        )

    def candidates_of(self, own_head):
        """Return the candidates of each method; a network's own head is one of them."""
        own = {} if own_head is None else {"network": [Candidate()]}
        return own | self.candidates

    def _validate(self, seed, embedded, fit, held):
        """Return for each method the scores of its candidates on held-out rows, and an error."""
        Z_fit, Z_held = (embedded.embedder.transform(self.X[rows]) for rows in (fit, held))
        candidates = self.candidates_of(embedded.own_head)
        every = chain.from_iterable(candidates.values())
        rows = TrainingRows(Z_fit, self.y[fit], seed, embedded.own_head, every)

        def score_method(name):
            scores, errors = [], []
            for fitted in rows.fit(candidates[name]):
                score, error = None, fitted.error
                if error is None:
                    score = apply_scorer(self.scorer, fitted.head, Z_held, self.y[held])
                    if not np.isfinite(score):
                        score, error = None, f"The scorer returned {score}."
                scores.append(score)
                errors += [] if error is None else [error]
            return scores, errors[0] if errors else None

        return self._map(score_method, candidates)

    def _map(self, function, names):
        """Return the results of a function by the name of a method."""
        # What others need comes first, and what needs others last.
        ranks = {"eos": -1, "logit_adjustment": 1, "cost": 1, "averaged": 1}
        order = sorted(names, key=lambda name: ranks.get(name, 0))
        outcomes = self.cores.map([partial(function, name) for name in order])
        by_name = dict(zip(order, outcomes, strict=True))
        return {name: by_name[name] for name in names}


def _score(fitted, Z_train, y_train, Z_test, y_test, costs):
    """Return the result of a fitted method on the test rows, and its predictions for them."""
    if fitted.error is not None:
        return MethodResult(error=fitted.error, warnings=fitted.warnings), None
    result, y_pred = MethodResult(), None
    if Z_test is not None:
        y_pred = fitted.head.predict(Z_test)
        result = score(y_train, y_test, y_pred, fitted.head.predict_proba(Z_test), costs)
    if fitted.sampler is not None:
        result.rows_added = len(fitted.Z) - len(Z_train)
        if Z_test is not None:
            rows = Z_train, y_train, fitted.Z, fitted.y, Z_test, y_test
            result.details.gap = generalization_gap_report(*rows, y_pred=y_pred)
            result.gap = _macro_gaps(result.details.gap)
    result.seconds_resample, result.seconds_refit = fitted.seconds_resample, fitted.seconds_refit
    result.warnings = fitted.warnings
    return result, y_pred


def _macro_gaps(gap):
    names = ("before", "size_matched", "after", "label_noise")
    return {name: float(np.nanmean(gap[name].all)) for name in names}
