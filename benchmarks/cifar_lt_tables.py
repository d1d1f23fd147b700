"""Tables and plots of a study by ``cifar_lt.py``.

    python benchmarks/cifar_lt_tables.py study/results.jsonl

writes ``tables.md`` and plots beside the results, and prints the tables. Balanced accuracies are in
points, means over the subsets of the images, within which trainings are averaged. Intervals are
those of paired t tests over subsets.
"""

import argparse
from pathlib import Path

import numpy as np
from _study import Results, Study, base_names, class_counts, mean_difference, shown
from _study_plots import plot_study
from tabulate import tabulate

SCORES = {"macro_g_mean": "g mean", "macro_f1": "macro F1"}


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
    """Tabulate methods with chosen settings by recipes, on the subsets that all have."""
    names = dict.fromkeys(name for recipe in study.recipes for name in base_names(study, recipe))
    return [
        {
            "method": name,
            **{
                recipe: mean_and_spread(study.shared_points(recipe, f"{name}, chosen").values())
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


def format_table(rows, **options):
    options = {"headers": "keys", "tablefmt": "github", "disable_numparse": True} | options
    return tabulate(rows, **options)


def format_study(study, title):
    """Give all tables of one kind and ratio of imbalance, as paragraphs of Markdown."""
    yield f"## {title}"
    if len(study.recipes) > 1:
        yield f"### All recipes, settings {study.settings}"
        yield "On the subsets that all recipes have:"
        yield format_table(recipes_table(study))
        rows = rivals_table(study)
        if rows:
            yield "EOS on cross-entropy and the networks themselves:"
            yield format_table(rows)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path)
    options = parser.parse_args()
    if not options.results.exists():
        parser.error(f"there is no {options.results}.")
    records = Results(options.results).records
    folder = options.results.parent
    begun = [record for record in records if record["record"] == "study"]
    cases = [record["case"] for record in records if "case" in record]
    kinds = dict.fromkeys((case["kind"], case["ratio"]) for case in cases)
    n_recipes = len({case["recipe"] for case in cases})
    title = f"# All tables, {begun[0]['epochs']} epochs"
    title += f", {n_recipes} recipes" if n_recipes > 1 else ""
    title += f", {len(kinds)} imbalances" if len(kinds) > 1 else ""
    parts = [title, "\n".join(dict.fromkeys(map(format_header, begun)))]
    for kind, ratio in kinds:
        study = Study(records, kind, ratio)
        parts += format_study(study, f"{kind.capitalize()} imbalance, ratio {ratio:g}")
        plot_study(study, folder / f"{kind}_{ratio:g}")
    text = "\n\n".join(parts) + "\n"
    (folder / "tables.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
