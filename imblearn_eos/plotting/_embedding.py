"""Where synthetic rows lie between their class and its enemies."""

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from imblearn_eos._validation import label_vector, to_array
from imblearn_eos.plotting._axes import (
    BLUE,
    ORANGE,
    SKY,
    VERMILLION,
    check_axes,
    import_pyplot,
    name_for,
)

# A few dozen segments show how rows come about; more hide them.
_N_SEGMENTS = 30

# In the order of drawing: what there is least of comes last and lies on top.
_STYLES = {
    "others": ("rows of other classes", {"marker": ".", "s": 14, "color": "0.75"}),
    "synthetic": ("synthetic rows", {"marker": "+", "s": 30, "color": ORANGE, "linewidth": 1}),
    "originals": (
        "original rows",
        {"marker": "o", "s": 26, "facecolor": SKY, "edgecolor": "black", "linewidth": 0.6},
    ),
    "enemies": (
        "enemies (other classes)",
        {"marker": "v", "s": 42, "facecolor": VERMILLION, "edgecolor": "black", "linewidth": 0.8},
    ),
    "bases": (
        "bases (original rows)",
        {"marker": "s", "s": 36, "facecolor": BLUE, "edgecolor": "white", "linewidth": 0.8},
    ),
}


class EmbeddingDisplay:
    """Original and synthetic rows of one class, their bases and their enemies, in the plane.

    It is best made with :meth:`from_estimator` or :meth:`from_embeddings`.

    Parameters
    ----------
    groups : dict of str to ndarray of shape (n_rows, 2)
        Points of the groups "others" (rows of other classes), "synthetic" and "originals" (rows of
        the class) and, if the sampler tells them, "bases" and "enemies". No row is in two groups.

    target : object
        Label of the class.

    axis_labels : tuple of str
        What the two coordinates are.

    segments : ndarray of shape (n_synthetic, 2, 2), default=None
        Points of the base and of the enemy of each synthetic row.

    Attributes
    ----------
    scatters_ : dict of str to matplotlib PathCollection
        The points by group, for groups with rows.

    segments_ : matplotlib LineCollection or None
        Lines from bases to enemies, of a few dozen synthetic rows.

    ax_ : matplotlib Axes
        Axes with the picture.

    figure_ : matplotlib Figure
        Figure that holds them.

    Notes
    -----
    A projection shows little of an embedding with many features: rows that lie far apart may fall
    together. The picture is cut to the class and its enemies; rows of other classes that lie beyond
    are not in it.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos import EOS
    >>> from imblearn_eos.plotting import EmbeddingDisplay
    >>> Z, y = make_classification(weights=[0.9], class_sep=0.5, random_state=0)
    >>> display = EmbeddingDisplay.from_embeddings(Z, y, EOS(random_state=0))
    >>> display.target
    1
    >>> list(display.scatters_)
    ['others', 'synthetic', 'enemies', 'bases']
    """

    def __init__(self, groups, *, target, axis_labels=("", ""), segments=None):
        self.groups = groups
        self.target = target
        self.axis_labels = axis_labels
        self.segments = segments

    @classmethod
    def from_estimator(
        cls, pipeline, X, y, *, target=None, projection=None, max_rows=2000, random_state=0, ax=None
    ):
        """Plot what the sampler of a fitted pipeline adds.

        Of training data, and with an int as the sampler's ``random_state``, these are the rows
        that the pipeline was fitted to.

        Parameters
        ----------
        pipeline : EmbeddingPipeline, or another pipeline of imbalanced-learn
            Fitted. The steps before its last sampler embed, transform and resample ``X``.

        X : {array-like, torch.Tensor, torch.utils.data.Dataset} of shape (n_samples, ...)
            Samples, as the pipeline takes them.

        y : {array-like, torch.Tensor} of shape (n_samples,)
            Their labels.

        target, projection, max_rows, random_state, ax
            As in :meth:`from_embeddings`.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        TypeError
            When ``pipeline`` is none, or has no sampler.
        sklearn.exceptions.NotFittedError
            When it is not fitted.
        ValueError
            As in :meth:`from_embeddings`.
        """
        import_pyplot()
        if not isinstance(pipeline, Pipeline):
            raise TypeError(
                f"pipeline is of type {type(pipeline).__name__}. Pass a fitted EmbeddingPipeline, "
                "or embeddings and a sampler to EmbeddingDisplay.from_embeddings."
            )
        samplers = [i for i, (_, s) in enumerate(pipeline.steps) if hasattr(s, "fit_resample")]
        if not samplers:
            raise TypeError(
                f"pipeline has the steps {list(pipeline.named_steps)}, none of which is a sampler. "
                "Pass its embeddings and a sampler to EmbeddingDisplay.from_embeddings."
            )
        check_is_fitted(pipeline)
        Z = X
        for _, step in pipeline.steps[: samplers[-1]]:
            if hasattr(step, "fit_resample"):
                Z, y = clone(step).fit_resample(Z, y)
            elif step not in (None, "passthrough"):
                Z = step.transform(Z)
        return cls.from_embeddings(
            Z,
            y,
            pipeline.steps[samplers[-1]][1],
            target=target,
            projection=projection,
            max_rows=max_rows,
            random_state=random_state,
            ax=ax,
        )

    @classmethod
    def from_embeddings(
        cls,
        Z,
        y,
        sampler,
        *,
        target=None,
        projection=None,
        max_rows=2000,
        random_state=0,
        ax=None,
    ):
        """Plot what a sampler adds to embeddings.

        Parameters
        ----------
        Z : {array-like, torch.Tensor} of shape (n_samples, n_features)
            Embeddings, or any numeric features.

        y : {array-like, torch.Tensor} of shape (n_samples,)
            Their labels.

        sampler : over-sampler of imbalanced-learn's kind
            It is cloned. Bases and enemies are shown if it has ``base_indices_`` and
            ``enemy_indices_`` then, as :class:`~imblearn_eos.EOS` has.

        target : object, default=None
            Label of the class to show. None takes that with the most synthetic rows, of several
            the first.

        projection : transformer, default=None
            Maps rows to the plane: it is cloned, fitted to the original rows of the class and
            its enemies (to all original rows where there are none), and transforms all rows. None
            means :class:`~sklearn.decomposition.PCA`, or nothing if ``Z`` has two features.

        max_rows : int, default=2000
            Most rows to draw of each group.

        random_state : int, RandomState instance or None, default=0
            Chooses which.

        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        TypeError
            When ``sampler`` has no ``fit_resample``, or ``projection`` no ``transform``.
        ValueError
            When ``Z`` and ``y`` differ in length or ``Z`` has a single feature, when the sampler
            changes original rows or adds none to ``target``, or when the projection does not give
            two columns.
        """
        import_pyplot()
        if not hasattr(sampler, "fit_resample"):
            raise TypeError(
                f"sampler is {sampler!r}, which has no method fit_resample. Pass an over-sampler, "
                "for example EOS()."
            )
        Z, y = _check_rows(Z, y)
        sampler = clone(sampler)
        Z_resampled, y_resampled = sampler.fit_resample(Z, y)
        if not np.array_equal(Z_resampled[: len(Z)], Z):
            raise ValueError(
                f"sampler {sampler!r} changes or drops original rows, so that synthetic ones "
                "cannot be told from them. Use one that only adds rows below them, such as EOS or "
                "SMOTE."
            )
        target = _check_target(target, y_resampled[len(Z) :], sampler)
        synthetic = np.flatnonzero(y_resampled[len(Z) :] == target)
        in_target, indices = y == target, {}
        base = enemy = None
        if hasattr(sampler, "base_indices_") and hasattr(sampler, "enemy_indices_"):
            base, enemy = sampler.base_indices_[synthetic], sampler.enemy_indices_[synthetic]
            indices = {"bases": np.unique(base), "enemies": np.unique(enemy)}
        rest = np.full(len(Z), True)
        rest[np.concatenate([[], *indices.values()]).astype(int)] = False
        indices["originals"] = np.flatnonzero(rest & in_target)
        indices["others"] = np.flatnonzero(rest & ~in_target)
        indices["synthetic"] = len(Z) + synthetic

        rows = Z if enemy is None else Z[np.union1d(np.flatnonzero(in_target), enemy)]
        points, axis_labels = _project(projection, rows, Z_resampled, random_state)
        return cls(
            {name: points[i] for name, i in indices.items()},
            target=target,
            axis_labels=axis_labels,
            segments=None if base is None else np.stack([points[base], points[enemy]], axis=1),
        ).plot(ax, max_rows=max_rows, random_state=random_state)

    def plot(self, ax=None, *, max_rows=2000, random_state=0):
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a new figure.

        max_rows : int, default=2000
            Most rows to draw of each group; of larger groups a random part is drawn, which the
            legend says.

        random_state : int, RandomState instance or None, default=0
            Chooses which rows, and which synthetic rows have a line from base to enemy.

        Returns
        -------
        self : EmbeddingDisplay

        Raises
        ------
        ValueError
            When ``max_rows`` is below 1, or ``groups`` has others than those of this class.
        """
        if max_rows < 1:
            raise ValueError(f"max_rows is {max_rows!r}. Draw at least 1 row of each group.")
        unknown = set(self.groups) - set(_STYLES)
        if unknown:
            raise ValueError(f"groups has {sorted(unknown)}; it may have {list(_STYLES)}.")
        self.ax_ = ax = check_axes(ax, (7, 6))
        self.figure_ = ax.figure
        random_state = check_random_state(random_state)
        self.scatters_ = {}
        n_rows = sum(min(len(p), max_rows) for name, p in self.groups.items() if name != "others")
        shrink = np.clip(400 / n_rows, 0.4, 1)  # Of the area of the markers.
        for zorder, (name, (label, style)) in enumerate(_STYLES.items(), start=2):
            points = self.groups.get(name, ())
            if len(points):
                label = f"{label} ({_count(len(points), max_rows)})"
                points = _draw(points, max_rows, random_state)
                style = {**style, "s": shrink * style["s"]}
                self.scatters_[name] = ax.scatter(*points.T, label=label, zorder=zorder, **style)
        self.segments_ = None
        if self.segments is not None:
            from matplotlib.collections import LineCollection

            self.segments_ = LineCollection(
                _draw(self.segments, _N_SEGMENTS, random_state),
                color="0.3",
                linewidth=0.6,
                zorder=2.5,
                label="from a base to its enemy (some)",
            )
            ax.add_collection(self.segments_, autolim=False)
        self._focus(ax)
        ax.set(
            xlabel=self.axis_labels[0],
            ylabel=self.axis_labels[1],
        )
        # Above the axes, where it hides no row.
        ax.legend(
            title=f"Class {name_for(self.target)}",
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=2,
            markerscale=shrink**-0.5,
            frameon=False,
        )
        return self

    def _focus(self, ax):
        """Set limits to the class and its enemies, wherever rows of other classes are."""
        points = np.concatenate([p for name, p in self.groups.items() if name != "others"])
        low, high = points.min(axis=0), points.max(axis=0)
        margin = 0.08 * np.maximum(high - low, 1e-9)
        (left, bottom), (right, top) = low - margin, high + margin
        # With auto=False, matplotlib would log that equal units need wider limits than these.
        ax.set_xlim(left, right, auto=True)
        ax.set_ylim(bottom, top, auto=True)
        ax.set_aspect("equal", adjustable="datalim")


def _check_rows(Z, y):
    Z = check_array(to_array(Z), dtype=[np.float64, np.float32], input_name="Z")
    y = column_or_1d(label_vector(y))
    if len(y) != len(Z):
        raise ValueError(f"y has {len(y)} labels, but Z has {len(Z)} rows. Give one for each.")
    if Z.shape[1] < 2:
        raise ValueError("Z has 1 feature; a picture in the plane needs at least 2.")
    return Z, y


def _check_target(target, y_synthetic, sampler):
    labels, counts = np.unique(y_synthetic, return_counts=True)
    if not len(labels):
        raise ValueError(
            f"sampler {sampler!r} added no rows, so there is nothing to show. Set its "
            "sampling_strategy to the numbers of rows that classes should have."
        )
    if target is None:
        return labels.tolist()[counts.argmax()]
    if target not in labels.tolist():
        raise ValueError(
            f"target is {target!r}, but the sampler added rows to the classes {labels.tolist()} "
            "only. Choose one of them."
        )
    return target


def _project(projection, rows, Z, random_state):
    """Give the rows of Z in the plane, as the projection fitted to ``rows`` has them."""
    if projection is None and Z.shape[1] == 2:
        return Z, ("First feature", "Second feature")
    if projection is None:
        pca = PCA(2, random_state=random_state).fit(rows)
        shares = 100 * pca.explained_variance_ratio_
        first, second = (f"{share:.0f} % of variance" for share in shares)
        axis_labels = f"First principal component ({first})", f"Second ({second})"
        return pca.transform(Z), axis_labels
    name = type(projection).__name__
    if not hasattr(projection, "fit") or not hasattr(projection, "transform"):
        raise TypeError(
            f"projection is {projection!r}, which has no fit and transform for new rows. Use one "
            "that has, such as sklearn.decomposition.PCA(2) or umap.UMAP()."
        )
    points = np.asarray(clone(projection).fit(rows).transform(Z))
    if points.shape != (len(Z), 2):
        raise ValueError(
            f"projection {projection!r} gives an array of shape {points.shape} for {len(Z)} rows. "
            "Set it to 2 components."
        )
    return points, (f"{name} 1", f"{name} 2")


def _draw(rows, max_rows, random_state):
    if len(rows) <= max_rows:
        return rows
    return rows[random_state.choice(len(rows), max_rows, replace=False)]


def _count(n_rows, max_rows):
    return f"{n_rows}" if n_rows <= max_rows else f"{max_rows} of {n_rows}"
