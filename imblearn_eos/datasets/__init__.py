"""Load labeled data, and make them imbalanced.

Every loader of images returns ``X`` (n_samples, channels, height, width) as float32, the layout
that torch's convolutions take, and ``y`` (n_samples,). `load_table` reads rows of numbers, and
`load_embeddings` the output of a network.
"""

from imblearn_eos.datasets._csv import load_table
from imblearn_eos.datasets._digits import load_digit_images, load_digits_long_tailed
from imblearn_eos.datasets._embeddings import load_embeddings
from imblearn_eos.datasets._folder import load_image_folder
from imblearn_eos.datasets._imbalance import long_tail_counts, make_imbalanced, split_imbalanced
from imblearn_eos.datasets._npz import load_npz

__all__ = [
    "load_digit_images",
    "load_digits_long_tailed",
    "load_embeddings",
    "load_image_folder",
    "load_npz",
    "load_table",
    "long_tail_counts",
    "make_imbalanced",
    "split_imbalanced",
]
