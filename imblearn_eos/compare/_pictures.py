"""The pictures of the report."""

import base64
import io
import warnings

import numpy as np
from sklearn.utils import Bunch

from imblearn_eos import plotting
from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._summary import order_methods
from imblearn_eos.compare._text import unit_of
from imblearn_eos.plotting._axes import import_pyplot

# Classes in the confusion matrix; more are unreadable.
MAX_CONFUSED = 15


def draw(results, gap_rows, method):
    """Return the pictures of a report by name, as data URIs.

    ``shown`` is the name of the sampler in the pictures of the gap: EOS, or else the first one.
    """
    pictures, with_gap = {}, [row.method for row in gap_rows]
    samplers = [name for name in with_gap if name != "none"] or with_gap
    shown = "eos" if "eos" in with_gap else samplers[0] if samplers else None
    if shown is not None:
        display = plotting.GeneralizationGapDisplay(_mean_gap(results, shown)).plot()
        pictures["gap"] = _picture(_name_rows(display.figure_, results))
        pictures["embeddings"] = _draw_embeddings(results[0], shown)
    confusion = _draw_confusion(results, method)
    if confusion is not None:
        recall = _name_rows(_draw_recall(results), results)
        pictures.update(confusion=_picture(confusion), recall=_picture(recall))
    return Bunch(shown=shown and find_method(shown).name, **pictures)


def _draw_embeddings(result, method):
    """Draw new rows among the old in a plane, or return None where there is nothing to show."""
    fitted = result.fitted
    # Without new rows there is nothing to show, and a plane needs two features.
    if fitted is None or not result.methods[method].rows_added or fitted.Z_train.shape[1] < 2:
        return None
    with warnings.catch_warnings():
        # The page lists them already: the sampler ran before, for the scores.
        warnings.simplefilter("ignore")
        display = plotting.EmbeddingDisplay.from_embeddings(
            fitted.Z_train, fitted.y_train, fitted.samplers[method], max_rows=500
        )
    return _picture(display.figure_)


def _draw_recall(results):
    classes = list(results[0].train_counts)
    recalls = {}
    for method in order_methods(results):
        rows = [r.methods[method].recall for r in results if r.methods[method].recall]
        if rows:
            recalls[find_method(method).name] = np.mean(
                [[row[name] for name in classes] for row in rows], 0
            )
    counts = np.array(list(results[0].train_counts.values()))
    return plotting.RecallDisplay(recalls, classes=classes, train_counts=counts).plot().figure_


def _name_rows(figure, results):
    """Let the axis of the classes say what a row is, for example photos."""
    for ax in figure.axes:
        ax.set_xlabel(ax.get_xlabel().replace("rows", unit_of(results)))
    return figure


def _mean_gap(results, method):
    """Return a report of the gap with the means over the seeds."""
    gaps = [r.methods[method].details.gap for r in results if "gap" in r.methods[method].details]

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


def _draw_confusion(results, method):
    """Draw one large matrix of a method, summed over the seeds, or None without test rows."""
    found = [
        result.methods[method].details.confusion
        for result in results
        if "confusion" in result.methods[method].details
    ]
    if not found:
        return None
    matrix, names = _most_confused(np.sum(found, axis=0), results[0].train_counts)
    side = float(np.clip(3 + 0.5 * len(names), 5.5, 9.5))
    _, ax = import_pyplot().subplots(figsize=(side, 0.9 * side), layout="compressed")
    [display] = plotting.plot_confusion_matrices(
        {find_method(method).name: matrix}, display_labels=names, axes=ax
    )
    return display.figure_


def _most_confused(matrix, train_counts):
    """Return the matrix of the classes with most errors and their names, the largest class first.

    All others are added up in one more row and column, so that the shares of a row stay right.
    """
    names, counts = list(train_counts), np.array(list(train_counts.values()))
    errors = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal()
    kept = np.argsort(-errors, kind="stable")[:MAX_CONFUSED]
    kept = kept[np.argsort(-counts[kept], kind="stable")]
    shown = [names[i] for i in kept]
    if len(names) == len(kept):
        return matrix[np.ix_(kept, kept)], shown
    place = np.full(len(names), len(kept))
    place[kept] = np.arange(len(kept))
    merged = np.zeros((len(kept) + 1, len(kept) + 1), dtype=matrix.dtype)
    np.add.at(merged, (place[:, np.newaxis], place), matrix)
    return merged, [*shown, f"{len(names) - len(kept)} others"]


def _picture(figure):
    """Return a figure as a data URI, and close it."""
    import matplotlib

    file = io.BytesIO()
    # Without a date and random names, the same results give the same page.
    with matplotlib.rc_context({"svg.hashsalt": "imblearn-eos"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    import_pyplot().close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
