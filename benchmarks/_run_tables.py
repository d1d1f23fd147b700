"""The tables of the CIFAR-10 study's pages about its runs: time, machines, files, variants."""

import json
from pathlib import Path

import numpy as np
from _embeddings import read_registry
from _results import Results
from _study import N_SUBSETS, RUNS, average_trainings, mean_difference, points_of
from _study_tables import format_difference


def phases(columns, runs):
    """Tabulate the time of the phases, and of the choice of settings."""
    rows = []
    for column in columns:
        on_all = [record["seconds"] for record in column.networks if record["fold"] is None]
        without = [record["seconds"] for record in column.networks if record["fold"] is not None]
        mean = {key: np.mean([seconds[key] for seconds in on_all]) for key in on_all[0]}
        row = {
            "networks": column.title,
            "making images, min": f"{mean['images'] / 60:.1f}" if "images" in mean else "",
            "phase 1, min": f"{mean['training'] / 60:.0f}",
        }
        if "EOS" in column.methods:
            eos = column.mean("EOS, tuned", lambda row: sum(row["seconds"].values()))
            row["embedding, s"] = f"{mean['embedding']:.0f}"
            row["EOS and new head, s"] = f"{eos:.1f}"
            row["phases 2 and 3, % of phase 1"] = f"{share_of_phase_1(column):.1f}"
        if without:
            training = sum(seconds["training"] for seconds in without) / len(on_all)
            row["networks for tuning, % of phase 1"] = f"{100 * training / mean['training']:.0f}"
            # The method "EOS" chooses among the heads of these two.
            searches = ("EOS, neighborhood", "EOS, nearest")
            seconds = sum(
                record["seconds"]
                for name in searches
                for record in column.methods.get(name, {}).values()
            )
            share = 100 * seconds / len(on_all) / mean["training"]
            row["trying settings of EOS, % of phase 1"] = f"{share:.1f}"
        rows.append(row)
    return rows


def share_of_phase_1(column):
    """Compute the time of phases 2 and 3 with EOS and given settings, in percent of phase 1."""
    on_all = [record["seconds"] for record in column.networks if record["fold"] is None]
    embedding, training = (np.mean([s[key] for s in on_all]) for key in ("embedding", "training"))
    eos = column.mean("EOS, tuned", lambda row: sum(row["seconds"].values()))
    return 100 * (embedding + eos) / training


def variants(columns, runs):
    """Tabulate differences of variants from EOS with nearest enemies and the same K."""
    rows = {}
    for run in runs:
        for entry in read_variants(run):
            text = f"{entry['balanced_accuracy']:.1f}"
            if "difference" in entry:
                text += f", {entry['difference']:+.1f}"
            if "interval" in entry:
                low, high = entry["interval"]
                text += f" ({low:+.1f} to {high:+.1f})"
            row = rows.setdefault(entry["variant"], {"variant": entry["variant"]})
            row[run.replace("_", " ")] = text
    return list(rows.values())


def read_variants(run):
    """Return the results of `cifar_lt_variants.py` in a folder of results."""
    return json.loads((RUNS / run / "variants.json").read_text())


def variant_groups(columns, runs):
    """Tabulate the smallest and largest difference of each group of variants."""
    rows = {}
    for run in runs:
        by_group = {}
        for entry in read_variants(run):
            if "difference" in entry:
                by_group.setdefault(entry["group"], []).append(entry["difference"])
        for group, found in by_group.items():
            row = rows.setdefault(group, {"change": group})
            row[run.replace("_", " ")] = f"{min(found):+.1f} to {max(found):+.1f}"
    return list(rows.values())


def second_phases(columns, runs):
    """Tabulate balanced accuracy by method and way of the second phase, tuned and by default."""
    found, titles = _read_second_phases(runs)
    rows = []
    for (recipe, method), phases in found.items():
        row = {"recipe": recipe, "method": method} | titles
        for phase, points in phases.items():
            tuned, default = (np.mean(list(points[name].values())) for name in SETTINGS)
            row[phase] = f"{tuned:.1f} ({default:.1f})"
        rows.append(row)
    return rows


def second_phase_gains(columns, runs):
    """Tabulate what each way of the second phase adds to a method, with tuned settings."""
    found, titles = _read_second_phases(runs)
    rows = []
    for (recipe, method), phases in found.items():
        (_, first), *others = phases.items()
        row = {"recipe": recipe, "gain of": method} | titles
        for phase, points in others:
            row[phase] = _format_differences(points["tuned"], first["tuned"])
        rows.append(row)
    return rows


def second_phase_leads(columns, runs):
    """Tabulate the lead of EOS over each other method, both with the same second phase.

    A method whose heads a phase does not change counts as it is without it.
    """
    found, titles = _read_second_phases(runs)
    rows = []
    for (recipe, method), phases in found.items():
        for name in SETTINGS if method != "EOS" else ():
            row = {"recipe": recipe, "EOS minus": method, "settings": name} | titles
            for phase, points in found.get((recipe, "EOS"), {}).items():
                other = phases.get(phase) or next(iter(phases.values()))
                row[phase] = _format_differences(points[name], other[name])
            rows.append(row)
    return rows


SETTINGS = ("tuned", "default")


def _read_second_phases(runs):
    """Read the results of `cifar_lt_second_phase.py`.

    Returns
    -------
    found : dict
        Points by recipe with its marks and method, then by phase, settings, and subset and seed.
    titles : dict of str to str
        An empty cell for each phase, in their order.
    """
    found, titles = {}, {}
    for run in runs:
        records = Results(RUNS / run).records
        is_held_out = any(record.get("hold_out") for record in records)
        records = [r for r in records if r["record"] == "second phase" and "error" not in r]
        subsets = {}
        for record in records:
            subsets.setdefault(record["case"]["recipe"], set()).add(record["case"]["subset"])
        for record in records:
            case, phase = record["case"], record["phase"]
            titles[phase] = ""
            is_few = len(subsets[case["recipe"]]) < N_SUBSETS
            recipe = f"{case['recipe']}{' †' * is_few}{' ‡' * is_held_out}"
            phases = found.setdefault((recipe, record["method"]), {})
            points = phases.setdefault(phase, {name: {} for name in SETTINGS})
            for row in record["rows"]:
                for name, key in zip(SETTINGS, ("is_chosen", "is_default"), strict=True):
                    if row[key]:
                        points[name][case["subset"], case["seed"]] = points_of(row)
    return found, titles


def _format_differences(points, others):
    """Format the mean difference over subsets that both have, trainings averaged."""
    both = {
        training: points[training] - others[training] for training in points if training in others
    }
    return format_difference(mean_difference(list(average_trainings(both).values())))


def runs(columns, runs):
    """Tabulate when, where and on what the studies were run."""
    rows = []
    for run in runs:
        records = Results(RUNS / run).records
        # Not all were recorded.
        precisions = {record.get("precision") for record in records} - {None, ""}
        for record in records:
            if record["record"] == "study":
                versions = {name: v for name, v in record["versions"].items() if "eos" not in name}
                row = {
                    "results": Path(run).name,
                    "date": record["date"],
                    "recipes": ", ".join(record["cases"]["recipes"]),
                    "imbalance": ", ".join(
                        f"{kind}, {ratio:g}"
                        for kind in record["cases"]["kinds"]
                        for ratio in record["cases"]["ratios"]
                    ),
                    "subsets": ", ".join(map(str, record["cases"]["subsets"])),
                    "epochs": f"{record['epochs']}, {record['schedule']}",
                    "folds": "‡" if record.get("hold_out") else record["folds"],
                    "machine": record["machine"],
                    "trained in": ", ".join(sorted(precisions)),
                    "versions": ", ".join(f"{name} {v}" for name, v in versions.items()),
                }
                if row not in rows:
                    rows.append(row)
    return rows


def published_embeddings(columns, runs):
    """Tabulate the files of published embeddings."""
    return [
        {
            "recipe": entry["recipe"],
            "subset": entry["subset"],
            "trained": "on all images"
            if entry["fold"] is None
            else f"without half {entry['fold']}",
            "MB": f"{entry['bytes'] / 1e6:.2f}",
            "SHA-256": f"`{entry['sha256'][:16]}`",
        }
        for entry in read_registry()
    ]


def failures(columns, runs):
    """Tabulate what failed, and has not succeeded since."""
    rows = []
    for run in runs:
        results = Results(RUNS / run)
        for record in results.records:
            keys = ("record", "case", "method", "fold")
            what = {key: record[key] for key in keys if key in record}
            if "error" in record and not results.has(**what):
                case = record["case"]
                rows.append(
                    {
                        "recipe": case["recipe"],
                        "subset": case["subset"],
                        "failed": record.get("method", "training"),
                        "error": record["error"],
                    }
                )
    return rows
