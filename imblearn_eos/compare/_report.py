"""The report: a page that needs no internet connection and no scripts, and the model beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from imblearn_eos._extras import import_extra
from imblearn_eos.compare import _page
from imblearn_eos.compare._card import render_card
from imblearn_eos.compare._examples import find_examples
from imblearn_eos.compare._files import write_json, write_text
from imblearn_eos.compare._measures import ACCURACY, F1, main_measure
from imblearn_eos.compare._models import CARD, MODEL_FILES, SavedModel, write_model
from imblearn_eos.compare._notes import format_notes, format_settings
from imblearn_eos.compare._pictures import MAX_CONFUSED, draw
from imblearn_eos.compare._recommend import is_near_chance, validation_means
from imblearn_eos.compare._refit import RefittedModel, refit_recommended
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._statistics import as_list, mean_and_spread, metrics_of
from imblearn_eos.compare._summary import choose_method, measure_fit
from imblearn_eos.compare._templates import render
from imblearn_eos.compare._text import (
    format_advice,
    format_guess,
    format_headline,
    format_threshold,
    phrase_of,
    unit_of,
)
from imblearn_eos.datasets._labeled import LabeledData, describe_left_out

PAGE, RESULTS = "report.html", "results.json"
INTERRUPTED = (
    "The run was interrupted before the recommended model was fitted. Run it to its end, or with "
    "fewer --seeds."
)
# Names of features on the page.
MAX_FEATURES = 100


def write_report(
    directory: str | os.PathLike,
    record: dict[str, Any],
    results: Iterable[SeedResult],
    data: LabeledData | None = None,
    model: RefittedModel | None = None,
) -> Path:
    """Write a page that shows a comparison, and beside it the results and the model to use.

    Parameters
    ----------
    directory : str or path-like
        Where to write. It is made if it does not exist; existing files of these names are
        replaced:

        - ``report.html``, the page, and ``results.json``, all figures;
        - the model: ``network.pt`` of a trained network, ``head.safetensors`` of a linear head on
          embeddings, or else ``pipeline.skops``;
        - ``load.py``, which loads it, and ``README.md``, its model card.
    record : dict
        What is needed to repeat the run, from `make_record`.
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`; the first one with its ``fitted``.
    data : LabeledData or None, default=None
        The rows of the comparison, for thumbnails and names of single rows.
    model : RefittedModel or None, default=None
        The model to save. None means that of `refit_recommended`; there is none if the record says
        that the run is not complete.

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
    return write_files(directory, record, results, data, model)[0]


def write_files(directory, record, results, data=None, model=None):
    """Do what `write_report` does, and return the page and the `SavedModel`."""
    results = as_list(results)
    with prepare_report(directory):
        return _write(directory, record, results, data, model)


def _write(directory, record, results, data, model):
    page, results_file, *_ = files = report_files(directory)
    # A page or a model of an earlier report must not stand beside new results.
    for file in files:
        file.unlink(missing_ok=True)
    write_json(results_file, record, results)
    method = choose_method(results)
    saved = _write_model(page.parent, record, results, model)
    content = {
        "record": record,
        "saved": saved,
        "title": _page.shorten_source(record["data"]["source"]),
        "headline": format_headline(results),
        "advice": format_advice(results),
        "notes": [*_list_left_out(record["data"]), *format_notes(results)],
        "settings": list(format_settings(results)),
        "scoring": main_measure(results).name,
        "threshold": format_threshold(results),
        "guess": format_guess(results),
        "rare": _page.describe_rare(results),
        "unit": unit_of(results),
    }
    write_text(page.parent / CARD, render_card(results, method, **content))
    write_text(page, _render(results, method, data, **content))
    return page, saved


def _write_model(directory, record, results, model):
    """Fit the model unless there is one, and write it; a failure does not stop the report."""
    if not record["complete"]:
        return SavedModel(None, problem=INTERRUPTED)
    try:
        model = model or refit_recommended(results)
    except ValueError as error:
        return SavedModel(None, problem=str(error))
    return write_model(directory, record, model, unit_of(results))


def _list_left_out(facts):
    """Return a sentence on the photos or texts that could not be read, in a list; empty if none."""
    unreadable = facts.get("unreadable")
    return (
        [describe_left_out(unreadable, facts["shape"][0], facts["embedded"])] if unreadable else []
    )


def report_files(directory: str | os.PathLike) -> list[Path]:
    """Return the paths that a report may write: the page, the results, and the model's files."""
    return [Path(directory).resolve() / name for name in (PAGE, RESULTS, *MODEL_FILES)]


@contextmanager
def prepare_report(directory: str | os.PathLike) -> Iterator[None]:
    """Make the directory of a report, for checks, and remove it again if nothing was written.

    An error is raised if it cannot be made, or if a package of the extra is missing.
    """
    for package in ("jinja2", "matplotlib"):
        import_extra(package, "report")
    directory = Path(directory).resolve()
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        # A folder that was not made, or holds something by now, cannot be removed.
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()


def _render(results, method, data, **content):
    gaps, first = _page.gap_rows(results), results[0]
    return render(
        "report.html",
        **content,
        method_name=phrase_of(method),
        measure=main_measure(results),
        others=[other.metric for other in (ACCURACY, F1) if other != main_measure(results)],
        units=_page.describe_units(results),
        results_file=RESULTS,
        first=first,
        n_seeds=len(results),
        has_network=first.train_loss is not None,
        is_validated=bool(validation_means(results)),
        validation=_page.describe_validation(first),
        adjustment=_page.describe_adjustment(results),
        dots=_page.place_dots(results),
        score_rows=_page.score_rows(results),
        class_rows=_page.class_rows(first),
        max_open=_page.MAX_OPEN,
        max_confused=MAX_CONFUSED,
        max_features=MAX_FEATURES,
        # Compared with itself, nothing changes: near chance, no row counts as corrected.
        examples=find_examples(results, "none" if is_near_chance(results) else method, data),
        seconds_train=mean_and_spread(result.seconds_train for result in results)[0],
        seconds_embed=mean_and_spread(result.seconds_embed for result in results)[0],
        fit=measure_fit(results).train,
        metric_names=[name.replace("_", " ").replace("f1", "F1") for name in metrics_of(results)],
        detail_rows=list(_page.detail_rows(results)),
        same_frequencies=_page.have_same_frequencies(first),
        gap_rows=gaps,
        second_rows=_page.second_rows(results),
        pictures=draw(results, gaps, method),
    )
