"""What compares the methods, and how it is shown: shares in percent, or costs and losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Measure:
    """A score and how it is shown.

    Attributes
    ----------
    metric : str
        Its key in ``MethodResult.scores``.
    name : str
        Its name in tables and sentences.
    lower_is_better : bool
    is_share : bool
        Whether it is from 0 to 1, and shown in percent.
    """

    metric: str
    name: str
    lower_is_better: bool = False
    is_share: bool = True

    @property
    def sign(self):
        return -1 if self.lower_is_better else 1

    def format(self, value):
        """Return a value as text, without the sign of percent."""
        return points(value) if self.is_share else number(value)

    def format_difference(self, value):
        return signed_points(value) if self.is_share else signed_number(value)

    def format_validation(self, score):
        """Return the score of validation rows, of which greater ones are better, as text."""
        return "-" if score is None else self.format(self.sign * score)

    def phrase(self, value):
        """Return a value as it stands in a sentence."""
        return percent(value) if self.is_share else number(value)


ACCURACY = Measure("balanced_accuracy", "balanced accuracy")
F1 = Measure("macro_f1", "macro F1")
COST = Measure("mean_cost", "mean cost", lower_is_better=True, is_share=False)


def metric_of(scoring):
    """Return the key of a scorer in ``MethodResult.scores``, where losses have no minus."""
    return F1.metric if scoring == "f1_macro" else scoring.removeprefix("neg_")


def main_measure(results):
    """Return what the validation rows chose by, which also compares methods on the test rows."""
    scoring = results[0].scoring
    metric, is_loss = metric_of(scoring), scoring.startswith("neg_")
    if metric == F1.metric:
        return F1
    values = [v for r in results for scores in r.validation.values() for v in scores]
    outcomes = [outcome for result in results for outcome in result.methods.values()]
    values += [outcome.scores[metric] for outcome in outcomes if metric in outcome.scores]
    is_share = not is_loss and all(0 <= value <= 1 for value in values)
    return Measure(metric, metric.replace("_", " ").replace("=", " "), is_loss, is_share)


def points(value):
    """Return a share as a number of percent with one decimal."""
    return "-" if value is None else f"{100 * value:.1f}"


def percent(value):
    """Return a share in percent with one decimal."""
    return f"{points(value)} %"


def signed_points(value):
    """Return a difference in points with a sign; zero has no sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def number(value, sign=""):
    """Return a number with three decimals, fewer if it is large, and more if it is tiny."""
    if value is None:
        return "-"
    size = abs(value)
    if 0 < size < 5e-4:
        return f"{value:{sign}.2e}"
    decimals = int(np.clip(3 - np.floor(np.log10(max(size, 1))), 0, 3))
    # Without a minus before zero.
    return f"{value + 0.0:{sign if size else ''}.{decimals}f}"


def signed_number(value):
    """Return a difference as `number` does, with a sign; zero has no sign."""
    return number(round(value, 12), "+")
