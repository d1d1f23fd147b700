"""Generalization gaps by class, with references that use no learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from imblearn_eos.plotting._axes import (
    BLUE,
    VERMILLION,
    check_axes,
    import_pyplot,
    label_classes,
    width_for,
)

_TEST_ROWS = {
    "all": "all test rows",
    "right": "correctly classified test rows",
    "wrong": "wrongly classified test rows",
}


class GeneralizationGapDisplay:
    r"""Generalization gap of each class, before and after over-sampling, with references.

    Classes are ordered from the most training rows to the fewest, because gaps depend mainly on
    the number of rows. The two references are therefore always drawn. A gap that equals its
    size-matched reference says nothing about the class. Over-sampling that narrows the gap no more
    than label noise does says nothing about the sampler.

    :meth:`from_estimator` makes it of a fitted pipeline. For embeddings, pass the constructor a
    report of :func:`~imblearn_eos.metrics.generalization_gap_report`, and call :meth:`plot`.

    Parameters
    ----------
    report : :class:`~sklearn.utils.Bunch`
        From :func:`~imblearn_eos.metrics.generalization_gap_report`.

    Attributes
    ----------
    before_, after_ : matplotlib Line2D
        Markers of the gaps; NaN for classes without such test rows.

    label_noise_ : matplotlib StepPatch
        Reference for ``after_``.

    size_matched_ : matplotlib StepPatch
        Reference for ``before_``.

    ax_ : matplotlib Axes
        Axes of the plot.

    figure_ : matplotlib Figure
        Figure of these axes.

    See Also
    --------
    imblearn_eos.metrics.generalization_gap_report : The numbers, and how references are defined.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> from imblearn_eos import EOS
    >>> from imblearn_eos.metrics import generalization_gap_report
    >>> from imblearn_eos.plotting import GeneralizationGapDisplay
    >>> X, y = make_classification(n_samples=2000, weights=[0.95], random_state=0)
    >>> Z, Z_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    >>> resampled = EOS(random_state=0).fit_resample(Z, y)
    >>> report = generalization_gap_report(Z, y, *resampled, Z_test, y_test)
    >>> display = GeneralizationGapDisplay(report).plot()
    >>> [label.get_text() for label in display.ax_.get_xticklabels()]
    ['0\n1417', '1\n83']
    """

    def __init__(self, report: Bunch) -> None:
        self.report = report

    @classmethod
    def from_estimator(
        cls,
        pipeline: Any,
        X_test: Any,
        y_test: ArrayLike | None = None,
        *,
        test_rows: str = "all",
        ax: Any = None,
    ) -> GeneralizationGapDisplay:
        """Plot the gaps of a fitted pipeline.

        Parameters
        ----------
        pipeline : EmbeddingPipeline
            Fitted.

        X_test, y_test
            As in :meth:`imblearn_eos.EmbeddingPipeline.generalization_gap`.

        test_rows, ax
            As in :meth:`plot`.

        Returns
        -------
        GeneralizationGapDisplay
        """
        import_pyplot()
        return cls(pipeline.generalization_gap(X_test, y_test)).plot(ax, test_rows=test_rows)

    def plot(self, ax: Any = None, *, test_rows: str = "all") -> GeneralizationGapDisplay:
        """Draw the gaps.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.

        test_rows : {"all", "right", "wrong"}, default="all"
            Which test rows: all, or only the correctly or wrongly classified ones, if the report
            was made with predictions.

        Returns
        -------
        self : GeneralizationGapDisplay

        Raises
        ------
        ValueError
            When the report has no such test rows.
        """
        report = self.report
        if test_rows not in report.before:
            raise ValueError(
                f"test_rows must be one of the report's {list(report.before)}, got {test_rows!r}. "
                "'right' and 'wrong' need predictions: pass y_pred."
            )
        is_new = ax is None
        self.ax_ = ax = check_axes(ax, (width_for(len(report.classes)), 5.5))
        self.figure_ = ax.figure
        order = np.argsort(-report.train_counts, kind="stable")
        x, edges = np.arange(len(order)), np.arange(len(order) + 1) - 0.5
        before, after = report.before[test_rows][order], report.after[test_rows][order]

        # Many markers side by side must be small.
        size = float(np.clip(120 / len(order), 4, 8))
        (self.before_,) = ax.plot(
            x, before, "o", color=BLUE, markersize=size, label="before over-sampling"
        )
        # Steps show the reference of a class even if the classes beside it have no test rows.
        self.size_matched_ = ax.stairs(
            report.size_matched[test_rows][order],
            edges,
            baseline=None,
            color="0.35",
            linestyle=(0, (6, 2)),
            linewidth=1.3,
            label="before, by size alone: largest class cut to this size",
        )
        (self.after_,) = ax.plot(
            x,
            after,
            "D",
            color=VERMILLION,
            markerfacecolor="none",
            markeredgewidth=1.3,
            markersize=size,
            label="after over-sampling",
        )
        self.label_noise_ = ax.stairs(
            report.label_noise[test_rows][order],
            edges,
            baseline=None,
            color=VERMILLION,
            linestyle=(0, (1, 1.5)),
            linewidth=1.8,
            label="after, by label noise: random rows of other classes",
        )
        # matplotlib's own order would separate each reference from its gap.
        handles = [self.before_, self.size_matched_, self.after_, self.label_noise_]
        absent = np.flatnonzero(np.isnan(before))
        if len(absent):
            handles += ax.plot(
                absent,
                np.zeros(len(absent)),
                "x",
                color="0.5",
                markersize=size,
                label="no test rows" if test_rows == "all" else f"no {_TEST_ROWS[test_rows]}",
            )
        label_classes(ax, report.classes[order], report.train_counts[order], grow=is_new)
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylabel(f"Generalization gap\nof {_TEST_ROWS[test_rows]}")
        # Above the axes, where it hides no class.
        ax.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            frameon=False,
        )
        return self
