"""The report: a page that needs no internet connection and no scripts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from imblearn_eos._extras import import_extra
from imblearn_eos.compare._files import sampler_of_network, write_json, write_network, write_text
from imblearn_eos.compare._pictures import draw
from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._scores import CALIBRATION, METRICS
from imblearn_eos.compare._statistics import (
    as_list,
    collect,
    mean_and_spread,
    paired_difference,
    summarize,
)
from imblearn_eos.compare._text import format_notes, format_value, format_verdict

PAGE, RESULTS, NETWORK = "report.html", "results.json", "network.pt"
NOTHING = "-"


def write_report(
    directory: str | os.PathLike, record: dict[str, Any], results: Iterable[SeedResult]
) -> Path:
    """Write a page that shows a comparison, and beside it the results and the network.

    Parameters
    ----------
    directory : str or path-like
        Where to write ``report.html``, ``results.json`` and, for images, ``network.pt``: the
        network of the first seed, with the head refitted for EOS, or without EOS for the last
        sampler. It is made if it does not exist; existing files of these names are replaced.
    record : dict
        What is needed to repeat the run, from `make_record`.
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`; the first one with its ``fitted``.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ImportError
        When matplotlib or jinja2 are missing; the extra ``report`` installs them.
    OSError
        When the files cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, make_record, write_report
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> results = list(compare_table(X, y, samplers=["smote", "eos"], seeds=2))
    >>> record = make_record(X, y, source="made-up rows", arguments={"seeds": 2})
    >>> with TemporaryDirectory() as directory:
    ...     page = write_report(directory, record, results)
    ...     page.name, "<h1>" in page.read_text(encoding="utf-8")
    ('report.html', True)
    """
    results = as_list(results)
    prepare_report(directory)
    page, results_file, network = files = report_files(directory)
    # A page or a network of an earlier report must not stand beside new results.
    for file in files:
        file.unlink(missing_ok=True)
    write_json(results_file, record, results)
    has_network = results[0].train_loss is not None
    if has_network:
        write_network(network, results[0])
    sampler = sampler_of_network(results[0]) if has_network else None
    write_text(page, _render(record, results, sampler))
    return page


def report_files(directory: str | os.PathLike) -> list[Path]:
    """Return the paths of the files of a report: the page, the results and the network."""
    return [Path(directory).resolve() / name for name in (PAGE, RESULTS, NETWORK)]


def prepare_report(directory: str | os.PathLike) -> None:
    """Make the directory of a report; raise an error if it or a package of the extra is missing."""
    for package in ("jinja2", "matplotlib"):
        import_extra(package, "report")
    Path(directory).mkdir(parents=True, exist_ok=True)


def _make_environment():
    jinja2 = import_extra("jinja2", "report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: NOTHING if value is None else f"{value:.4f}"
    environment.filters["seconds"] = lambda value: NOTHING if value is None else f"{value:.3f}"
    return environment


def _render(record, results, sampler):
    template = resources.files("imblearn_eos.compare").joinpath("report.html").read_text("utf-8")
    gaps, has_network = _gap_rows(results), sampler is not None
    return (
        _make_environment()
        .from_string(template)
        .render(
            record=record,
            title=_shorten_source(record["data"]["source"]),
            has_network=has_network,
            network_file=NETWORK,
            results_file=RESULTS,
            n_seeds=len(results),
            verdict=format_verdict(results),
            class_rows=_class_rows(results[0]),
            first=results[0],
            seconds_train=mean_and_spread(result.seconds_train for result in results)[0],
            seconds_embed=mean_and_spread(result.seconds_embed for result in results)[0],
            fit=mean_and_spread(result.train_balanced_accuracy for result in results)[0],
            metric_names=[name.replace("_", " ") for name in METRICS],
            score_rows=_score_rows(results),
            calibration_rows=_calibration_rows(results),
            same_frequencies=_have_same_frequencies(results[0]),
            gap_rows=gaps,
            second_rows=_second_rows(results),
            notes=list(format_notes(results)),
            pictures=draw(results, gaps),
            sampler_of_network=find_method(sampler).name if has_network else None,
        )
    )


def _shorten_source(source):
    """Return the name of a file or folder without its location, which is private."""
    return Path(source).name if Path(source).is_absolute() else source


def _class_rows(result):
    """Return name, training rows and test rows of each class, the largest class first."""
    test = result.test_counts
    rows = [(name, n_rows, test.get(name, 0)) for name, n_rows in result.train_counts.items()]
    return sorted(rows, key=lambda row: -row[1])


def _score_rows(results):
    """Yield a row for each method: its name, and a cell for each metric."""
    for method, summary in summarize(results).items():
        outcomes = [result.methods[method] for result in results]
        n_failed = sum(outcome.error is not None for outcome in outcomes)
        yield Bunch(
            name=find_method(method).name,
            is_reference=method == "none",
            seeds=f"{len(outcomes) - n_failed} of {len(outcomes)}",
            cells=[
                Bunch(
                    value=format_value(value["mean"], value["spread"]),
                    difference=_describe_difference(value["difference"]),
                )
                for value in summary.values()
            ],
        )


def _describe_difference(difference, *, lower_is_better=False):
    """Return the kind of a difference to no over-sampling, with words for it; or None."""
    if difference is None:
        return None
    mean, low, high = difference["mean"], difference["low"], difference["high"]
    if low is None:
        return Bunch(kind="unknown", word="noise unknown", mean=_signed(mean), interval="")
    is_better = (mean > 0) != lower_is_better
    kind = "noise" if low <= 0 <= high else "better" if is_better else "worse"
    word = {"noise": "≈ within noise", "better": "▲ better", "worse": "▼ worse"}[kind]
    interval = f"{_signed(low)} to {_signed(high)}"
    return Bunch(kind=kind, word=word, mean=_signed(mean), interval=interval)


def _signed(value):
    """Return a number with four decimals and a sign; zero has no sign."""
    text = f"{value:+.4f}"
    return "0.0000" if text in ("+0.0000", "-0.0000") else text


def _calibration_rows(results):
    """Yield a row for each method: its name, and a cell for each measure of calibration."""
    for method in results[0].methods:
        cells = []
        for suffix in ("_at_training_frequencies", ""):
            for name in CALIBRATION:
                metric = name + suffix
                found = collect(results, method, metric, "calibration").values()
                difference = None
                if method != "none":
                    difference = paired_difference(
                        results, method, metric=metric, kind="calibration"
                    )
                cells.append(
                    Bunch(
                        value=format_value(*mean_and_spread(found)),
                        difference=_describe_difference(
                            difference and asdict(difference), lower_is_better=True
                        ),
                    )
                )
        yield Bunch(name=find_method(method).name, is_reference=method == "none", cells=cells)


def _have_same_frequencies(result):
    # A stratified split is within one row of its share.
    return all(
        abs(n_test - result.test_size * (n_test + result.train_counts[name])) <= 1
        for name, n_test in result.test_counts.items()
    )


def _gap_rows(results):
    """Return the mean macro gaps of each sampler."""
    rows = []
    for method in results[0].methods:
        gaps = [result.methods[method].gap for result in results if result.methods[method].gap]
        if gaps:
            means = {name: float(np.mean([gap[name] for gap in gaps])) for name in gaps[0]}
            rows.append(Bunch(method=method, name=find_method(method).name, **means))
    return rows


def _second_rows(results):
    for method in results[0].methods:
        outcomes = [r.methods[method] for r in results if r.methods[method].error is None]
        if find_method(method).make_sampler is None or not outcomes:
            continue
        yield Bunch(
            name=find_method(method).name,
            rows_added=round(mean_and_spread(o.rows_added for o in outcomes)[0]),
            resample=mean_and_spread(o.seconds_resample for o in outcomes)[0],
            refit=mean_and_spread(o.seconds_refit for o in outcomes)[0],
        )
