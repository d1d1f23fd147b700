"""Linear heads for a trained network's embeddings: refitted, or its own with a correction."""

import time
import warnings
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from imblearn.over_sampling import SMOTE, SVMSMOTE, BorderlineSMOTE, RandomOverSampler
from resample import AuthorsProcedure
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import normalize

from imblearn_eos import EOS, GaussianOverSampler, LinearHead, embedding
from imblearn_eos.compare import LenientADASYN
from imblearn_eos.losses import adjust_logits, label_aware_smoothing

# On embeddings of CIFAR-10 a tenth of the iterations of LinearHead's default, and scores that
# differ by less than 0.0005.
TOLERANCE = 1e-4

SAMPLERS = {
    "none": lambda seed: None,
    "random over-sampling": lambda seed: RandomOverSampler(random_state=seed),
    "SMOTE": lambda seed, **params: SMOTE(random_state=seed, **params),
    "Borderline-SMOTE": lambda seed: BorderlineSMOTE(random_state=seed),
    "SVM-SMOTE": lambda seed: SVMSMOTE(random_state=seed),
    "ADASYN": lambda seed: LenientADASYN(random_state=seed),
    "Gaussian": lambda seed: GaussianOverSampler(random_state=seed),
    "EOS": lambda seed, **params: EOS(random_state=seed, **params),
    "authors' procedure": lambda seed: AuthorsProcedure(seed=seed),
}


@dataclass
class Head:
    """A linear head, and what it cost.

    Attributes
    ----------
    coef : ndarray of shape (n_classes, n_features)
    intercept : ndarray of shape (n_classes,)
    is_unit : bool
        Whether it takes embeddings of length 1.
    n_parameters : int
        How many numbers were fitted.
    rows : tuple of ndarray, or None
        The embeddings and labels that a sampler returned.
    n_without_enemies : int
        Number of classes for which EOS searched all enemies, because the neighborhood had none.
    seconds : dict
        Time of over-sampling and of fitting.
    """

    coef: np.ndarray
    intercept: np.ndarray
    is_unit: bool = False
    n_parameters: int = 0
    rows: tuple | None = None
    n_without_enemies: int = 0
    seconds: dict = field(default_factory=dict)

    def logits(self, Z):
        return (normalize(Z) if self.is_unit else Z) @ self.coef.T + self.intercept

    def predict(self, Z):
        return self.logits(Z).argmax(axis=1)

    def adjusted(self, class_counts, tau):
        """Lower the logits of large classes."""
        intercept = adjust_logits(self.intercept, class_counts, tau=tau)
        return replace(self, intercept=intercept)


class Network:
    """A trained network's rows and head, from which methods make heads. No head is made twice.

    Parameters
    ----------
    embedded : Embedded
    seed : int
        Seed of samplers.
    n_views : int
        How many rows there are of each image. Samplers have as many times their neighbors.
    """

    def __init__(self, embedded, seed=0, n_views=1):
        self.Z, self.y = embedded.Z, embedded.y
        self.Z_new, self.y_new = embedded.Z_new, embedded.y_new
        self.counts = np.bincount(self.y)
        self.seed, self.n_views = seed, n_views
        self.own_head = Head(
            embedded.weight.astype(np.float64),
            embedded.bias.astype(np.float64),
            is_unit=embedded.is_unit,
            n_parameters=embedded.n_parameters,
        )
        coef, intercept = self.own_head.coef, self.own_head.intercept
        self.layer = torch.nn.Linear(*coef.shape[::-1], dtype=torch.float64)
        self.layer.load_state_dict(
            {"weight": torch.from_numpy(coef), "bias": torch.from_numpy(intercept)}
        )
        self._heads, self._resampled = {}, (None, None)

    def halves(self):
        """Return the network twice, with either half of its new rows. They share heads."""
        rows = np.arange(len(self.y_new))
        found = []
        for half in train_test_split(rows, test_size=0.5, stratify=self.y_new, random_state=0):
            network = copy(self)
            network.Z_new, network.y_new = self.Z_new[half], self.y_new[half]
            found.append(network)
        return found

    def resample(self, sampler, params):
        """Over-sample the embeddings, and keep the last result for heads of other penalties.

        Returns
        -------
        Z, y : ndarray
        n_without_enemies : int
        seconds : float
        """
        key = (sampler, *sorted(params.items()))
        if self._resampled[0] != key:
            self._resampled = key, self._resample(sampler, params)
        return self._resampled[1]

    def _resample(self, sampler, params):
        params = {
            name: value * self.n_views if name.endswith("_neighbors") else value
            for name, value in params.items()
        }
        found = SAMPLERS[sampler](self.seed, **params)
        if found is None:
            return self.Z, self.y, 0, 0.0
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rows = found.fit_resample(self.Z, self.y)
        seconds = time.perf_counter() - start
        n_without_enemies = sum("row of another class among" in str(w.message) for w in caught)
        return *rows, n_without_enemies, seconds

    def refit(self, sampler, *, alpha=0.01, class_weight=None, smoothing=0.0, **params):
        """Fit a new head on the over-sampled embeddings.

        ``smoothing`` is that of the labels of the largest class; smaller ones have less.
        """
        key = (sampler, alpha, class_weight, smoothing, *sorted(params.items()))
        if key not in self._heads:
            Z, y, n_without_enemies, sampling = self.resample(sampler, params)
            start = time.perf_counter()
            head = LinearHead(
                alpha=alpha,
                class_weight=class_weight,
                label_smoothing=label_aware_smoothing(self.counts, smooth_head=smoothing),
                tol=TOLERANCE,
            )
            fitted = head.fit(Z, y)
            seconds = {"sampling": sampling, "head": time.perf_counter() - start}
            self._heads[key] = Head(
                fitted.coef_,
                fitted.intercept_,
                n_parameters=fitted.coef_.size + fitted.intercept_.size,
                rows=None if sampler == "none" else (Z, y),
                n_without_enemies=n_without_enemies,
                seconds=seconds,
            )
        return self._heads[key]


def own_head(network):
    """Return the network's own head."""
    return network.own_head


def adjust(network, tau=1.0):
    """Adjust the logits of the network's own head: Menon et al., ICLR 2021."""
    return replace(network.own_head.adjusted(network.counts, tau), n_parameters=0)


def tau_normalize(network, tau=1.0):
    """Divide the weights of each class by a power of their length: Kang et al., ICLR 2020."""
    return _from_layer(network, embedding.tau_normalize(network.layer, tau=tau), n_parameters=0)


def scale_weights(network, penalty=0.0):
    """Fit one scale per class, classes weighted equally: LWS, Kang et al., ICLR 2020."""
    start = time.perf_counter()
    Z = normalize(network.Z) if network.own_head.is_unit else network.Z
    layer = embedding.scale_weights(network.layer, Z, network.y, alpha=penalty)
    seconds = {"head": time.perf_counter() - start}
    return _from_layer(network, layer, n_parameters=layer.out_features, seconds=seconds)


def _from_layer(network, layer, **changes):
    coef, intercept = (part.detach().numpy() for part in (layer.weight, layer.bias))
    return replace(network.own_head, coef=coef, intercept=intercept, **changes)


def refit(network, sampler, tau=0.0, **setting):
    """Fit a new head on over-sampled embeddings, and adjust its logits."""
    head = network.refit(sampler, **setting)
    return head.adjusted(network.counts, tau) if tau else head


def average(network, tau=1.0, alpha=0.01, **params):
    """Average the logits of a head on rows of EOS and of a refit with adjusted logits."""
    of_eos = network.refit("EOS", alpha=alpha, **params)
    adjusted = refit(network, "none", tau=tau, alpha=alpha)
    return replace(
        of_eos,
        coef=(of_eos.coef + adjusted.coef) / 2,
        intercept=(of_eos.intercept + adjusted.intercept) / 2,
        seconds={"sampling": of_eos.seconds["sampling"]}
        | {"head": of_eos.seconds["head"] + adjusted.seconds["head"]},
    )
