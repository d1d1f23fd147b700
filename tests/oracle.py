"""EOS and nearest neighbors in plain NumPy: the reference for the tests of the package."""

import numpy as np


def squared_distances(queries, rows):
    queries, rows = np.asarray(queries, dtype=float), np.asarray(rows, dtype=float)
    return np.array([((row - rows) ** 2).sum(axis=1) for row in queries])


def neighbors(queries, rows, k, *, exclude_self=False):
    """Distances and indices of the k nearest rows, ties by index."""
    squared = squared_distances(queries, rows)
    if exclude_self:
        np.fill_diagonal(squared, np.inf)
    indices = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squared, indices, axis=1)), indices


def enemies(X, y, label, k, enemy_search):
    """Map each base of a class to the sorted list of its enemies."""
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    found = {}
    for i in np.flatnonzero(y == label):
        squared = ((X - X[i]) ** 2).sum(axis=1)
        order = [j for j in np.argsort(squared, kind="stable") if j != i]
        if enemy_search == "nearest":
            order = [j for j in order if y[j] != label]
        mine = sorted(int(j) for j in order[:k] if y[j] != label)
        if mine:
            found[int(i)] = mine
    return found


def eos(X, y, *, k, enemy_search, to_add, seed, max_step=1.0):
    """Bases, enemies, steps, rows and labels, drawn one after the other as the method says."""
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    random_state = np.random.RandomState(seed)
    bases, targets, steps, labels = [], [], [], []
    for label in sorted(to_add):
        if to_add[label] == 0:
            continue
        found = enemies(X, y, label, k, enemy_search) or enemies(X, y, label, k, "nearest")
        candidates = sorted(found)
        drawn = [candidates[i] for i in random_state.randint(len(candidates), size=to_add[label])]
        sizes = [len(found[b]) for b in drawn]
        positions = random_state.randint(sizes)
        bases += drawn
        targets += [found[b][i] for b, i in zip(drawn, positions, strict=True)]
        steps += list(max_step * random_state.uniform(size=to_add[label]))
        labels += [label] * to_add[label]
    bases, targets = np.array(bases, dtype=int), np.array(targets, dtype=int)
    steps = np.array(steps)
    rows = X[bases] + steps[:, None] * (X[targets] - X[bases])
    return bases, targets, steps, rows, np.array(labels)


def three_classes(seed=0, sizes=(60, 25, 12), d=4, spread=1.0):
    """Overlapping Gaussian classes 0, 1 and 2 to over-sample."""
    random_state = np.random.RandomState(seed)
    y = random_state.permutation(np.repeat([0, 1, 2], sizes))
    return random_state.randn(len(y), d) + spread * y[:, None], y
