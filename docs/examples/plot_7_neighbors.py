"""
Exact neighbors for any sampler
===============================

Pass :class:`~imblearn_eos.TorchNearestNeighbors` to samplers of imbalanced-learn to search large
data faster. It finds the same neighbors as scikit-learn, so the new rows are the same.
"""

# %%

import time

import matplotlib.pyplot as plt
import numpy as np
from imblearn.over_sampling import ADASYN
from sklearn.datasets import make_blobs
from sklearn.neighbors import NearestNeighbors

from imblearn_eos import TorchNearestNeighbors

X, y = make_blobs(20_000, n_features=32, centers=60, cluster_std=6, random_state=0)
y = (y % 10 == 0).astype(int)
few = slice(0, 4000)
theirs = ADASYN(random_state=0).fit_resample(X[few], y[few])
# By imbalanced-learn's convention, the object is set to one neighbor more: a row finds itself.
sampler = ADASYN(n_neighbors=TorchNearestNeighbors(n_neighbors=6), random_state=0)
ours = sampler.fit_resample(X[few], y[few])
print("same rows:", np.array_equal(ours[0], theirs[0]), np.array_equal(ours[1], theirs[1]))

# %%
# The figure shows the time to find the 11 nearest rows of every row. It is from a single run while
# this page was built; see :doc:`/benchmarks` for careful measurements. The compiled loops of the
# extra ``fast`` are used once all searches have taken about a second; before, scikit-learn can be
# faster.


def seconds(neighbors, n_rows):
    """Return the seconds that the second of two searches takes."""
    for _ in range(2):
        start = time.perf_counter()
        neighbors.fit(X[:n_rows]).kneighbors(X[:n_rows])
        elapsed = time.perf_counter() - start
    return elapsed


sizes = [1250, 2500, 5000, 10_000, 20_000]
searches = {
    "scikit-learn, default": NearestNeighbors(n_neighbors=11),
    "scikit-learn, brute force": NearestNeighbors(n_neighbors=11, algorithm="brute"),
    "TorchNearestNeighbors": TorchNearestNeighbors(n_neighbors=11),
}
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for (name, neighbors), marker in zip(searches.items(), "^so", strict=True):
    ax.plot(sizes, [seconds(neighbors, n) for n in sizes], marker=marker, label=name)
ax.set(xscale="log", yscale="log", xlabel="Rows, of 32 features", ylabel="Seconds")
ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
ax.minorticks_off()
ax.legend()
plt.show()
