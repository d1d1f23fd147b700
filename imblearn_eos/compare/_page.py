"""What the page of a report shows, as rows of its tables and places in its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from imblearn_eos.compare._measures import (
    ACCURACY,
    main_measure,
    points,
    signed_points,
)
from imblearn_eos.compare._recommend import has_too_few_runs, is_near_chance, validation_means
from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._scores import CALIBRATION
from imblearn_eos.compare._statistics import (
    collect,
    mean_and_spread,
    metrics_of,
    paired_difference,
)
from imblearn_eos.compare._summary import (
    choose_method,
    find_difference,
    order_methods,
    rare_classes,
    rare_scores,
)
from imblearn_eos.compare._text import format_score

# Class counts and lists of features are folded beyond this.
MAX_OPEN = 10
# Letters of the names of the rarest classes.
MAX_LETTERS = 200
# Ticks of the picture are one of these numbers apart, times a power of ten.
STEPS = (1, 2, 5, 10)


def shorten_source(source):
    """Return the name of a file or folder without its location, which is private."""
    return Path(source).name if Path(source).is_absolute() else source


def class_rows(result):
    """Return name, training rows and test rows of each class, the largest class first."""
    test = result.test_counts
    rows = [(name, n_rows, test.get(name, 0)) for name, n_rows in result.train_counts.items()]
    return sorted(rows, key=lambda row: -row[1])


def score_rows(results):
    """Yield a row of the table for each method, the one to use first and marked."""
    means = validation_means(results)
    chosen = None if is_near_chance(results) else choose_method(results)
    has_few, measure = has_too_few_runs(results), main_measure(results)
    for method in order_methods(results):
        outcomes = [result.methods[method] for result in results]
        n_failed = sum(outcome.error is not None for outcome in outcomes)
        rare = rare_scores(results, method)
        f1, _ = mean_and_spread(collect(results, method, "macro_f1").values())
        yield Bunch(
            name=find_method(method).name,
            is_chosen=method == chosen,
            validation=measure.format_validation(means.get(method)),
            score=format_score(results, method),
            accuracy=format_score(results, method, ACCURACY),
            difference=describe_difference(
                find_difference(results, method),
                format_=measure.format_difference,
                lower_is_better=measure.lower_is_better,
                has_few=has_few,
            ),
            recall=points(rare and rare.recall),
            false_alarms=points(rare and rare.false_alarms),
            f1=points(f1),
            seeds=n_failed and f"{len(outcomes) - n_failed} of {len(outcomes)} seeds",
        )


def describe_difference(difference, *, format_=signed_points, lower_is_better=False, has_few=False):
    """Return the kind of a difference to no over-sampling, with words for it; or None.

    With ``has_few``, there are too few runs for an interval.
    """
    if difference is None:
        return None
    mean, low, high = difference.mean, difference.low, difference.high
    if low is None or has_few:
        # Methods that are equal by construction differ by no noise.
        word = "too few runs" if has_few else "noise unknown" if mean else ""
        return Bunch(kind="unknown", word=word, mean=format_(mean), interval="")
    is_better = (mean > 0) != lower_is_better
    kind = "noise" if low <= 0 <= high else "better" if is_better else "worse"
    word = {"noise": "within noise", "better": "▲ better", "worse": "▼ worse"}[kind]
    interval = f"{format_(low)} to {format_(high)}"
    return Bunch(kind=kind, word=word, mean=format_(mean), interval=interval)


def place_dots(results):
    """Return the differences to no over-sampling as places on an axis, in percent of its width.

    Returns
    -------
    :class:`~sklearn.utils.Bunch` or None
        ``rows``, ``ticks`` and whether the dots ``have_intervals``. None near chance, where no
        order means anything, and if no method was scored together with no over-sampling.
    """
    if is_near_chance(results):
        return None
    chosen, rows, measure = choose_method(results), [], main_measure(results)
    factor = 100 if measure.is_share else 1
    # Over so few seeds an interval is as wide as the page and says nothing.
    has_bounds = not has_too_few_runs(results)
    for method in order_methods(results):
        found = find_difference(results, method)
        if method == "none":
            mean = low = high = 0.0
        elif found is None:
            continue
        else:
            mean, low, high = (
                factor * (value if value is not None and has_bounds else found.mean)
                for value in (found.mean, found.low, found.high)
            )
        rows.append(Bunch(method=method, mean=mean, low=low, high=high, difference=found))
    if len(rows) < 2:
        return None
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    if measure.is_share or low == high:
        low, high = min(low, -1.0), max(high, 1.0)
    step = _find_step(high - low, least=1.0 if measure.is_share else 0.0)
    low, high = step * np.floor(low / step), step * np.ceil(high / step)

    def place(value):
        return round(float(100 * (value - low) / (high - low)), 2)

    for row in rows:
        row.update(
            name=find_method(row.method).name,
            is_chosen=row.method == chosen,
            is_reference=row.method == "none",
            left=place(row.low),
            width=round(place(row.high) - place(row.low), 2),
            place=place(row.mean),
            text=measure.format_difference(row.mean / factor),
        )
    ticks = [
        Bunch(place=place(step * i), text=f"{step * i:+.4g}" if i else "0")
        for i in range(round(low / step), round(high / step) + 1)
    ]
    has_bounds &= any(row.difference is not None and row.difference.low is not None for row in rows)
    return Bunch(rows=rows, ticks=ticks, zero=place(0), have_intervals=has_bounds)


def _find_step(width, least):
    """Return a round number, such that about four of them make the width."""
    power = 10.0 ** np.floor(np.log10(width / 4))
    return max(least, next(s * power for s in STEPS if width / (s * power) <= 4 + 1e-9))


def detail_rows(results):
    """Yield all scores and the measures of calibration of each method, with differences."""
    calibration = [
        name + suffix for suffix in ("_at_training_frequencies", "") for name in CALIBRATION
    ]
    for method in order_methods(results):
        yield Bunch(
            name=find_method(method).name,
            scores=[_detail(results, method, name, "scores") for name in metrics_of(results)],
            calibration=[_detail(results, method, name, "calibration") for name in calibration],
        )


def _detail(results, method, metric, kind):
    """Return a cell with a measure; lower losses and measures of calibration are better."""
    measure = main_measure(results)
    is_main = kind == "scores" and metric == measure.metric
    format_, signed = (points, signed_points) if kind == "scores" else ("{:.3f}".format, _signed)
    if is_main:
        format_, signed = measure.format, measure.format_difference
    found, text = None, "-"
    if method != "none":
        found = paired_difference(results, method, metric=metric, kind=kind)
    mean, spread = mean_and_spread(collect(results, method, metric, kind).values())
    if mean is not None:
        text = format_(mean) if spread is None else f"{format_(mean)} ± {format_(spread)}"
    difference = describe_difference(
        found,
        format_=signed,
        lower_is_better=measure.lower_is_better if is_main else kind == "calibration",
        has_few=has_too_few_runs(results),
    )
    return Bunch(value=text, difference=difference)


def _signed(value):
    """Return a number with three decimals and a sign; zero has no sign."""
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def have_same_frequencies(result):
    """Return whether the classes are as frequent in the test rows as in the training rows."""
    # A stratified split is within one row of its share.
    return all(
        abs(n_test - result.test_size * (n_test + result.train_counts[name])) <= 1
        for name, n_test in result.test_counts.items()
    )


def gap_rows(results):
    """Return the mean macro gaps of each sampler."""
    rows = []
    for method in order_methods(results):
        gaps = [result.methods[method].gap for result in results if result.methods[method].gap]
        if gaps:
            means = {name: float(np.mean([gap[name] for gap in gaps])) for name in gaps[0]}
            rows.append(Bunch(method=method, name=find_method(method).name, **means))
    return rows


def second_rows(results):
    """Yield the rows that each sampler added and the time of its steps."""
    for method in order_methods(results):
        outcomes = [r.methods[method] for r in results if r.methods[method].error is None]
        if find_method(method).make_sampler is None or not outcomes:
            continue
        yield Bunch(
            name=find_method(method).name,
            rows_added=round(mean_and_spread(o.rows_added for o in outcomes)[0]),
            resample=mean_and_spread(o.seconds_resample for o in outcomes)[0],
            refit=mean_and_spread(o.seconds_refit for o in outcomes)[0],
        )


def describe_units(results):
    """Return what the numbers in the table of scores are."""
    measure = main_measure(results)
    if measure.is_share:
        return "In percent, means over seeds."
    lower = ", of which lower is better" * measure.lower_is_better
    return f"Means over seeds, in percent except for the {measure.name}{lower}."


def describe_validation(result):
    """Return what was done on the validation rows, as the beginning of a sentence."""
    if result.validation_is_given:
        return "Each result was also scored on the given validation part"
    n_folds = max(map(len, result.validation.values()), default=0)
    if n_folds == 1:
        return "The same was done with one fold of the training part held out"
    return f"The same was done with each of {n_folds} folds of the training part held out in turn"


def describe_adjustment(results):
    """Return what logit adjustment divides the probabilities by, with the powers that were used."""
    found = [result.methods["logit_adjustment"].settings for result in results]
    taus = sorted({settings.get("tau", 1.0) for settings in found})
    if taus == [1.0]:
        return "the class frequencies"
    powers = " or ".join(f"{tau:g}" for tau in taus)
    return f"the class frequencies to the power of {powers} (tau)"


def describe_rare(results):
    """Return the rarest classes and their training rows, as text."""
    counts = results[0].train_counts
    names = [f"{name} ({counts[name]})" for name in rare_classes(results)]
    # Few long names, or more short ones.
    lengths = np.cumsum([len(name) for name in names[:MAX_OPEN]])
    n_shown = max(1, int(np.sum(lengths <= MAX_LETTERS)))
    more = f" and {len(names) - n_shown} more" * (len(names) > n_shown)
    return ", ".join(names[:n_shown]) + more
