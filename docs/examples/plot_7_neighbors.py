"""
Exact neighbours for any sampler
================================

:class:`~imblearn_eos.TorchNearestNeighbors` takes the place of scikit-learn's neighbours in
samplers of imbalanced-learn. The neighbours are the same, so the new rows are, too.
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
# By imbalanced-learn's convention, an object is set to one more: each row finds itself.
sampler = ADASYN(n_neighbors=TorchNearestNeighbors(n_neighbors=6), random_state=0)
ours = sampler.fit_resample(X[few], y[few])
print("same rows:", np.array_equal(ours[0], theirs[0]), np.array_equal(ours[1], theirs[1]))

# %%
# How long does a search take? All rows are searched for the 11 nearest of each. What you see is one
# run while this page was built, perhaps on a busy machine; :doc:`/benchmarks` has figures that were
# taken with care. Below about 16,000 rows the compiled loops of the extra ``fast`` are not loaded,
# and scikit-learn can be the faster one.


def seconds(neighbors, n_rows):
    """Time a search, the second of two."""
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
