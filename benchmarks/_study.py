"""The values of a study: by recipe, method and subset, and differences paired by subset.

A name is that of a method with its settings: "EOS, tuned", "EOS, default", "EOS, nearest, K=10" or
"logit adjustment, tau=2".
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from _recipes import RECIPES
from _results import Results
from _study_methods import METHODS
from scipy import stats

# With fewer subsets no interval is given: that of two is as wide as chance has it.
N_SUBSETS = 3
RUNS = Path(__file__).parent / "cifar_lt" / "runs"


class Study:
    """The results of one kind and ratio of imbalance.

    Parameters
    ----------
    records : list of dict
    kind : str
    ratio : float
    """

    def __init__(self, records, kind="exponential", ratio=100.0):
        self.kind, self.ratio = kind, ratio
        of_kind = [
            record
            for record in records
            if "case" in record
            and (record["case"]["kind"], record["case"]["ratio"]) == (kind, ratio)
        ]
        valid = [record for record in of_kind if "error" not in record]
        self.networks = [record for record in valid if record["record"] == "network"]
        self.methods = [record for record in valid if record["record"] == "method"]
        begun = next((record for record in records if record["record"] == "study"), {})
        self.epochs = begun.get("epochs")
        self.is_held_out = begun.get("hold_out", False)

    @property
    def recipes(self):
        """Return the recipes that have results, in the order of their definition."""
        found = {record["case"]["recipe"] for record in self.methods}
        return [recipe for recipe in RECIPES if recipe in found]


@dataclass(frozen=True)
class Column:
    """The results of a recipe's networks in a study, on all subsets or on one: a table's column."""

    study: Study
    recipe: str
    subset: int | None = None

    @property
    def title(self):
        imbalance = f"{self.study.kind}, ratio {self.study.ratio:g}, "
        if (self.study.kind, self.study.ratio) == ("exponential", 100):
            imbalance = ""
        marks = f"{' †' * self.has_few_subsets}{' ‡' * self.study.is_held_out}"
        return f"{imbalance}{self.study.epochs} epochs, {self.recipe}{marks}"

    @cached_property
    def networks(self):
        """Return the records of this column's networks."""
        return [record for record in self.study.networks if self._has(record)]

    @cached_property
    def methods(self):
        """Return the records of methods, by method, then by subset and seed."""
        found = {}
        for record in filter(self._has, self.study.methods):
            case = record["case"]
            of_method = found.setdefault(record["method"], {})
            of_method[case["subset"], case["seed"]] = record
        return {
            name: dict(sorted(found[name].items())) for name in [*METHODS, *found] if name in found
        }

    def _has(self, record):
        case = record["case"]
        return case["recipe"] == self.recipe and self.subset in (None, case["subset"])

    @cached_property
    def rows(self):
        """Return the scored settings by name, then by subset and seed."""
        found = defaultdict(dict)
        for method, records in self.methods.items():
            for training, record in records.items():
                for row in record["rows"]:
                    for name in names_of(method, row):
                        found[name][training] = row
        return found

    @property
    def has_few_subsets(self):
        """Return whether results are of so few subsets that they decide nothing."""
        return len({record["case"]["subset"] for record in self.networks}) < N_SUBSETS

    @property
    def is_tuned(self):
        """Return whether settings were chosen, and are not all the default."""
        return any(
            record["n_settings"] > 1 for of in self.methods.values() for record in of.values()
        )

    def values(self, name, get):
        """Return a value per subset, trainings averaged, from what ``get`` takes from a row."""
        rows = self.rows.get(name, {})
        return average_trainings({training: get(row) for training, row in rows.items()})

    def mean(self, name, get):
        """Return the mean over subsets, or None without results."""
        found = list(self.values(name, get).values())
        return np.mean(found, axis=0) if found else None

    def points(self, name):
        """Return the balanced accuracy per subset, in points."""
        return self.values(name, points_of)

    def differences(self, name, other_name, other=None):
        """Return the differences in points per subset, over trainings that both have.

        ``other`` is the column of ``other_name``, by default this one.
        """
        rows, others = (
            column.rows.get(n, {}) for column, n in ((self, name), (other or self, other_name))
        )
        return average_trainings(
            {
                training: points_of(row) - points_of(others[training])
                for training, row in rows.items()
                if training in others
            }
        )


def read_columns(runs, recipes=None, subset=None):
    """Return the columns of some studies.

    Parameters
    ----------
    runs : list of str or Path
        Folders of results, in `RUNS` unless they are absolute.
    recipes : list of str or None
        None takes all that there are.
    subset : int or None
        None takes all subsets.
    """
    columns = []
    for folder in runs:
        records = Results(RUNS / folder).records
        cases = [record["case"] for record in records if "case" in record]
        for kind, ratio in dict.fromkeys((case["kind"], case["ratio"]) for case in cases):
            study = Study(records, kind, ratio)
            columns += [
                Column(study, recipe, subset)
                for recipe in study.recipes
                if recipes is None or recipe in recipes
            ]
    return columns


def points_of(row):
    return 100 * row["scores"]["balanced_accuracy"]


def average_trainings(values):
    """Turn {(subset, seed): value} into {subset: mean}."""
    by_subset = defaultdict(list)
    for (subset, _), value in values.items():
        by_subset[subset].append(value)
    return {subset: np.mean(found, axis=0) for subset, found in by_subset.items()}


def mean_difference(differences, n_comparisons=1):
    """Compute the mean and half the 95 % interval of a paired t test.

    Parameters
    ----------
    differences : list of float
    n_comparisons : int
        The interval is corrected for so many (Bonferroni).

    Returns
    -------
    tuple of (float, float or None), or None
        The margin is None with fewer than ``N_SUBSETS`` differences; None without any.
    """
    n = len(differences)
    if n == 0:
        return None
    quantile = 1 - 0.025 / n_comparisons
    margin = stats.t.ppf(quantile, n - 1) * stats.sem(differences) if n >= N_SUBSETS else None
    return np.mean(differences), margin


def names_of(method, row):
    """Name a row: by method, and by what is reported as a curve."""
    if row["is_default"]:
        yield f"{method}, default"
    if row["is_chosen"]:
        yield f"{method}, tuned"
    setting = row["setting"]
    if method in ("EOS, neighborhood", "EOS, nearest") and setting["alpha"] == 0.01:
        yield f"{method}, K={setting['n_neighbors']}"
    if method == "logit adjustment":
        yield f"{method}, tau={setting['tau']:g}"
