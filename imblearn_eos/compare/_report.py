"""The report: one page that needs neither network nor scripts."""

import base64
import io
import warnings
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from imblearn_eos import plotting
from imblearn_eos.compare._files import (
    check_replaceable,
    check_writable,
    sampler_of_network,
    write_json,
    write_network,
    write_text,
)
from imblearn_eos.compare._methods import CALIBRATION, METRICS
from imblearn_eos.compare._statistics import (
    NAMES,
    as_list,
    best_rival,
    collect,
    mean_and_spread,
    paired_difference,
    summarize,
)
from imblearn_eos.compare._text import format_notes, format_value, format_verdict
from imblearn_eos.plotting._axes import import_pyplot

PAGE, RESULTS, NETWORK = "report.html", "results.json", "network.pt"
# In report.html; by this a page is known as ours.
GENERATOR = '<meta name="generator" content="imblearn-eos">'
NOTHING = "-"


def write_report(directory, record, results):
    """Write a page that shows a comparison, and beside it the results and the network.

    Parameters
    ----------
    directory : str or path-like
        Where to write ``report.html``, ``results.json`` and, for images, ``network.pt``: the
        network of the first seed, with the head refitted for EOS, or without it for the last
        sampler. Made if it does not exist; files of these names are replaced if they are of
        another report.
    record : dict
        What is needed to repeat the run, as of `make_record`.
    results : iterable of SeedResult
        What `compare` or `compare_table` gave; the first with its ``fitted``.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ImportError
        When matplotlib or jinja2 are missing; the extra ``report`` brings them.
    ValueError
        When the directory has files of these names that are not of a report.
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
    check_report(directory)
    page, results_file, network = report_files(directory)
    has_network = results[0].train_loss is not None
    sampler = sampler_of_network(results[0]) if has_network else None
    # By its page a folder is known as that of a report, also if what follows fails. An earlier page
    # must not stand beside new results.
    write_text(page, f"<!doctype html>{GENERATOR}<p>This report is not finished.</p>")
    write_json(results_file, record, results)
    if has_network:
        write_network(network, results[0])
    else:
        # One of an earlier report would pass for that of this one.
        network.unlink(missing_ok=True)
    write_text(page, _render(record, results, sampler))
    return page


def report_files(directory):
    """Give the paths of a report: the page, the results and the network."""
    return [Path(directory).resolve() / name for name in (PAGE, RESULTS, NETWORK)]


def check_report(directory):
    """Make the directory, and raise unless a report can be made and written there."""
    _make_environment()
    import_pyplot()
    directory = Path(directory).resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"The folder {directory} for the report cannot be made: {error.strerror or error}. "
            "Name another."
        ) from error
    page, results, network = files = report_files(directory)
    for file in files:
        check_writable(file)
    check_replaceable(results)
    is_report = page.is_file() and GENERATOR in page.read_text(encoding="utf-8", errors="replace")
    for file in (page, network):
        if file.exists() and not is_report:
            raise ValueError(
                f"{file} is there already, but not of a report, so it is not replaced. Name "
                "another folder."
            )


def _make_environment():
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(
            "A report needs jinja2. Install the extra 'report': pip install 'imblearn-eos[report]'."
        ) from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: NOTHING if value is None else f"{value:.4f}"
    environment.filters["seconds"] = lambda value: NOTHING if value is None else f"{value:.3f}"
    return environment


def _render(record, results, sampler_of_network):
    template = resources.files("imblearn_eos.compare").joinpath("report.html").read_text("utf-8")
    gaps = _gap_rows(results)
    return (
        _make_environment()
        .from_string(template)
        .render(
            record=record,
            title=_shorten_source(record["data"]["source"]),
            has_network=sampler_of_network is not None,
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
            pictures=_draw(results, gaps),
            sampler_of_network=NAMES.get(sampler_of_network),
        )
    )


def _shorten_source(source):
    """Give the name of a file or folder: where it lies is nobody's business."""
    return Path(source).name if Path(source).is_absolute() else source


def _class_rows(result):
    """Give name, training and test rows of each class, the largest first."""
    test = result.test_counts
    rows = [(name, n_rows, test.get(name, 0)) for name, n_rows in result.train_counts.items()]
    return sorted(rows, key=lambda row: -row[1])


def _score_rows(results):
    """Give a row of each method: its name, and a cell for each metric."""
    for method, summary in summarize(results).items():
        outcomes = [result.methods[method] for result in results]
        n_failed = sum(outcome.error is not None for outcome in outcomes)
        yield Bunch(
            name=NAMES[method],
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
    """Give the kind of a difference to no over-sampling, and words for it; or None."""
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
    """Give four decimals and a sign, but none for zero."""
    text = f"{value:+.4f}"
    return "0.0000" if text in ("+0.0000", "-0.0000") else text


def _calibration_rows(results):
    """Give a row of each method: its name, and a cell for each measure of calibration."""
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
        yield Bunch(name=NAMES[method], is_reference=method == "none", cells=cells)


def _have_same_frequencies(result):
    # What a stratified split gives is within one row of its share.
    return all(
        abs(n_test - result.test_size * (n_test + result.train_counts[name])) <= 1
        for name, n_test in result.test_counts.items()
    )


def _gap_rows(results):
    """Give the mean macro gaps of each sampler."""
    rows = []
    for method in results[0].methods:
        gaps = [result.methods[method].gap for result in results if result.methods[method].gap]
        if gaps:
            means = {name: float(np.mean([gap[name] for gap in gaps])) for name in gaps[0]}
            rows.append(Bunch(method=method, name=NAMES[method], **means))
    return rows


def _second_rows(results):
    for method in results[0].methods:
        outcomes = [r.methods[method] for r in results if r.methods[method].error is None]
        if method in ("network", "logit_adjustment") or not outcomes:
            continue
        yield Bunch(
            name=NAMES[method],
            rows_added=round(mean_and_spread(o.rows_added for o in outcomes)[0]),
            resample=mean_and_spread(o.seconds_resample for o in outcomes)[0],
            refit=mean_and_spread(o.seconds_refit for o in outcomes)[0],
        )


def _draw(results, gap_rows):
    """Give the pictures by name, as data URIs."""
    pictures = {"recall": _picture(_draw_recall(results))}
    shown = "eos" if any(row.method == "eos" for row in gap_rows) else None
    if shown is None and gap_rows:
        shown = gap_rows[-1].method
    if shown is not None:
        display = plotting.GeneralizationGapDisplay(_mean_gap(results, shown)).plot()
        pictures["gap"] = _picture(display.figure_)
    # Without new rows there is nothing to show, and a plane needs two features.
    if shown is not None and results[0].methods[shown].rows_added > 0:
        fitted = results[0].fitted
        if fitted.Z_train.shape[1] > 1:
            with warnings.catch_warnings():
                # The page has them already, from when the sampler ran for the scores.
                warnings.simplefilter("ignore")
                display = plotting.EmbeddingDisplay.from_embeddings(
                    fitted.Z_train, fitted.y_train, fitted.samplers[shown], max_rows=500
                )
            pictures["embeddings"] = _picture(display.figure_)
    pictures["confusion"] = _picture(_draw_confusion(results))
    return Bunch(shown=shown and NAMES[shown], **pictures)


def _draw_recall(results):
    classes = list(results[0].train_counts)
    recalls = {}
    for method in results[0].methods:
        rows = [r.methods[method].recall for r in results if r.methods[method].error is None]
        if rows:
            recalls[NAMES[method]] = np.mean([[row[name] for name in classes] for row in rows], 0)
    counts = np.array(list(results[0].train_counts.values()))
    return plotting.RecallDisplay(recalls, classes=classes, train_counts=counts).plot().figure_


def _mean_gap(results, method):
    """Give a report of the gap whose values are means over the seeds."""
    gaps = [r.methods[method].details.gap for r in results if r.methods[method].error is None]

    def mean(pick):
        values = np.array([pick(gap) for gap in gaps], dtype=np.float64)
        known = ~np.isnan(values)
        total = np.where(known, values, 0).sum(axis=0)
        return np.divide(
            total, known.sum(axis=0), out=np.full(len(total), np.nan), where=known.any(0)
        )

    return Bunch(
        classes=gaps[0].classes,
        train_counts=gaps[0].train_counts,
        added_counts=gaps[0].added_counts,
        test_counts=gaps[0].test_counts,
        before=Bunch(all=mean(lambda gap: gap.before.all)),
        after=Bunch(all=mean(lambda gap: gap.after.all)),
        size_matched=Bunch(all=mean(lambda gap: gap.size_matched.all)),
        label_noise=Bunch(all=mean(lambda gap: gap.label_noise.all)),
    )


def _draw_confusion(results):
    """Draw the matrices, added over seeds, of no over-sampling, EOS and the best other."""
    methods = results[0].methods
    shown = ["none", "eos"] if "eos" in methods else ["none"]
    shown.append(best_rival(results, shown[-1]))
    matrices = {}
    for method in dict.fromkeys(shown):
        found = [
            r.methods[method].details.confusion
            for r in results
            if method in methods and r.methods[method].error is None
        ]
        if found:
            matrices[NAMES[method]] = np.sum(found, axis=0)
    labels = list(results[0].train_counts)
    return plotting.plot_confusion_matrices(matrices, display_labels=labels)[0].figure_


def _picture(figure):
    """Give a figure as a data URI, and close it."""
    import matplotlib

    file = io.BytesIO()
    # Without a date, and with names that are not drawn anew, the same results give the same page.
    with matplotlib.rc_context({"svg.hashsalt": "imblearn-eos"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    import_pyplot().close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
