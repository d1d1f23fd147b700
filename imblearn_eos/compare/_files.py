"""What a comparison found: statistics, the printed table, and files that let it be repeated."""

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from imblearn_eos.compare import METRICS

PACKAGES = (
    "imblearn-eos",
    "numpy",
    "scipy",
    "scikit-learn",
    "imbalanced-learn",
    "torch",
    "skorch",
    "pillow",
)


def collect(results, method, metric):
    """Give the metric of a method on each seed where the method did not fail: {seed: value}."""
    return {
        result.seed: result.methods[method].scores[metric]
        for result in results
        if result.methods[method].error is None
    }


def mean_and_spread(values):
    """Give mean and sample standard deviation; None where there are too few values for it."""
    values = np.array(list(values))
    mean = float(values.mean()) if len(values) else None
    return mean, float(values.std(ddof=1)) if len(values) > 1 else None


def summarize(results):
    """Give mean and spread over the seeds: {method: {metric: {"mean", "spread", "n_seeds"}}}."""
    summary = {}
    for method in results[0].methods if results else ():
        summary[method] = {}
        for metric in METRICS:
            values = collect(results, method, metric).values()
            mean, spread = mean_and_spread(values)
            summary[method][metric] = {"mean": mean, "spread": spread, "n_seeds": len(values)}
    return summary


def format_runs(results):
    """Say how the networks were trained, and on how many rows."""
    first = results[0]
    train, test = first.train_counts, first.test_counts
    seconds_train, _ = mean_and_spread(result.seconds_train for result in results)
    seconds_embed, _ = mean_and_spread(result.seconds_embed for result in results)
    fit, _ = mean_and_spread(result.train_balanced_accuracy for result in results)
    return (
        f"Train: {sum(train.values())} images, {max(train.values())} in the largest class, "
        f"{min(train.values())} in the smallest. Test: {sum(test.values())} images, used for the "
        f"scores only.\nNetwork, mean over seeds: trained in {seconds_train:.2f} s to balanced "
        f"accuracy {fit:.4f} on its training images, all images embedded in "
        f"{seconds_embed:.3f} s.\n"
    )


def format_table(results):
    """Give the table of all methods, and below it what failed or warned."""
    rows = []
    for method, metrics in summarize(results).items():
        outcomes = [result.methods[method] for result in results]
        succeeded = [outcome for outcome in outcomes if outcome.error is None]
        cells = [_format_value(value["mean"], value["spread"]) for value in metrics.values()]
        for seconds in ("seconds_resample", "seconds_refit"):
            mean, _ = mean_and_spread(getattr(outcome, seconds) for outcome in succeeded)
            cells.append("-" if mean is None or method == "network" else f"{mean:.3f}")
        cells.append(f"{len(succeeded)}/{len(outcomes)}")
        rows.append([method, *cells])
    headers = ["head", *METRICS, "resample_s", "refit_s", "seeds"]
    headers = [header.replace("_", " ") for header in headers]
    table = tabulate(rows, headers, disable_numparse=True, stralign="right", colalign=["left"])
    return "\n".join([table, *_format_notes(results)])


def _format_value(mean, spread):
    if mean is None:
        return "failed"
    return f"{mean:.4f}" if spread is None else f"{mean:.4f} ± {spread:.4f}"


def _format_notes(results):
    """Give one line for each method that failed, and one for each that warned."""
    for method in results[0].methods:
        outcomes = [result.methods[method] for result in results]
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        warned = [outcome.warnings for outcome in outcomes if outcome.warnings]
        if errors:
            yield _format_note(f"{method} failed on {len(errors)}", len(outcomes), errors[0])
        if warned:
            text = warned[0][0]
            if len(warned[0]) > 1:
                text = f"{text} (and {len(warned[0]) - 1} more like this)"
            yield _format_note(f"{method} warned on {len(warned)}", len(outcomes), text)


def _format_note(fact, n_seeds, text):
    return f"\n{fact} of {n_seeds} seeds: {' '.join(text.split())}"


def format_verdict(results):
    """Say in one line whether EOS was better, by how much, and whether that is within noise."""
    metric = "balanced_accuracy"
    methods = results[0].methods
    if "eos" not in methods:
        return "EOS was not among the samplers."
    eos = collect(results, "eos", metric)
    if not eos:
        return "EOS failed on every seed."
    others = {name: collect(results, name, metric) for name in methods if name != "eos"}
    # Only where EOS ran too: means over different seeds do not compare.
    means = {
        name: np.mean([values[seed] for seed in values if seed in eos])
        for name, values in others.items()
        if values.keys() & eos.keys()
    }
    if not means:
        return "No other head succeeded on a seed where EOS did."
    best = max(means, key=means.get)
    rivals = [best] if best == "none" or "none" not in means else [best, "none"]
    parts = [_format_difference(eos, others[rival], _describe(rival, best)) for rival in rivals]
    return f"EOS in balanced accuracy: {'; '.join(parts)}."


def _describe(name, best):
    names = {"none": "no over-sampling", "network": "the network's own head"}
    return names.get(name, name) + (" (the best other)" if name == best else "")


def _format_difference(eos, other, name):
    differences = [eos[seed] - other[seed] for seed in eos if seed in other]
    mean, spread = mean_and_spread(differences)
    relation = "better than" if mean > 0 else "worse than" if mean < 0 else "equal to"
    if not any(differences):
        return f"no different from {name}"
    if spread is None:
        return f"{relation} {name} by {abs(mean):.4f} on one seed, which is no measure of noise"
    noise = "more than" if abs(mean) > spread else "which is within noise: not more than"
    return (
        f"{relation} {name} by {abs(mean):.4f} ± {spread:.4f} (paired over {len(differences)} "
        f"seeds), {noise} the spread"
    )


def hash_data(X, y):
    """Give the SHA-256 of the images and labels: their shape, dtype and content."""
    digest = hashlib.sha256()
    for array in (X, y):
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def describe_environment(device):
    """Give the versions and the hardware that a result may depend on."""
    on_cuda = device.type == "cuda"
    return {
        "versions": {
            "python": platform.python_version(),
            **{package: _installed_version(package) for package in PACKAGES},
        },
        "platform": platform.platform(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if on_cuda else platform.machine(),
        "threads": torch.get_num_threads(),
    }


def _installed_version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        # Pillow is an extra.
        return None


def write_json(path, record, results):
    """Write everything as JSON: ``record``, each seed's result, and the summary."""
    runs = [asdict(result) for result in results]
    content = {**record, "summary": summarize(results), "runs": runs}
    _write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_csv(path, record, results):
    """Write one line for each seed and method; what repeats the run stands on every line."""
    lines = [
        {
            "seed": result.seed,
            "method": method,
            **{metric: outcome.scores.get(metric) for metric in METRICS},
            **{key: value for key, value in asdict(outcome).items() if key != "scores"},
            **{key: value for key, value in asdict(result).items() if key != "methods"},
            **record,
        }
        for result in results
        for method, outcome in result.methods.items()
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=lines[0], lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({key: _to_cell(value) for key, value in line.items()})
    _write_atomically(path, text.getvalue())


def _to_cell(value):
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def check_writable(path):
    """Raise OSError unless a file can be written at ``path``; nothing there is changed."""
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a file, so no result can be written there")
    with _temporary_beside(path) as temporary:
        temporary.touch()


def _write_atomically(path, text):
    path = Path(path).resolve()
    with _temporary_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)


@contextlib.contextmanager
def _temporary_beside(path):
    # In the same folder: only within one file system is replacing a file atomic.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
