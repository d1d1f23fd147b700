"""The results of a comparison, as a printed table and in words."""

from __future__ import annotations

from collections.abc import Iterable

from tabulate import tabulate

from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._scores import METRICS
from imblearn_eos.compare._statistics import (
    as_list,
    beats_all,
    best_rival,
    collect,
    mean_and_spread,
    paired_difference,
    summarize,
)


def format_runs(results: list[SeedResult]) -> str:
    """Return lines on the rows of the split and on how the networks were trained."""
    first = results[0]
    train, test = first.train_counts, first.test_counts
    has_network = first.train_loss is not None
    rows = "images" if has_network else "rows"
    fit, _ = mean_and_spread(result.train_balanced_accuracy for result in results)
    lines = [
        f"Train: {sum(train.values())} {rows}, {max(train.values())} in the largest class, "
        f"{min(train.values())} in the smallest. Test: {sum(test.values())} {rows}, used for the "
        "scores only."
    ]
    if has_network:
        seconds_train, _ = mean_and_spread(result.seconds_train for result in results)
        seconds_embed, _ = mean_and_spread(result.seconds_embed for result in results)
        lines.append(
            f"Network, mean over seeds: trained in {seconds_train:.2f} s to balanced accuracy "
            f"{fit:.4f} on its training images, all images embedded in {seconds_embed:.3f} s."
        )
    return "\n".join(lines) + "\n"


def format_table(results: Iterable[SeedResult]) -> str:
    """Return a table of all methods, followed by their errors and warnings.

    Parameters
    ----------
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`.

    Returns
    -------
    str

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, format_table
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> results = list(compare_table(X, y, samplers=["eos"], seeds=2))
    >>> print(format_table(results).splitlines()[0].split()[:3])
    ['method', 'balanced', 'accuracy']
    """
    rows, results = [], as_list(results)
    for method, metrics in summarize(results).items():
        outcomes = [result.methods[method] for result in results]
        succeeded = [outcome for outcome in outcomes if outcome.error is None]
        cells = [format_value(value["mean"], value["spread"]) for value in metrics.values()]
        for seconds in ("seconds_resample", "seconds_refit"):
            mean, _ = mean_and_spread(getattr(outcome, seconds) for outcome in succeeded)
            has_none = mean is None or find_method(method).make_sampler is None
            cells.append("-" if has_none else f"{mean:.3f}")
        cells.append(f"{len(succeeded)}/{len(outcomes)}")
        rows.append([find_method(method).name, *cells])
    headers = ["method", *METRICS, "resample_s", "refit_s", "seeds"]
    headers = [header.replace("_", " ") for header in headers]
    table = tabulate(rows, headers, disable_numparse=True, stralign="right", colalign=["left"])
    return "\n".join([table, *(f"\n{note}" for note in format_notes(results))])


def format_value(mean, spread):
    """Return a mean and its spread as text."""
    if mean is None:
        return "failed"
    return f"{mean:.4f}" if spread is None else f"{mean:.4f} ± {spread:.4f}"


def format_notes(results):
    """Yield one line for each method that failed, and one for each that warned."""
    for method in results[0].methods:
        name, outcomes = find_method(method).name, [result.methods[method] for result in results]
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        warned = [outcome.warnings for outcome in outcomes if outcome.warnings]
        if errors:
            yield _format_note(f"{name} failed on {len(errors)}", len(outcomes), errors[0])
        if warned:
            text = warned[0][0]
            if len(warned[0]) > 1:
                text = f"{text} (and {len(warned[0]) - 1} more like this)"
            yield _format_note(f"{name} warned on {len(warned)}", len(outcomes), text)


def _format_note(fact, n_seeds, text):
    return f"{fact} of {n_seeds} seeds: {' '.join(text.split())}"


def format_verdict(results: Iterable[SeedResult]) -> str:
    """Return a paragraph on whether EOS was better, by how much, and whether that is within noise.

    Parameters
    ----------
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`.

    Returns
    -------
    str
        One paragraph. It begins with how EOS compares with the best other method.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, format_verdict
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> print(format_verdict(list(compare_table(X, y, samplers=["smote"], seeds=2))))
    EOS was not among the samplers.
    """
    results = as_list(results)
    if "eos" not in results[0].methods:
        return "EOS was not among the samplers."
    eos = collect(results, "eos", "balanced_accuracy")
    if not eos:
        return "EOS failed on every seed."
    if not any(result.methods["eos"].rows_added for result in results):
        return "The classes are already balanced, so EOS added no rows and changed nothing."
    best = best_rival(results)
    if best is None:
        return "No other method succeeded on a seed where EOS did."
    mean, _ = mean_and_spread(eos.values())
    rivals = dict.fromkeys([best, "none"])
    differences = {rival: paired_difference(results, "eos", rival) for rival in rivals}
    parts = [
        _format_difference(difference, _describe(rival, best))
        for rival, difference in differences.items()
        if difference is not None
    ]
    headline = _headline(differences[best], differences["none"], beats_all(results))
    return f"{headline} Its balanced accuracy is {mean:.4f}, {', and '.join(parts)}."


def _headline(to_best, to_none, is_ahead_of_all):
    is_none = to_best is to_none
    if is_ahead_of_all and to_best.is_noise is False:
        return "EOS scored above every other method, beyond noise."
    if to_none is not None and to_none.mean == to_none.low == to_none.high == 0:
        return "EOS scored the same as no over-sampling."
    relation = "above" if to_best.mean > 0 else "below" if to_best.mean < 0 else "the same as"
    best = "no over-sampling" if is_none else "the best other method"
    best = "the best method" if to_best.mean < 0 and not is_none else best
    sentences = [f"EOS scored {relation} {best}{_describe_noise(to_best)}."]
    if to_best.is_noise is not None and to_none is not None and not is_none:
        relation = "above" if to_none.mean > 0 else "below"
        sentences.append(
            "Its difference from no over-sampling is within noise."
            if to_none.is_noise or to_none.mean == 0
            else f"It scored {relation} no over-sampling{_describe_noise(to_none)}."
        )
    return " ".join(sentences)


def _describe_noise(difference):
    if difference.is_noise is None:
        n = difference.n_seeds
        seeds = "on one seed" if n == 1 else f"by the same amount on each of {n} seeds"
        return f" {seeds}, so the noise is unknown"
    return ", within noise" if difference.is_noise and difference.mean != 0 else ""


def _describe(name, best):
    method = find_method(name)
    return (method.phrase or method.name) + (", the best other method" if name == best else "")


def _format_difference(difference, name):
    if f"{abs(difference.mean):.4f}" == "0.0000":
        return f"the same as {name}"
    direction = "above" if difference.mean > 0 else "below"
    size = f"{abs(difference.mean):.4f} {direction} {name}"
    if difference.low is None:
        return size
    noise = ", within noise" if difference.is_noise else ""
    return (
        f"{size} (95 % interval over {difference.n_seeds} seeds: {difference.low:+.4f} to "
        f"{difference.high:+.4f}{noise})"
    )
