"""Variants of EOS on the networks of a study by ``cifar_lt.py``, scored on the rows left out.

    python benchmarks/cifar_lt_variants.py --embeddings DIR --output variants.json

takes the embeddings of networks that were trained without a fold, refits heads, and writes their
balanced accuracies on that fold, in points, over the subsets of the images. The test images have no
part in it. Differences are from EOS itself with the same K and search, with the 95 % interval of a
paired t test over subsets.
"""

import argparse
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _embeddings import read_embedded
from _heads import TOLERANCE, Network
from _study import mean_difference
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import normalize
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

    @property
    def group(self):
        """What kind of change this is."""
        if self.is_unit:
            strength = "with the default penalty" if self.alpha == 0.01 else "weakly penalized"
            return f"embeddings of length 1, head {strength}"
        if self.power:
            return f"K {'larger' if self.power < 0 else 'smaller'} for smaller classes"
        return {"uniform in [0.25, 0.75)": "narrower steps", "square root": "longer steps"}.get(
            self.steps, "shorter steps"
        )

    def score(self, folds):
        """Compute the balanced accuracy on all folds, each predicted by the network without it."""
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
    for file in sorted(folder.glob(f"{pattern}.npz")):
        match = re.match(r"(.+)_without\d+of\d+", file.stem)
        if match:
            found[match[1]].append(Network(read_embedded(file)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--embeddings", type=Path, required=True, help="folder of embeddings")
    parser.add_argument("--output", type=Path, required=True, help="file of results")
    parser.add_argument("--networks", default="CE_exponential_100_*", help="names of files")
    options = parser.parse_args()
    subsets = read_folds(options.embeddings, options.networks)
    if not subsets:
        parser.error(f"there are no {options.networks} without a fold in {options.embeddings}.")
    needed = dict.fromkeys([*VARIANTS, *(variant.base for variant in VARIANTS)])
    scores = {
        variant: [variant.score(folds) for folds in subsets.values()]
        for variant in tqdm(needed, unit="variant")
    }
    entries = [describe(variant, scores) for variant in VARIANTS]
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    options.output.write_text(f"[\n{lines}\n]\n")
    print(f"{len(subsets)} subsets: {', '.join(subsets)}. Written: {options.output}")


def describe(variant, scores):
    """Return the results of a variant, as the pages read them."""
    entry = {"variant": variant.name, "balanced_accuracy": round(np.mean(scores[variant]), 3)}
    if variant.base != variant:
        mean, margin = mean_difference(np.subtract(scores[variant], scores[variant.base]))
        entry |= {"group": variant.group, "difference": round(mean, 3)}
        if margin is not None:
            entry["interval"] = [round(mean - margin, 3), round(mean + margin, 3)]
    return entry


if __name__ == "__main__":
    main()
