"""Tables and plots of a study by ``cifar_lt.py``.

    python benchmarks/cifar_lt_tables.py study/results.jsonl

writes ``tables.md`` and plots beside the results, and prints the tables. Balanced accuracies are in
points, means over the subsets of the images, within which trainings are averaged. Intervals are
those of paired t tests over subsets.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _heads import METHODS
from cifar_lt import Results
from scipy import stats
from tabulate import tabulate

SCORES = {"macro_g_mean": "g mean", "macro_f1": "macro F1"}


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
        return list(dict.fromkeys(recipe for recipe, _ in self.rows))

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


def mean_and_spread(values):
    values = list(values)
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def format_difference(found):
    if found is None:
        return ""
    mean, margin = found
    if margin is None:
        return f"{mean:+.1f}"
    return f"{mean:+.1f} ({mean - margin:+.1f} to {mean + margin:+.1f})"


def base_names(study, recipe):
    """Give the methods that were run on networks of a recipe, in the order of the study."""
    return [name for name in METHODS if (recipe, f"{name}, chosen") in study.rows]


def main_table(study, recipe):
    """Tabulate all methods on the networks of a recipe."""
    rows = []
    for name in base_names(study, recipe):
        key, is_network = (recipe, f"{name}, chosen"), name == "network"
        gap, reference = study.mean(key, gap_and_reference)
        row = {"method": name}
        if study.has_choices:
            row["settings"] = study.n_settings[name]
            default = study.points((recipe, f"{name}, default"))
            row["default"] = mean_and_spread(default.values())
        row[study.settings] = mean_and_spread(study.points(key).values())
        lead = study.difference(key, (recipe, "network, chosen"))
        row[f"{study.settings} - network"] = "-" if is_network else format_difference(lead)
        for score, title in SCORES.items():
            row[title] = f"{100 * study.mean(key, lambda row, s=score: row['scores'][s]):.1f}"
        row["ECE"] = f"{study.mean(key, lambda row: row['calibration_error']):.3f}"
        row["gap (reference)"] = f"{gap:.2f} ({reference:.2f})"
        row["parameters"] = f"{study.mean(key, lambda row: row['n_parameters']):.0f}"
        row["seconds"] = f"{study.mean(key, lambda row: sum(row['seconds'].values())):.1f}"
        rows.append(row)
    return rows


def gap_and_reference(row):
    """Give a row's gap, after over-sampling if there was any, and what it is to be held against."""
    gap = row["gap"]
    names = ("after", "label_noise") if "after" in gap else ("before", "size_matched")
    return [np.mean(gap[name]) for name in names]


def neighbors_table(study, recipe):
    """Tabulate EOS by K with the head's default strength, and the gap that it leaves."""
    found = {}
    for name in study.methods(recipe):
        method, _, last = name.rpartition(", ")
        if last.startswith("K="):
            row = found.setdefault(int(last[2:]), {"K": int(last[2:])})
            row[method] = mean_and_spread(study.points((recipe, name)).values())
            gap, _ = study.mean((recipe, name), gap_and_reference)
            row[method.replace("EOS", "gap")] = f"{gap:.2f}"
            if method == "EOS, neighborhood":
                without = study.mean((recipe, name), lambda row: row["n_without_enemies"])
                row["classes without enemies there"] = f"{without:.1f}"
    return [found[k] for k in sorted(found)]


def taus_table(study, recipe):
    """Tabulate logit adjustment by those tau that were reported for all subsets."""
    prefix, n_subsets = "logit adjustment, tau=", len(study.points((recipe, "network, chosen")))
    found = {}
    for name in study.methods(recipe):
        scores = study.points((recipe, name)).values()
        if name.startswith(prefix) and len(scores) == n_subsets:
            found[float(name.removeprefix(prefix))] = mean_and_spread(scores)
    if len(found) < 2:
        return []
    return [{"tau": f"{tau:g}", "logit adjustment": found[tau]} for tau in sorted(found)]


def recipes_table(study):
    """Tabulate methods with chosen settings by recipes."""
    names = dict.fromkeys(name for recipe in study.recipes for name in base_names(study, recipe))
    return [
        {
            "method": name,
            **{
                recipe: mean_and_spread(study.points((recipe, f"{name}, chosen")).values())
                for recipe in study.recipes
            },
        }
        for name in names
    ]


def rivals_table(study):
    """Tabulate the lead of EOS on cross-entropy over what other recipes give without it."""
    rows = []
    for recipe in study.recipes:
        found = study.difference(("CE", "EOS, chosen"), (recipe, "network, chosen"))
        if found is not None:
            rows.append({"other network": recipe, "CE + EOS over it": format_difference(found)})
    return rows


def class_table(study, recipe, methods):
    """Tabulate recall by class, the most frequent first, and the gap of the network."""
    counts = class_counts(study, recipe)
    rows = [{"class": label, "training images": count} for label, count in enumerate(counts)]
    for name in methods:
        recall = study.mean((recipe, f"{name}, chosen"), lambda row: row["recall"])
        for row, value in zip(rows, recall, strict=True):
            row[f"recall, {name}"] = f"{100 * value:.0f}"
    gaps = {"gap": "before", "of right": "right", "of wrong": "wrong", "reference": "size_matched"}
    for title, name in gaps.items():
        gap = study.mean(
            (recipe, "network, chosen"), lambda row, n=name: np.array(row["gap"][n], dtype=float)
        )
        for row, value in zip(rows, gap, strict=True):
            row[title] = f"{value:.2f}"
    return rows


def class_counts(study, recipe):
    return next(
        record["class_counts"]
        for record in study.networks
        if record["fold"] is None and record["case"]["recipe"] == recipe
    )


def phases_table(study):
    """Tabulate seconds of the phases, on networks trained on all rows of a subset."""
    rows = []
    for recipe in study.recipes:
        networks = [
            record["seconds"]
            for record in study.networks
            if record["case"]["recipe"] == recipe and record["fold"] is None
        ]
        mean = {key: np.mean([seconds[key] for seconds in networks]) for key in networks[0]}
        row = {
            "recipe": recipe,
            "making images": mean.get("images", 0),
            "phase 1": mean["training"],
        }
        refits = study.values((recipe, "EOS, chosen"), lambda row: sum(row["seconds"].values()))
        if refits:
            later = mean["embedding"] + np.mean(list(refits.values()))
            row["phases 2 and 3, EOS"] = later
            row["% of phase 1"] = 100 * later / mean["training"]
        rows.append(row)
    return rows


TARGETS = [
    # What, a method, the other, at least, aim, and whether the interval must be above 0.
    ("EOS, K=10, over the network", "EOS, neighborhood, K=10", "network", 5, 7, False),
    ("EOS over the network", "EOS, chosen", "network", 7, 10, False),
    ("EOS over SMOTE", "EOS, chosen", "SMOTE", 1.5, 5, True),
    ("EOS over logit adjustment", "EOS, chosen", "logit adjustment", -1, 0, False),
]
# Below these, nothing is decided.
N_SUBSETS = 3


def targets_table(study, recipe):
    rows = []
    for what, name, other, least, aim, is_interval in TARGETS:
        found = study.differences((recipe, name), (recipe, f"{other}, chosen"))
        if not found:
            continue
        mean, margin = mean_difference(list(found.values()))
        is_met = mean >= least and not (is_interval and (margin is None or mean <= margin))
        verdict = "missed" if not is_met else "aim met" if mean >= aim else "met"
        rows.append(
            {
                "what": what,
                "at least": f"{least:+g}" + ", interval above 0" * is_interval,
                "aim": f"{aim:+g}",
                "found": format_difference((mean, margin)),
                "": verdict if len(found) >= N_SUBSETS else "too few subsets",
            }
        )
    return rows


def leads_table(study, recipe):
    """Tabulate the lead of EOS over each other method, settings of both chosen."""
    names = [name for name in base_names(study, recipe) if "EOS" not in name]
    found = {
        name: study.difference((recipe, "EOS, chosen"), (recipe, f"{name}, chosen"))
        for name in names
    }
    return [
        {"other": name, "EOS over it": format_difference(lead)}
        for name, lead in found.items()
        if lead is not None
    ]


def plot_methods(study, recipe, file):
    """Plot by how much each method is above the network itself."""
    network = (recipe, "network, chosen")
    found = {
        name: list(study.differences((recipe, f"{name}, chosen"), network).values())
        for name in base_names(study, recipe)
        if name != "network"
    }
    names = sorted((name for name in found if found[name]), key=lambda name: np.mean(found[name]))
    figure, axes = plt.subplots(figsize=(7, 0.3 * len(names) + 1.2), layout="constrained")
    for position, name in enumerate(names):
        color = "C3" if name.startswith("EOS") else "C0"
        axes.plot(found[name], [position] * len(found[name]), "o", color=color, alpha=0.35)
        mean = np.mean(found[name])
        axes.plot(mean, position, "|", color=color, markersize=16, markeredgewidth=2)
    axes.set(yticks=range(len(names)), yticklabels=names)
    axes.set_xlabel("points above the network's own head, a dot per subset")
    axes.axvline(0, color="0.6", linewidth=1)
    axes.grid(axis="x", alpha=0.3)
    save(figure, file)


def plot_neighbors(study, recipe, file):
    """Plot EOS by K, beside methods without it."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for color, method in (("C3", "EOS, neighborhood"), ("C1", "EOS, nearest")):
        names = [name for name in study.methods(recipe) if name.startswith(f"{method}, K=")]
        names.sort(key=neighbors_of)
        if names:
            k = [neighbors_of(name) for name in names]
            scores = np.array([list(study.points((recipe, name)).values()) for name in names])
            axes.plot(k, scores, color=color, linewidth=0.7, alpha=0.5)
            axes.plot(k, scores.mean(axis=1), "o-", color=color, label=method)
            axes.set_xscale("log")
            axes.set_xticks(k, k)
    # The network itself is so far below that the rest could not be told apart.
    others = [name for name in shown(study, recipe) if name not in ("network", "EOS")]
    for name, style in zip(others, (":", "--", "-."), strict=False):
        mean = np.mean(list(study.points((recipe, f"{name}, chosen")).values()))
        axes.axhline(mean, color="C0", linestyle=style, label=name)
    axes.set(xlabel="K", ylabel="balanced accuracy, points")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, file)


def neighbors_of(name):
    return int(name.rpartition("=")[2])


def plot_recall(study, recipe, methods, file):
    """Plot recall by class."""
    counts = class_counts(study, recipe)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, marker in zip(methods, "osD^v", strict=False):
        recall = study.mean((recipe, f"{name}, chosen"), lambda row: row["recall"])
        axes.plot(100 * recall, f"{marker}-", label=name)
    axes.set(xlabel="training images of the class", ylabel="recall, %")
    axes.set_xticks(range(len(counts)), counts, fontsize="small")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, file)


def save(figure, file):
    figure.savefig(file, dpi=120)
    plt.close(figure)


SHOWN = ("network", "SMOTE", "logit adjustment", "plain refit + logit adjustment", "EOS")


def shown(study, recipe):
    return [name for name in SHOWN if name in base_names(study, recipe)]


def format_table(rows, **options):
    options = {"headers": "keys", "tablefmt": "github", "disable_numparse": True} | options
    return tabulate(rows, **options)


def format_study(study, title):
    """Give all tables of one kind and ratio of imbalance, as paragraphs of Markdown."""
    yield f"## {title}"
    for recipe in study.recipes:
        if "network" not in base_names(study, recipe):
            continue
        n_subsets = len(study.points((recipe, "network, chosen")))
        yield f"### {recipe}, {n_subsets} subset{'s' * (n_subsets > 1)}"
        yield format_table(main_table(study, recipe))
        for text, rows in (
            (
                f"EOS and each other method, settings of both {study.settings}:",
                leads_table(study, recipe),
            ),
            ("By K, with the default strength of the head:", neighbors_table(study, recipe)),
            ("By tau:", taus_table(study, recipe)),
            (
                f"By class, settings {study.settings}, and the gap of training rows:",
                class_table(study, recipe, shown(study, recipe)),
            ),
            ("Targets:", targets_table(study, recipe) if study.has_choices else []),
        ):
            if rows:
                yield text
                yield format_table(rows)
    yield f"### All recipes, settings {study.settings}"
    yield format_table(recipes_table(study))
    rows = rivals_table(study)
    if rows:
        yield "EOS on cross-entropy and the networks themselves:"
        yield format_table(rows)
    yield from (f"- {error}" for error in study.errors)
    yield "### Seconds"
    yield format_table(phases_table(study), disable_numparse=False, floatfmt=".1f")


def format_header(record):
    """Say what was run in a part of the study, how, and where."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    cases = "; ".join(
        f"{name} {', '.join(map(str, values))}" for name, values in record["cases"].items()
    )
    choices = f"{record['folds']} folds to choose settings on" if record["folds"] else "no folds"
    return (
        f"- {record['date']}, {record['machine']}, {versions}, {record['data']}: "
        f"{record['epochs']} epochs, schedule {record['schedule']}, batches of "
        f"{record['batch_size']}, {choices}; {cases}."
    )


def plot_study(study, folder):
    """Plot what was done with networks trained with cross-entropy."""
    if not shown(study, "CE"):
        return
    folder.mkdir(parents=True, exist_ok=True)
    plot_methods(study, "CE", folder / "methods.png")
    plot_neighbors(study, "CE", folder / "neighbors.png")
    plot_recall(study, "CE", shown(study, "CE"), folder / "recall.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    if not options.results.exists():
        parser.error(f"there is no {options.results}.")
    records = Results(options.results).records
    folder = options.results.parent
    begun = [record for record in records if record["record"] == "study"]
    title = f"# All tables, {begun[0]['epochs']} epochs"
    parts = [title, "\n".join(dict.fromkeys(map(format_header, begun)))]
    kinds = dict.fromkeys(
        (record["case"]["kind"], record["case"]["ratio"]) for record in records if "case" in record
    )
    for kind, ratio in kinds:
        study = Study(records, kind, ratio)
        parts += format_study(study, f"{kind.capitalize()} imbalance, ratio {ratio:g}")
        plot_study(study, folder / f"{kind}_{ratio:g}")
    text = "\n\n".join(parts) + "\n"
    (folder / "tables.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
