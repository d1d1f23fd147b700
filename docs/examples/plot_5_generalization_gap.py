"""
The generalization gap with its two references
==============================================

How far do test rows reach beyond the range of the training rows? Farther for rare classes, and EOS
narrows it. Both statements are true, and both mislead without a reference.
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
# Filled dots: the gap of each class before over-sampling, larger to the right, where classes have
# fewer training rows. The dashed line is the largest class cut down to that size: it too has a
# larger gap then, for no other reason than its size. Only what lies above it is due to more.
#
# Diamonds: the gap after EOS. The dotted line is the gap when random rows of *other* classes get
# the label instead. It is narrower still, although those labels are wrong.

GeneralizationGapDisplay.from_estimator(pipeline, X_test, y_test)
plt.show()

# %%
# The numbers are those of :meth:`~imblearn_eos.EmbeddingPipeline.generalization_gap`. SMOTE stays
# within the range of a class and leaves the gap as it is.

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
# Rows that the pipeline classifies wrongly, as far as there are any:

GeneralizationGapDisplay.from_estimator(pipeline, X_test, y_test, test_rows="wrong")
plt.show()

# %%
# So a small gap is not a goal in itself: :doc:`/guide/gap`.
