"""The pictures of the report."""

import base64
import io
import warnings

import numpy as np
from sklearn.utils import Bunch

from imblearn_eos import plotting
from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._statistics import best_rival
from imblearn_eos.plotting._axes import import_pyplot


def draw(results, gap_rows):
    """Return the pictures of a report by name, as data URIs."""
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
                # The page lists them already: the sampler ran before, for the scores.
                warnings.simplefilter("ignore")
                display = plotting.EmbeddingDisplay.from_embeddings(
                    fitted.Z_train, fitted.y_train, fitted.samplers[shown], max_rows=500
                )
            pictures["embeddings"] = _picture(display.figure_)
    pictures["confusion"] = _picture(_draw_confusion(results))
    return Bunch(shown=shown and find_method(shown).name, **pictures)


def _draw_recall(results):
    classes = list(results[0].train_counts)
    recalls = {}
    for method in results[0].methods:
        rows = [r.methods[method].recall for r in results if r.methods[method].error is None]
        if rows:
            recalls[find_method(method).name] = np.mean(
                [[row[name] for name in classes] for row in rows], 0
            )
    counts = np.array(list(results[0].train_counts.values()))
    return plotting.RecallDisplay(recalls, classes=classes, train_counts=counts).plot().figure_


def _mean_gap(results, method):
    """Return a report of the gap with the means over the seeds."""
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
    """Draw the matrices of no over-sampling, EOS and the best other, summed over the seeds."""
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
            matrices[find_method(method).name] = np.sum(found, axis=0)
    labels = list(results[0].train_counts)
    return plotting.plot_confusion_matrices(matrices, display_labels=labels)[0].figure_


def _picture(figure):
    """Return a figure as a data URI, and close it."""
    import matplotlib

    file = io.BytesIO()
    # Without a date and random names, the same results give the same page.
    with matplotlib.rc_context({"svg.hashsalt": "imblearn-eos"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    import_pyplot().close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
