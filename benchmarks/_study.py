"""The results of a study by ``cifar_lt.py``: written as they come, and read for tables."""

import json
import os
from collections import defaultdict

import numpy as np
from _cifar import RECIPES
from _heads import METHODS
from scipy import stats

SHOWN = ("network", "SMOTE", "logit adjustment", "plain refit + logit adjustment", "EOS")


class Results:
    """Records in a file, a line of JSON each, that can be added to.

    Parameters
    ----------
    file : Path
    """

    def __init__(self, file):
        self.file = file
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        # A line without an end is being written, or the run was killed while it wrote it.
        self.whole = [line for line in lines if line.endswith("\n")]
        self.records = [json.loads(line) for line in self.whole]

    def repair(self):
        """Drop from the file what a killed run left of a line."""
        if self.file.exists():
            os.truncate(self.file, sum(len(line.encode()) for line in self.whole))

    def add(self, **record):
        """Write a record at once."""
        self.records.append(record)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # Without a buffer a line is one write, which another process's cannot come between.
        with open(self.file, "ab", buffering=0) as stream:
            stream.write(f"{json.dumps(record)}\n".encode())

    def has(self, **wanted):
        """Whether there is a record with these values, and no error."""
        return any(
            wanted.items() <= record.items() for record in self.records if "error" not in record
        )


class Study:
    """The results of one kind and ratio of imbalance.

    Parameters
    ----------
    records : list of dict
    kind : str
    ratio : float
    """

    def __init__(self, records, kind="exponential", ratio=100.0):
        of_kind = [
            record
            for record in records
            if "case" in record
            and (record["case"]["kind"], record["case"]["ratio"]) == (kind, ratio)
        ]
        self.networks = [
            record for record in of_kind if record["record"] == "network" and "error" not in record
        ]
        self.errors = [
            f"{record.get('method', 'Training')} failed on {record['case']['recipe']}, subset "
            f"{record['case']['subset']}: {record['error']}"
            for record in of_kind
            if "error" in record
        ]
        # By recipe and name, by subset and seed.
        self.rows = defaultdict(dict)
        self.n_settings = {}
        for record in of_kind:
            if record["record"] == "method" and "error" not in record:
                case = record["case"]
                self.n_settings[record["method"]] = record["n_settings"]
                for row in record["rows"]:
                    for name in names_of(record["method"], row):
                        self.rows[case["recipe"], name][case["subset"], case["seed"]] = row

    @property
    def has_choices(self):
        """Whether settings were chosen, and are not all the default."""
        return any(n > 1 for n in self.n_settings.values())

    @property
    def settings(self):
        """What settings are called in tables."""
        return "chosen" if self.has_choices else "default"

    @property
    def recipes(self):
        # In this order, since several processes write results as they have them.
        found = {recipe for recipe, _ in self.rows}
        return [recipe for recipe in RECIPES if recipe in found]

    def methods(self, recipe):
        """Give the methods that were run on networks of a recipe."""
        return [name for found, name in self.rows if found == recipe]

    def values(self, key, get):
        """Give a value per subset, trainings averaged: {subset: value}; a key is (recipe, name)."""
        return average_trainings(
            {training: get(row) for training, row in self.rows.get(key, {}).items()}
        )

    def mean(self, key, get):
        """Give the mean over subsets of the values that ``get`` gives."""
        return np.mean(list(self.values(key, get).values()), axis=0)

    def points(self, key):
        """Give the balanced accuracy per subset, in points."""
        return self.values(key, points_of)

    def shared_points(self, recipe, name):
        """Give the points per subset, of those that all recipes with results of the name have."""
        found = [points for other in self.recipes if (points := self.points((other, name)))]
        shared = set.intersection(*map(set, found)) if found else set()
        points = self.points((recipe, name))
        return {subset: points[subset] for subset in points if subset in shared}

    def differences(self, key, other):
        """Give the differences in points per subset, over trainings that both have."""
        rows, others = self.rows.get(key, {}), self.rows.get(other, {})
        return average_trainings(
            {
                training: points_of(row) - points_of(others[training])
                for training, row in rows.items()
                if training in others
            }
        )

    def difference(self, key, other):
        """Give the mean difference in points and half its 95 % interval, if there are any."""
        return mean_difference(list(self.differences(key, other).values()))


def points_of(row):
    return 100 * row["scores"]["balanced_accuracy"]


def average_trainings(values):
    """Turn {(subset, seed): value} into {subset: mean}."""
    by_subset = defaultdict(list)
    for (subset, _), value in values.items():
        by_subset[subset].append(value)
    return {subset: np.mean(found, axis=0) for subset, found in by_subset.items()}


def mean_difference(differences):
    """Give the mean and half the 95 % interval of a paired t test: None with one subset."""
    n = len(differences)
    if n == 0:
        return None
    margin = stats.t.ppf(0.975, n - 1) * stats.sem(differences) if n > 1 else None
    return np.mean(differences), margin


def names_of(method, row):
    """Name a row: a method as "default" and "chosen", and by what is reported as a curve."""
    if row["is_default"]:
        yield f"{method}, default"
    if row["is_chosen"]:
        yield f"{method}, chosen"
    setting = row["setting"]
    is_curve = method in ("EOS, neighborhood", "EOS, nearest") and setting["alpha"] == 0.01
    if is_curve:
        yield f"{method}, K={setting['n_neighbors']}"
    if method == "logit adjustment":
        yield f"{method}, tau={setting['tau']:g}"


def base_names(study, recipe):
    """Give the methods that were run on networks of a recipe, in the order of the study."""
    return [name for name in METHODS if (recipe, f"{name}, chosen") in study.rows]


def shown(study, recipe):
    return [name for name in SHOWN if name in base_names(study, recipe)]


def class_counts(study, recipe):
    return next(
        record["class_counts"]
        for record in study.networks
        if record["fold"] is None and record["case"]["recipe"] == recipe
    )
