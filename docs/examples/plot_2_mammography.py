"""
Mammography: EOS on a table
===========================

EOS was designed for the embeddings of a network, but it works on any numeric table. This example
tunes SMOTE, ADASYN and EOS in the same pipeline and compares them with no sampler. EOS does not
win.

The data are 11,183 candidate spots in mammograms, described by six numbers; 260 spots are
microcalcifications. The source is Woods et al., "Comparative evaluation of pattern recognition
techniques for detection of microcalcifications in mammography", 1993. OpenML lists the data as
public. :download:`The file <mammography.csv.gz>` is next to this script.
"""

# %%

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from imblearn.over_sampling import ADASYN, SMOTE
from imblearn.pipeline import Pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.preprocessing import StandardScaler

from imblearn_eos import EOS

table = pd.read_csv("mammography.csv.gz", header=None, quotechar="'")
X, y = table.iloc[:, :-1], table.iloc[:, -1]
print(y.value_counts().to_dict())

# %%
# One grid search per sampler
# ---------------------------
#
# Put the sampler after the scaler, because neighbors depend on the scale. The pipeline over-samples
# training rows only, so scores are computed on real rows.


def make_search(sampler, parameter):
    """Return a pipeline that chooses its number of neighbors by cross-validation."""
    steps = [
        ("scaler", StandardScaler()),
        ("sampler", sampler),
        ("classifier", LogisticRegression()),
    ]
    grid = {f"sampler__{parameter}": [5, 10, 50]}
    return GridSearchCV(Pipeline(steps), grid, scoring="balanced_accuracy", cv=3)


searches = {
    "SMOTE": make_search(SMOTE(random_state=0), "k_neighbors"),
    "ADASYN": make_search(ADASYN(random_state=0), "n_neighbors"),
    "EOS": make_search(EOS(random_state=0), "n_neighbors"),
    "no sampler": Pipeline([("scaler", StandardScaler()), ("classifier", LogisticRegression())]),
}

# %%
# The search chooses on folds of its training rows. An outer cross-validation scores the choice on
# held-out rows.

folds = StratifiedKFold(5, shuffle=True, random_state=0)
metrics = {"balanced_accuracy": "Balanced accuracy", "f1": "F1 of the rare class"}
scores = {
    name: cross_validate(
        search, X, y, cv=folds, scoring=list(metrics), return_estimator=True, return_indices=True
    )
    for name, search in searches.items()
}
for name, score in scores.items():
    values = [score[f"test_{metric}"] for metric in metrics]
    print(f"{name:10}", *(f"{value.mean():.2f} ± {value.std(ddof=1):.2f}" for value in values))

# %%

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained", sharey=True)
for ax, (metric, title) in zip(axes, metrics.items(), strict=True):
    for row, score in enumerate(scores.values()):
        values = score[f"test_{metric}"]
        ax.plot(values, np.full(len(values), row), "o", color="0.6", markersize=5)
        ax.plot(values.mean(), row, "|", color="#D55E00", markersize=22, markeredgewidth=2.5)
    ax.set(title=title, xlabel="dots: folds, bar: their mean")
axes[0].set_yticks(range(len(scores)), scores)
axes[0].invert_yaxis()
plt.show()

# %%
# A threshold instead
# -------------------
#
# Try the decision threshold of the plain classifier before a sampler. A sampler gives one point of
# precision and recall; the threshold gives a whole curve. All points are computed on held-out rows.


def held_out(name, method):
    """Return the outputs of the outer folds' estimators for their held-out rows."""
    values = np.empty(len(y))
    rows = scores[name]["indices"]["test"]
    for estimator, test in zip(scores[name]["estimator"], rows, strict=True):
        values[test] = getattr(estimator, method)(X.iloc[test])
    return values


# sphinx_gallery_thumbnail_number = 2
precision, recall, _ = precision_recall_curve(y, held_out("no sampler", "decision_function"))
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.plot(recall, precision, color="0.5", label="no sampler, every threshold")
for name, marker in zip(scores, "osD^", strict=True):
    found = held_out(name, "predict") == 1
    ax.plot(found[y == 1].mean(), (y == 1)[found].mean(), marker, color="#D55E00", ms=9, label=name)
ax.set(xlabel="Recall of the rare class", ylabel="Precision", xlim=(0, 1), ylim=(0, 1))
ax.legend()
plt.show()

# %%
# Result
# ------
#
# - **Balanced accuracy**: every sampler is far better than none. The three samplers are within one
#   standard deviation of each other, and SMOTE has the highest mean.
# - **F1 of the rare class**: no sampler is best. Over-sampling finds more rare rows and makes more
#   false alarms. Which is better depends on their costs.
# - **Probabilities**: over-sampled classifiers overestimate the rare class. As the curve shows,
#   moving the threshold of the plain classifier is an alternative; use
#   ``sklearn.model_selection.TunedThresholdClassifierCV``.
