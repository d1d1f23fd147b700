"""Plots of a study by ``cifar_lt.py``."""

import matplotlib.pyplot as plt
import numpy as np
from _study import SHOWN, base_names, class_counts, shown


def plot_study(study, folder):
    """Plot all recipes, and in more detail what was done with networks of cross-entropy."""
    if len(study.recipes) > 1:
        plot_recipes(study, folder / "recipes.png")
    if not shown(study, "CE"):
        return
    plot_methods(study, "CE", folder / "methods.png")
    plot_neighbors(study, "CE", folder / "neighbors.png")
    plot_recall(study, "CE", shown(study, "CE"), folder / "recall.png")


def plot_recipes(study, file):
    """Plot the balanced accuracy of each recipe's network, and what methods make of it."""
    recipes = study.recipes
    figure, axes = plt.subplots(figsize=(7, 0.35 * len(recipes) + 1.2), layout="constrained")
    for name, marker in zip(SHOWN, "osD^v", strict=True):
        points = [study.shared_points(recipe, f"{name}, chosen") for recipe in recipes]
        means = [np.mean(list(found.values())) if found else np.nan for found in points]
        if np.isfinite(means).any():
            axes.plot(means, range(len(recipes)), marker, label=name)
    axes.set(yticks=range(len(recipes)), yticklabels=recipes, ylim=(len(recipes) - 0.5, -0.5))
    axes.set_xlabel("balanced accuracy, points")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, file)


def plot_methods(study, recipe, file):
    """Plot by how much each method is above the network itself."""
    network = (recipe, "network, chosen")
    found = {
        name: list(study.differences((recipe, f"{name}, chosen"), network).values())
        for name in base_names(study, recipe)
        if name != "network"
    }
    names = sorted((name for name in found if found[name]), key=lambda name: np.mean(found[name]))
    figure, axes = plt.subplots(figsize=(7, 0.3 * len(names) + 1.2), layout="constrained")
    for position, name in enumerate(names):
        color = "C3" if name.startswith("EOS") else "C0"
        axes.plot(found[name], [position] * len(found[name]), "o", color=color, alpha=0.35)
        mean = np.mean(found[name])
        axes.plot(mean, position, "|", color=color, markersize=16, markeredgewidth=2)
    axes.set(yticks=range(len(names)), yticklabels=names)
    axes.set_xlabel("points above the network's own head, a dot per subset")
    axes.axvline(0, color="0.6", linewidth=1)
    axes.grid(axis="x", alpha=0.3)
    save(figure, file)


def plot_neighbors(study, recipe, file):
    """Plot EOS by K, beside methods without it."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for color, method in (("C3", "EOS, neighborhood"), ("C1", "EOS, nearest")):
        names = [name for name in study.methods(recipe) if name.startswith(f"{method}, K=")]
        names.sort(key=neighbors_of)
        if names:
            k = [neighbors_of(name) for name in names]
            scores = np.array([list(study.points((recipe, name)).values()) for name in names])
            axes.plot(k, scores, color=color, linewidth=0.7, alpha=0.5)
            axes.plot(k, scores.mean(axis=1), "o-", color=color, label=method)
            axes.set_xscale("log")
            axes.set_xticks(k, k)
    # The network itself is so far below that the rest could not be told apart.
    others = [name for name in shown(study, recipe) if name != "network"]
    for name, style in zip(others, (":", "--", "-.", (0, (8, 2))), strict=False):
        mean = np.mean(list(study.points((recipe, f"{name}, chosen")).values()))
        color = "C3" if name == "EOS" else "C0"
        axes.axhline(mean, color=color, linestyle=style, label=name)
    axes.set(xlabel="K, with the default penalty of the head", ylabel="balanced accuracy, points")
    # Noise of a few tenths must not look like an effect.
    low, high = axes.get_ylim()
    margin = max(0, 4 - (high - low)) / 2
    axes.set_ylim(low - margin, high + margin)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    title = f"straight lines:\nsettings {study.settings}"
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=title)
    save(figure, file)


def neighbors_of(name):
    return int(name.rpartition("=")[2])


def plot_recall(study, recipe, methods, file):
    """Plot recall by class."""
    counts = class_counts(study, recipe)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, marker in zip(methods, "osD^v", strict=False):
        recall = study.mean((recipe, f"{name}, chosen"), lambda row: row["recall"])
        axes.plot(100 * recall, f"{marker}-", label=name)
    axes.set(xlabel="training images of the class", ylabel="recall, %")
    axes.set_xticks(range(len(counts)), counts, fontsize="small")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, file)


def save(figure, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)
