"""
The generalization gap with its two references
==============================================

Show a generalization gap together with its two references. The gap measures how far test rows lie
outside the range of the training rows. It is larger for rare classes, and EOS narrows it. Both
facts mislead without a reference.
"""

# %%

import matplotlib.pyplot as plt
import numpy as np
import torch
from imblearn.over_sampling import SMOTE
from skorch import NeuralNetClassifier

from imblearn_eos import EOS, make_embedding_pipeline
from imblearn_eos.datasets import load_digits_long_tailed
from imblearn_eos.metrics import generalization_gap
from imblearn_eos.models import SmallCNN
from imblearn_eos.plotting import GeneralizationGapDisplay

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
pipeline = make_embedding_pipeline(net, EOS(n_neighbors=100), random_state=0)
pipeline = pipeline.fit(X_train, y_train)

# %%
# - **Filled dots**: the gap of each class before over-sampling. Classes on the right have fewer
#   training rows and a larger gap.
# - **Dashed line**: the gap of the largest class, cut to the same number of rows. It grows for the
#   smaller size alone. Only the part of a dot above this line has another cause.
# - **Diamonds**: the gap after EOS.
# - **Dotted line**: the gap when random rows of *other* classes get the label instead. It is even
#   smaller, although these labels are wrong.

GeneralizationGapDisplay.from_estimator(pipeline, X_test, y_test)
plt.show()

# %%
# :meth:`~imblearn_eos.EmbeddingPipeline.generalization_gap` returns the numbers. SMOTE stays within
# the range of a class, so it does not change the gap.

report = pipeline.generalization_gap(X_test, y_test)
embedder = pipeline["embedder"]
Z_train, Z_test = embedder.transform(X_train), embedder.transform(X_test)
Z_smote, y_smote = SMOTE(random_state=0).fit_resample(Z_train, y_train)
gaps = {
    "before over-sampling": report.before.all,
    "the largest class, size-matched": report.size_matched.all,
    "after SMOTE": generalization_gap(Z_smote, y_smote, Z_test, y_test, average=None),
    "after EOS": report.after.all,
    "after label noise": report.label_noise.all,
}
for name, gap in gaps.items():
    print(f"{name:32} {np.mean(gap):.3f}")

# %%
# The same for test rows that the pipeline classifies wrongly:

GeneralizationGapDisplay.from_estimator(pipeline, X_test, y_test, test_rows="wrong")
plt.show()

# %%
# A smaller gap does not by itself mean better generalization: see :doc:`/guide/gap`.
