"""Statistics of methods over many data sets: ranks, paired tests, critical differences."""

import numpy as np
from scipy import stats


def mean_ranks(scores):
    """Return the mean rank of each column, 1 for the best; ties share a rank.

    Parameters
    ----------
    scores : ndarray of shape (n_sets, n_methods)
    """
    return stats.rankdata(-scores.round(12), axis=1).mean(axis=0)


def friedman(scores):
    """Return the p value of Friedman's test that no method differs."""
    return float(stats.friedmanchisquare(*scores.round(12).T).pvalue)


def critical_difference(n_sets, n_methods, level=0.05):
    """Return the difference of mean ranks that is significant by Nemenyi's test."""
    quantile = stats.studentized_range.ppf(1 - level, n_methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_sets)))


def paired(scores, others):
    """Compare two methods on the same data sets.

    Returns
    -------
    dict
        The mean "difference", the bounds "low" and "high" of its 95 % t interval, "wins" and
        "losses", and "p" of Wilcoxon's signed-rank test.
    """
    differences = (scores - others).round(12)
    n, mean = len(differences), differences.mean()
    margin = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return {
        "difference": float(mean),
        "low": float(mean - margin),
        "high": float(mean + margin),
        "wins": int((differences > 0).sum()),
        "losses": int((differences < 0).sum()),
        "p": float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0,
    }


def format_interval(found):
    """Return a difference that `paired` found, with its interval."""
    return f"{found['difference']:+.1f} ({found['low']:+.1f} to {found['high']:+.1f})"


def groups(ranks, difference):
    """Return the longest runs (first, last) of sorted ranks that do not differ by more."""
    ends = [int(np.flatnonzero(ranks <= rank + difference)[-1]) for rank in ranks]
    return [
        (first, last)
        for first, last in enumerate(ends)
        if last > first and (first == 0 or last > ends[first - 1])
    ]


def plot_ranks(scores, names, file, title=""):
    """Draw a critical-difference plot: methods by mean rank, bars join those that do not differ."""
    from matplotlib.figure import Figure

    order = np.argsort(mean_ranks(scores), kind="stable")
    ranks, n_methods = mean_ranks(scores)[order], len(names)
    difference = critical_difference(*scores.shape)
    figure = Figure(figsize=(7, 1.2 + 0.25 * n_methods), layout="constrained")
    axes, offset = figure.add_subplot(), {"textcoords": "offset points"}
    for row, (rank, index) in enumerate(zip(ranks, order, strict=True)):
        axes.plot(rank, row, "o", color="black")
        axes.annotate(
            f"{names[index]}  {rank:.2f}", (rank, row), (8, -3), textcoords="offset points"
        )
    for first, last in groups(ranks, difference):
        axes.plot([ranks[first]] * 2, [first, last], color="tab:blue", linewidth=3, alpha=0.5)
    # The bar of the critical difference lies above all methods.
    axes.errorbar(1 + difference / 2, -1, xerr=difference / 2, capsize=4)
    axes.annotate(f"critical difference  {difference:.2f}", (1 + difference, -1), (8, -3), **offset)
    axes.set(ylim=(n_methods - 0.5, -1.6), xlim=(0.5, n_methods + 1), yticks=[])
    axes.set(xlabel="mean rank, 1 is best", title=title)
    figure.savefig(file)
