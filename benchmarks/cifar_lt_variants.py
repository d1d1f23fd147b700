"""Variants of EOS on the networks of a study by ``cifar_lt.py``, scored on the rows left out.

    python benchmarks/cifar_lt_variants.py study

takes the embeddings of networks that were trained without a fold, refits heads, and prints their
balanced accuracies on that fold, in points, over the subsets of the images. The test images have no
part in it. Differences are to EOS itself with the same K and search, with the 95 % interval of a
paired t test over subsets.
"""

import argparse
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _cifar import read_embedded
from _heads import TOLERANCE, Network
from _study import mean_difference
from cifar_lt_tables import format_difference
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import normalize
from tabulate import tabulate
from tqdm import tqdm

from imblearn_eos import EOS, LinearHead
from imblearn_eos._interpolation import interpolate

# By name, functions of uniform steps and of the class's size as a share of the largest.
STEPS = {
    "uniform in [0, 1)": lambda steps, share: steps,
    "uniform in [0, 0.5)": lambda steps, share: steps / 2,
    "uniform in [0, 0.75)": lambda steps, share: 0.75 * steps,
    "uniform in [0.25, 0.75)": lambda steps, share: 0.25 + steps / 2,
    "squared": lambda steps, share: steps**2,
    "square root": lambda steps, share: steps**0.5,
    "shorter for larger classes": lambda steps, share: steps * (1 - share**0.5),
}
PAPER = "uniform in [0, 1)"


@dataclass(frozen=True)
class Variant:
    """EOS in embedding space with one thing changed.

    ``power`` makes K of a class ``n_neighbors`` times this power of the class's share of the
    largest one: below 0, smaller classes have a larger K. ``is_unit`` brings embeddings to length
    1.
    """

    n_neighbors: int
    search: str = "nearest"
    power: float = 0.0
    steps: str = PAPER
    is_unit: bool = False
    alpha: float = 0.01

    @property
    def base(self):
        """EOS with the same K and search, and nothing changed."""
        return Variant(self.n_neighbors, self.search)

    @property
    def name(self):
        parts = [f"{self.search}, K={self.n_neighbors}"]
        if self.power:
            parts.append(f"times share to the power of {self.power:g}")
        if self.steps != PAPER:
            parts.append(f"steps {self.steps}")
        if self.is_unit:
            parts.append(f"length 1, alpha={self.alpha:g}")
        return ", ".join(parts)

    def score(self, folds):
        """Give the balanced accuracy over all folds, each predicted by the network without it."""
        y = np.concatenate([fold.y_new for fold in folds])
        predicted = np.concatenate([self.predict(fold) for fold in folds])
        return 100 * balanced_accuracy_score(y, predicted)

    def predict(self, network):
        Z, Z_new = network.Z, network.Z_new
        if self.is_unit:
            Z, Z_new = normalize(Z), normalize(Z_new)
        rows = self.resample(Z, network.y)
        return LinearHead(alpha=self.alpha, tol=TOLERANCE).fit(*rows).predict(Z_new)

    def resample(self, Z, y):
        counts = np.bincount(y)
        rows, labels = [Z], [y]
        for label, share in enumerate(counts / counts.max()):
            if share == 1:
                continue
            sampler = EOS(
                n_neighbors=max(1, round(self.n_neighbors * share**self.power)),
                enemy_search=self.search,
                sampling_strategy={label: int(counts.max())},
                random_state=0,
            )
            sampler.fit_resample(Z, y)
            steps = STEPS[self.steps](sampler.steps_, share)
            rows.append(interpolate(Z, sampler.base_indices_, sampler.enemy_indices_, steps))
            labels.append(np.full(len(steps), label))
        return np.concatenate(rows), np.concatenate(labels)


VARIANTS = [
    *(Variant(k, search) for search in ("neighborhood", "nearest") for k in (10, 100, 300, 1000)),
    *(Variant(k, steps=steps) for k in (10, 300) for steps in STEPS if steps != PAPER),
    *(Variant(k, power=power) for k in (10, 50) for power in (-1, -0.5, -0.25)),
    *(Variant(k, power=power) for k in (300, 1000) for power in (0.25, 0.5, 1)),
    *(Variant(k, is_unit=True, alpha=alpha) for k in (10, 300) for alpha in (0.0001, 0.01)),
]


def read_folds(folder, pattern):
    """Read the networks of each subset that were trained without a fold."""
    found = defaultdict(list)
    for file in sorted((folder / "embeddings").glob(f"{pattern}.npz")):
        match = re.match(r"(.+)_without\d+of\d+", file.stem)
        if match:
            found[match[1]].append(Network(read_embedded(file)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--networks", default="CE_exponential_100_*", help="names of files")
    options = parser.parse_args()
    subsets = read_folds(options.study, options.networks)
    if not subsets:
        parser.error(f"there are no {options.networks} without a fold in {options.study}.")
    needed = dict.fromkeys([*VARIANTS, *(variant.base for variant in VARIANTS)])
    scores = {
        variant: [variant.score(folds) for folds in subsets.values()]
        for variant in tqdm(needed, unit="variant")
    }
    rows = []
    for variant in VARIANTS:
        row = {"variant": variant.name, "balanced accuracy": f"{np.mean(scores[variant]):.1f}"}
        if variant.base != variant:
            differences = np.subtract(scores[variant], scores[variant.base])
            row["difference"] = format_difference(mean_difference(differences))
        rows.append(row)
    print(f"{len(subsets)} subsets: {', '.join(subsets)}\n")
    print(tabulate(rows, headers="keys", tablefmt="github"))


if __name__ == "__main__":
    main()
