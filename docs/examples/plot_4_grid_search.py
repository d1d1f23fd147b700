"""
Grid search over K without retraining
=====================================

Set ``memory`` to search samplers and heads without training networks again. The search trains one
network per fold and one for the final fit, whatever the number of candidates.
"""

# %%

import tempfile
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier

from imblearn_eos import make_embedding_pipeline
from imblearn_eos.datasets import load_digits_long_tailed
from imblearn_eos.models import SmallCNN

X_train, X_test, y_train, y_test = load_digits_long_tailed(ratio=20, random_state=0)
net = NeuralNetClassifier(
    SmallCNN,
    module__n_classes=10,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.003,
    max_epochs=10,
    train_split=None,
    iterator_train__shuffle=True,
    verbose=0,
)
# The folder must be private, because it holds pickles. A temporary folder is.
folder = tempfile.TemporaryDirectory()
pipeline = make_embedding_pipeline(net, memory=folder.name, random_state=0)

# %%
# Include ``"passthrough"``, no sampler. Otherwise the search finds the best K, but not whether EOS
# helps.

n_neighbors, n_splits = [5, 10, 20, 50, 100, 200], 4
grid = [
    {"sampler__n_neighbors": n_neighbors, "sampler__enemy_search": ["neighborhood", "nearest"]},
    {"sampler": ["passthrough"]},
]
search = GridSearchCV(pipeline, grid, scoring="balanced_accuracy", cv=n_splits)
start = time.perf_counter()
with warnings.catch_warnings():  # with small K, some digits have no enemies
    warnings.simplefilter("ignore", UserWarning)
    search.fit(X_train, y_train)
seconds = time.perf_counter() - start

results = search.cv_results_
n_fits = len(results["params"]) * n_splits + 1
n_networks = len(list(Path(folder.name).rglob("output.pkl")))
print(f"{n_fits} fits of the pipeline, {n_networks} of a network, in {seconds:.0f} s")
folder.cleanup()
assert n_networks == n_splits + 1

# %%
# Each fold is scored on rows that its network has not seen. Lines are means over the folds, and
# bands are their standard deviations.

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
candidates = results["params"]


def draw(rows, x, label, **style):
    """Draw the mean of candidates and a band of one standard deviation."""
    mean, std = results["mean_test_score"][rows], results["std_test_score"][rows]
    (line,) = ax.plot(x, np.broadcast_to(mean, len(x)), label=label, **style)
    ax.fill_between(x, mean - std, mean + std, alpha=0.15, color=line.get_color(), linewidth=0)


for name, marker, color in (("neighborhood", "o", "#0072B2"), ("nearest", "s", "#D55E00")):
    rows = [i for i, c in enumerate(candidates) if c.get("sampler__enemy_search") == name]
    draw(rows, n_neighbors, f'EOS, enemy_search="{name}"', marker=marker, color=color)
rows = [i for i, c in enumerate(candidates) if c.get("sampler") == "passthrough"]
draw(rows, n_neighbors, "no sampler", color="0.4", linestyle="--")
ax.set(xscale="log", xlabel="n_neighbors (K)", ylabel="Balanced accuracy on held-out rows")
ax.set_xticks(n_neighbors, n_neighbors)
ax.minorticks_off()
ax.legend(loc="lower right")
plt.show()

# %%
# The bands overlap, so this search does not separate most candidates. Score the chosen one once on
# the test images.

print(search.best_params_)
print(f"balanced accuracy on the test images: {search.score(X_test, y_test):.3f}")
