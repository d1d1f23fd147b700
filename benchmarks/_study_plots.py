"""The figures of the CIFAR-10 study's pages."""

import hashlib

import matplotlib.pyplot as plt
import numpy as np
from _study_methods import METHODS

SHOWN = ("network", "SMOTE", "logit adjustment", "plain refit + logit adjustment", "EOS")
MARKERS = dict(zip(SHOWN, "osD^v", strict=True))


def methods_data(columns):
    """Return balanced accuracies by method, column and subset."""
    return {
        name: {column.title: list(column.points(f"{name}, tuned").values()) for column in columns}
        for name in SHOWN
    }


def plot_methods(data):
    """Plot what methods make of each column's networks, a faint dot per subset."""
    titles = list(data["network"])
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(titles) + 1.2), layout="constrained")
    for name, of_column in data.items():
        color = "C3" if name == "EOS" else f"C{(0, 1, 2, 4)[SHOWN.index(name)]}"
        means = [np.mean(points) if points else np.nan for points in of_column.values()]
        axes.plot(means, range(len(titles)), MARKERS[name], color=color, label=name)
        for position, points in enumerate(of_column.values()):
            axes.plot(points, [position] * len(points), ".", color=color, alpha=0.3)
    axes.set(yticks=range(len(titles)), yticklabels=titles, ylim=(len(titles) - 0.5, -0.5))
    axes.set_xlabel("balanced accuracy on the test images, points")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def neighbors_data(columns):
    """Return balanced accuracies of EOS by column, search and K, means over subsets."""
    return {
        column.title: {
            search: {
                str(setting["n_neighbors"]): np.mean(list(column.points(name).values()))
                for setting in METHODS[f"EOS, {search}"].fixed
                if (name := f"EOS, {search}, K={setting['n_neighbors']}") in column.rows
            }
            for search in ("neighborhood", "nearest")
        }
        for column in columns
    }


def plot_neighbors(data):
    """Plot the balanced accuracy of EOS by K."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for number, (title, searches) in enumerate(data.items()):
        for (search, scores), style in zip(searches.items(), ("o-", "s--"), strict=True):
            k = sorted(map(int, scores))
            points = [scores[str(neighbors)] for neighbors in k]
            axes.plot(k, points, style, color=f"C{number}", label=f"{title}, {search}")
            axes.set_xscale("log")
            axes.set_xticks(k, k)
    axes.set(xlabel="K, with the default penalty of the head", ylabel="balanced accuracy, points")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return figure


FIGURES = {"methods": (methods_data, plot_methods), "neighbors": (neighbors_data, plot_neighbors)}


def digest_of(data):
    """Compute what tells whether a figure shows these data."""
    return hashlib.sha256(repr(_rounded(data)).encode()).hexdigest()


def _rounded(value):
    if isinstance(value, dict):
        return {name: _rounded(v) for name, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else round(float(value), 6)


def is_current(file, data):
    """Return whether a file of a figure shows these data."""
    return file.exists() and digest_of(data).encode() in file.read_bytes()


def save(figure, file, data):
    """Save a figure, and in its file what data it shows."""
    figure.savefig(file, dpi=100, metadata={"Comment": digest_of(data)})
    plt.close(figure)
