"""
EOS beside SMOTE and ADASYN in the plane
========================================

Where do new rows go? In two dimensions it can be seen.

SMOTE fills the space between rows of the rare class. ADASYN does the same, with more new rows where
other classes are near. EOS goes from the rare class toward those other classes, and into them.
"""

# %%
# A rare crescent beside a common one. Features have the same scale here; scale yours first.

import matplotlib.pyplot as plt
import numpy as np
from imblearn.over_sampling import ADASYN, SMOTE
from sklearn.datasets import make_moons

from imblearn_eos import EOS
from imblearn_eos.plotting import EmbeddingDisplay

X, y = make_moons(n_samples=(400, 40), noise=0.2, random_state=0)
samplers = {
    "SMOTE": SMOTE(random_state=0),
    "ADASYN": ADASYN(random_state=0),
    "EOS, K = 10": EOS(n_neighbors=10, random_state=0),
    'EOS, K = 10, enemy_search="nearest"': EOS(
        n_neighbors=10, enemy_search="nearest", random_state=0
    ),
}
figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharex=True, sharey=True, layout="constrained")
for ax, (name, sampler) in zip(axes.flat, samplers.items(), strict=True):
    X_resampled, y_resampled = sampler.fit_resample(X, y)
    new = X_resampled[len(X) :]
    ax.scatter(*X[y == 0].T, s=14, color="0.75", label="common")
    ax.scatter(*new.T, s=30, marker="+", linewidth=1, color="#E69F00", label="new rows")
    ax.scatter(*X[y == 1].T, s=26, color="#0072B2", edgecolor="white", label="rare")
    ax.set(title=name, aspect="equal")
figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
# With ``enemy_search="neighborhood"``, the default, only rare rows with a common one among their 10
# nearest rows are bases. They are counted easily, and should be: a handful of bases make all new
# rows alike.

for name, sampler in samplers.items():
    if hasattr(sampler, "base_indices_"):
        print(f"{name}: {len(np.unique(sampler.base_indices_))} of {(y == 1).sum()} are bases")

# %%
# :class:`~imblearn_eos.plotting.EmbeddingDisplay` shows bases, enemies and some of the segments
# between them, on which the new rows lie.

EmbeddingDisplay.from_embeddings(X, y, EOS(n_neighbors=10, random_state=0))
plt.show()

# %%
# Each new row carries the label of its base, also where it lies among enemies. So EOS finds more of
# the rare class, and takes more of the common class for it. Where probabilities matter, or where
# labels are wrong, that does harm: see :doc:`/guide/eos`.
