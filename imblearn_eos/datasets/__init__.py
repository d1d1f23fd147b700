"""Labelled images to work on, and ways to make them imbalanced.

Every loader returns ``X`` (n_samples, channels, height, width) as float32, the layout that torch's
convolutions take, and ``y`` (n_samples,).
"""

from imblearn_eos.datasets._cifar import load_cifar
from imblearn_eos.datasets._digits import load_digit_images, load_digits_long_tailed
from imblearn_eos.datasets._imbalance import long_tail_counts, make_imbalanced, split_imbalanced
from imblearn_eos.datasets._readers import load_image_folder, load_npz

__all__ = [
    "load_cifar",
    "load_digit_images",
    "load_digits_long_tailed",
    "load_image_folder",
    "load_npz",
    "long_tail_counts",
    "make_imbalanced",
    "split_imbalanced",
]
