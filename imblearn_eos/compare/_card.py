"""The model card, ``README.md`` in the form of Hugging Face."""

from __future__ import annotations

from sklearn.utils import Bunch

from imblearn_eos.compare._intervals import (
    cost_interval,
    find_interval,
    row_intervals,
    seed_interval,
)
from imblearn_eos.compare._measures import main_measure, percent
from imblearn_eos.compare._recommend import recommend
from imblearn_eos.compare._statistics import collect, mean_and_spread
from imblearn_eos.compare._summary import rare_classes, rare_scores
from imblearn_eos.compare._templates import render
from imblearn_eos.compare._text import phrase_of, points

# With fewer test rows of a class, one row changes its recall by more than ten points.
FEW = 10
# An interval wider than this, as that of a single test row is, says next to nothing.
WIDE = 0.75
MAX_CLASSES = 50
# Metrics by their names on the Hugging Face Hub.
NAMES = {
    "balanced_accuracy": "Balanced accuracy",
    "f1": "Macro F1",
    "recall": "Recall of the rarest classes",
    "false_positive_rate": "False alarms",
}


def render_card(results, method, **content):
    """Return the text of the model card of a method; ``content`` is what it shares with the page.

    Parameters
    ----------
    results : list of SeedResult
    method : str
        The method whose model is saved.
    **content : dict
        ``record``, ``saved``, ``title``, ``headline``, ``advice``, ``notes``, ``rare``, ``unit``,
        ``scoring``, ``threshold``, ``guess``.

    Returns
    -------
    str
    """
    first = results[0]
    has_network = first.train_loss is not None
    few = [name for name, n_rows in first.test_counts.items() if 0 < n_rows < FEW]
    found, names = recommend(results), list(first.train_counts)
    tau = (found or first.methods[method]).settings.get("tau")
    more = f" and {len(names) - MAX_CLASSES} more" * (len(names) > MAX_CLASSES)
    return render(
        "model_card.jinja",
        **content,
        method_name=phrase_of(method),
        task=_task(content["record"]["data"], has_network),
        metrics=describe_metrics(results, method),
        train_counts=list(first.train_counts.values()),
        n_test=sum(first.test_counts.values()),
        n_seeds=len(results),
        test_is_given=first.test_is_given,
        cost_matrix=first.cost_matrix,
        classes=", ".join(names[:MAX_CLASSES]) + more,
        few=", ".join(few[:MAX_CLASSES]),
        is_balanced=method not in ("none", "network", "threshold", "cost") and tau in (None, 1.0),
        tau=tau,
    )


def _task(data, has_network):
    """Return the task, as the Hugging Face Hub names it, by what the model classifies."""
    embedded = data.get("embedded")
    if embedded == "text":
        return "text-classification"
    is_image = has_network or len(data["shape"]) == 4 or embedded in ("photos", "images")
    return "image-classification" if is_image else "tabular-classification"


def describe_metrics(results, method):
    """Return the metrics of a method with their intervals, empty without test rows."""
    values, before = (_values(results, name) for name in (method, "none"))
    if not values:
        return []
    intervals = row_intervals(results, method, rare_classes(results))
    is_listed = main_measure(results).metric in ("balanced_accuracy", "macro_f1")
    return ([] if is_listed else _describe_chosen(results, method)) + [
        _describe(metric, find_interval(results, found, by_rows), before.get(metric, ()))
        for (metric, found), by_rows in zip(values.items(), intervals, strict=True)
    ]


def _values(results, method):
    """Return the values of each metric for each seed."""
    rare = rare_scores(results, method)
    if rare is None:
        return {}
    scores = [collect(results, method, name).values() for name in ("balanced_accuracy", "macro_f1")]
    return dict(zip(NAMES, [*map(list, scores), rare.recalls, rare.alarms], strict=True))


def _describe(metric, interval, before):
    mean, low, high = interval
    remark = " (too few rows to tell)" if high - low > WIDE else ""
    return Bunch(
        type=metric,
        name=NAMES[metric],
        mean=round(mean, 4),
        value=percent(mean),
        interval=f"{points(low)} to {points(high)} %{remark}",
        before=percent(mean_and_spread(before)[0]),
        by_seeds=False,
    )


def _describe_chosen(results, method):
    """Return the score that the method was chosen by, in a list; empty if it is unknown."""
    measure = main_measure(results)
    found, before = (
        mean_and_spread(collect(results, name, measure.metric).values())[0]
        for name in (method, "none")
    )
    if found is None:
        return []
    has_costs = results[0].cost_matrix is not None
    interval = (cost_interval if has_costs else seed_interval)(results, method)
    unit = " %" if measure.is_share else ""
    name = measure.name[0].upper() + measure.name[1:]
    return [
        Bunch(
            type=measure.metric,
            name=name + " (lower is better)" * measure.lower_is_better,
            mean=round(found, 4),
            value=measure.phrase(found),
            interval=" to ".join(map(measure.format, interval)) + unit if interval else "-",
            before="-" if before is None else measure.phrase(before),
            by_seeds=not has_costs,
        )
    ]
