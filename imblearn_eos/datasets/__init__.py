"""Labelled data to work on, and ways to make them imbalanced.

Every loader of images returns ``X`` (n_samples, channels, height, width) as float32, the layout
that torch's convolutions take, and ``y`` (n_samples,). `load_table` reads rows of numbers.
"""

from imblearn_eos.datasets._cifar import load_cifar
from imblearn_eos.datasets._digits import load_digit_images, load_digits_long_tailed
from imblearn_eos.datasets._imbalance import long_tail_counts, make_imbalanced, split_imbalanced
from imblearn_eos.datasets._readers import load_image_folder, load_npz
from imblearn_eos.datasets._tables import load_table

__all__ = [
    "load_cifar",
    "load_digit_images",
    "load_digits_long_tailed",
    "load_image_folder",
    "load_npz",
    "load_table",
    "long_tail_counts",
    "make_imbalanced",
    "split_imbalanced",
]
