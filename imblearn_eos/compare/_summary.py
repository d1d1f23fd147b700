"""What a comparison comes to: the method to use, and what it brings to the rarest classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imblearn_eos.compare._measures import main_measure
from imblearn_eos.compare._recommend import recommend, validation_means
from imblearn_eos.compare._statistics import collect, mean_and_spread, paired_difference

# A network that scores this much less on new rows than on its training rows is overfitted.
OVERFIT = 0.25
# A network that has learnt its training rows is above this.
FITTED = 0.8


def choose_method(results):
    """Return the recommended method; without validation rows EOS, or else the last that ran."""
    if found := recommend(results):
        return found.method
    ran = [name for name, outcome in results[0].methods.items() if outcome.error is None]
    return "eos" if "eos" in ran else ran[-1]


def order_methods(results):
    """Return the methods of a comparison, the one to use first, then the best ones.

    Those without a validation score follow the others, and those that failed come last.
    """
    chosen, means = choose_method(results), validation_means(results)
    measure = main_measure(results)

    def key(method):
        scores = collect(results, method, measure.metric).values()
        mean, _ = mean_and_spread(scores)
        # Validation and test scores cannot be compared: by test scores only if there are no others.
        order = -means.get(method, 0) if means else measure.sign * -(mean or 0)
        return method != chosen, mean is None, bool(means) and method not in means, order

    return sorted(results[0].methods, key=key)


def rare_classes(results):
    """Return the names of the rarest third of the classes, the rarest first."""
    counts = results[0].train_counts
    return sorted(counts, key=counts.get)[: max(1, len(counts) // 3)]


@dataclass(frozen=True)
class RareScores:
    """Recall of the rarest classes, and other rows that are taken for them, for each seed."""

    recalls: np.ndarray
    alarms: np.ndarray

    @property
    def recall(self):
        return float(self.recalls.mean())

    @property
    def false_alarms(self):
        return float(self.alarms.mean())


def rare_scores(results, method):
    """Return the `RareScores` of a method; None if it was not scored on any seed."""
    rare, recalls, alarms = rare_classes(results), [], []
    for result in results:
        outcome = result.methods[method]
        tested = [name for name in rare if result.test_counts.get(name)]
        if "confusion" not in outcome.details or not tested:
            continue
        recalls.append(np.mean([outcome.recall[name] for name in tested]))
        is_rare = np.isin(list(result.train_counts), rare)
        others = outcome.details.confusion[~is_rare]
        alarms.append(others[:, is_rare].sum() / max(others.sum(), 1))
    return RareScores(np.array(recalls), np.array(alarms)) if recalls else None


@dataclass(frozen=True)
class Fit:
    """Balanced accuracy of a network, or of the classifier, on training and on test rows."""

    train: float | None
    test: float | None
    has_network: bool

    @property
    def is_overfit(self):
        return self.train is not None and self.test is not None and self.train - self.test > OVERFIT

    @property
    def is_underfit(self):
        return self.train is not None and self.train < FITTED and not self.is_overfit


def measure_fit(results):
    """Return the `Fit` of the network, or without a network of the classifier."""
    has_network = results[0].train_loss is not None
    method = "network" if "network" in results[0].methods else "none"
    found = [r.train_balanced_accuracy for r in results if r.train_balanced_accuracy is not None]
    test, _ = mean_and_spread(collect(results, method, "balanced_accuracy").values())
    return Fit(mean_and_spread(found)[0], test, has_network)


def find_difference(results, method):
    """Return the paired difference of a method to no over-sampling, or None for that itself."""
    metric = main_measure(results).metric
    return None if method == "none" else paired_difference(results, method, metric=metric)
