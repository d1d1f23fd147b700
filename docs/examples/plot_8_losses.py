"""
What the losses do
==================

Choose a loss of :mod:`imblearn_eos.losses` to change how the network is trained. Focal and
asymmetric loss give less weight to easy samples. The other losses treat classes by their size.
"""

# %%
# Easy samples
# ------------
#
# There are two classes. The x axis is the predicted probability of the sample's class.

import matplotlib.pyplot as plt
import torch
from torch import nn

from imblearn_eos.datasets import long_tail_counts
from imblearn_eos.losses import (
    AsymmetricLoss,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    FocalLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    class_balanced_weights,
)

probability = torch.linspace(0.02, 0.98, 97)
logits = torch.stack([probability.log(), (1 - probability).log()], dim=1)
target = torch.tensor([0])
losses = {
    "cross-entropy": nn.CrossEntropyLoss(),
    "FocalLoss(gamma=2)": FocalLoss(gamma=2),
    "FocalLoss(gamma=5)": FocalLoss(gamma=5),
    "AsymmetricLoss()": AsymmetricLoss(),
}
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, loss), style in zip(losses.items(), ("-", "--", ":", "-."), strict=True):
    values = [loss(row[None], target).item() for row in logits]
    ax.plot(probability, values, style, label=name)
ax.set(xlabel="Probability of the sample's class", ylabel="Loss of the sample")
ax.legend()
plt.show()

# %%
# Rare classes
# ------------
#
# There are ten long-tailed classes, and all logits are 0. Cross-entropy gives each sample the same
# loss. The other losses are larger for rarer classes, so training improves rare classes more. A
# class weight, as in ClassBalancedLoss, acts on a sample's share in the mean of a batch. It is
# multiplied with the sample's loss here.

counts = long_tail_counts(5000, 10, ratio=100)
zeros, classes = torch.zeros(1, 10), range(10)
losses = {
    "cross-entropy": nn.CrossEntropyLoss(),
    "LogitAdjustedLoss(tau=0.5)": LogitAdjustedLoss(tau=0.5, class_counts=counts),
    "BalancedSoftmaxLoss()": BalancedSoftmaxLoss(class_counts=counts),
    "LDAMLoss(scale=1)": LDAMLoss(scale=1, class_counts=counts),
}
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, loss), marker in zip(losses.items(), "os^D", strict=True):
    values = [loss(zeros, torch.tensor([c])).item() for c in classes]
    ax.plot(classes, values, marker=marker, label=name)
plain = ClassBalancedLoss(class_counts=counts)(zeros, torch.tensor([0])).item()
weighted = plain * class_balanced_weights(counts)
ax.plot(classes, weighted, marker="v", label="ClassBalancedLoss(), times its weight")
ax.set_xticks(classes, counts)
ax.set(xlabel="Training rows of the class", ylabel="Loss of a sample", ylim=(0, None))
ax.legend()
plt.show()

# %%
# Set a loss as the ``criterion`` of a skorch net. :class:`~imblearn_eos.Embedder` passes the class
# sizes to it: see :doc:`/guide/training`. Compare losses on rows that the network has not seen.
