"""
EOS, SMOTE and ADASYN in two dimensions
=======================================

See where each sampler draws new rows before you choose one.

SMOTE fills the space between rows of the rare class. ADASYN does the same, with more new rows where
other classes are near. EOS draws new rows from the rare class toward the other classes.
"""

# %%
# The data are two crescents, one rare and one common. Their features have the same scale. Scale
# your own features first.

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
# Count the bases: with only a handful, all new rows are alike. With the default
# ``enemy_search="neighborhood"``, a rare row is a base if one of its 10 nearest rows is common.

for name, sampler in samplers.items():
    if hasattr(sampler, "base_indices_"):
        print(f"{name}: {len(np.unique(sampler.base_indices_))} of {(y == 1).sum()} are bases")

# %%
# :class:`~imblearn_eos.plotting.EmbeddingDisplay` shows bases, enemies and some of the segments
# between them. New rows lie on these segments.

EmbeddingDisplay.from_embeddings(X, y, EOS(n_neighbors=10, random_state=0))
plt.show()

# %%
# Each new row has the label of its base, even where it lies among enemies. A classifier then finds
# more rare rows and makes more false alarms. This is harmful where you need probabilities or where
# labels are wrong: see :doc:`/guide/eos`.
