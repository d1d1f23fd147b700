"""How the networks of the CIFAR-10 study are trained."""

import math
from dataclasses import dataclass, fields

import torch
from _cifar_images import MEAN, N_CLASSES, STD
from _trivial_augment import trivial_augment
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LoadInitState
from torch import nn
from torch.nn import functional

from imblearn_eos.losses import (
    AsymmetricLoss,
    BalancedSoftmaxLoss,
    DeferredReweighting,
    FocalLoss,
    LDAMLoss,
)
from imblearn_eos.models import NormalizedLinear, ResNet
from imblearn_eos.training import (
    AtomicCheckpoint,
    BatchAugmentation,
    BatchLoader,
    ChannelsLast,
    MixedPrecision,
    Mixup,
    Resume,
)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, apart from its data.

    ``augmentation`` is one of `AUGMENTATIONS`. ``balance`` names how images are added first, if at
    all, until all classes are equally large.
    """

    criterion: type = nn.CrossEntropyLoss
    head: type = nn.Linear
    is_reweighted_late: bool = False
    mixup: float | None = None
    balance: str | None = None
    weight_decay: float = 2e-4
    augmentation: str = "crop and flip"

    @property
    def changes(self):
        """Settings that differ from the recipe of the authors' network, classes by name."""
        values = {
            entry.name: getattr(self, entry.name)
            for entry in fields(self)
            if getattr(self, entry.name) != entry.default
        }
        return {
            name: value.__name__ if isinstance(value, type) else value
            for name, value in values.items()
        }


RECIPES = {
    "CE": Recipe(),
    # The weight decay of MiSLAS, and its mixup.
    "CE + decay": Recipe(weight_decay=5e-4),
    "CE + mixup": Recipe(mixup=1.0),
    "CE + mixup + decay": Recipe(mixup=1.0, weight_decay=5e-4),
    "focal": Recipe(FocalLoss),
    "ASL": Recipe(AsymmetricLoss),
    "LDAM": Recipe(LDAMLoss, NormalizedLinear),
    "LDAM-DRW": Recipe(LDAMLoss, NormalizedLinear, is_reweighted_late=True),
    "LDAM-DRW + mixup": Recipe(LDAMLoss, NormalizedLinear, is_reweighted_late=True, mixup=1.0),
    "LDAM-DRW + mixup + decay": Recipe(
        LDAMLoss, NormalizedLinear, is_reweighted_late=True, mixup=1.0, weight_decay=5e-4
    ),
    # The same loss as logit adjustment in training with tau = 1.
    "balanced softmax": Recipe(BalancedSoftmaxLoss),
    "balanced softmax + mixup": Recipe(BalancedSoftmaxLoss, mixup=1.0),
    "balanced softmax + mixup + decay": Recipe(BalancedSoftmaxLoss, mixup=1.0, weight_decay=5e-4),
    # A strong recipe of today, with the schedule "cosine".
    "balanced softmax + mixup + TrivialAugment + decay": Recipe(
        BalancedSoftmaxLoss, mixup=1.0, weight_decay=5e-4, augmentation="TrivialAugment"
    ),
    "CE, random images": Recipe(balance="random"),
    "CE, SMOTE images": Recipe(balance="SMOTE"),
    "CE, GAN images": Recipe(balance="GAN"),
}


@dataclass(frozen=True)
class Case:
    """A recipe on one subset of the images."""

    recipe: str
    kind: str = "exponential"
    ratio: float = 100.0
    subset: int = 0
    seed: int = 0

    @property
    def name(self):
        """Name for files."""
        recipe = "".join(c if c.isalnum() else "-" for c in self.recipe)
        return f"{recipe}_{self.kind}_{self.ratio:g}_subset{self.subset}_seed{self.seed}"


@dataclass(frozen=True)
class Budget:
    """How long networks are trained, and where."""

    epochs: int = 200
    batch_size: int = 128
    schedule: str = "steps"
    device: str = "cpu"
    compile: bool = False

    @property
    def name(self):
        """Name for files."""
        return f"{self.epochs}epochs_{self.schedule}_batch{self.batch_size}"


class LearningRate(Callback):
    """Set the learning rate before each batch, by the share of training that is done.

    It rises linearly at first. Then "steps" is the authors' schedule, for 200 epochs a cut to a
    hundredth after epochs 160 and 180, and "cosine" falls to 0, which suits short training.
    """

    def __init__(self, schedule, epochs, n_batches):
        self.schedule = schedule
        self.epochs = epochs
        self.n_batches = n_batches

    def on_batch_begin(self, net, training=False, **kwargs):
        if not training:
            return
        n_done = (len(net.history) - 1) * self.n_batches + len(net.history[-1]["batches"]) - 1
        done = n_done / (self.epochs * self.n_batches)
        # Five of 200 epochs; a larger share of fewer epochs.
        warm_up = max(0.025, min(0.1, 1 / self.epochs))
        if done < warm_up:
            factor = done / warm_up
        elif self.schedule == "steps":
            factor = 0.01 ** ((done >= 0.8) + (done >= 0.9))
        else:
            factor = (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up))) / 2
        for group in net.optimizer_.param_groups:
            group["lr"] = factor * net.lr


def crop_and_flip(images):
    """Crop a batch at random after padding by 4 pixels, and flip half of it."""
    n, channels, height, width = images.shape
    padded = functional.pad(images, (4, 4, 4, 4))
    top, left = torch.randint(9, (2, n, 1), device=images.device)
    rows = top + torch.arange(height, device=images.device)
    columns = left + torch.arange(width, device=images.device)
    is_flipped = torch.rand(n, 1, device=images.device) < 0.5
    columns = torch.where(is_flipped, columns.flip(1), columns)
    # One gather for all images: a loop over them would keep a GPU waiting.
    pixels = (rows[:, :, None] * padded.shape[-1] + columns[:, None, :]).flatten(1)
    return padded.flatten(2).gather(2, pixels[:, None].expand(-1, channels, -1)).view_as(images)


def augment_trivially(images):
    """Crop and flip a batch, and apply TrivialAugment to its pixels."""
    mean, std = (images.new_tensor(part)[:, None, None] for part in (MEAN, STD))
    pixels = crop_and_flip(images) * std + mean
    # Around a crop, values of 0 are gray.
    return (trivial_augment(pixels.clamp(0, 1)) - mean) / std


AUGMENTATIONS = {"crop and flip": crop_and_flip, "TrivialAugment": augment_trivially}


def make_resnet(n_epochs, callbacks, **params):
    """Make an untrained ResNet-32 with the authors' optimizer and batches of 128."""
    defaults = {
        "module__n_classes": N_CLASSES,
        "module__depth": 32,
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.9,
        "optimizer__weight_decay": Recipe.weight_decay,
        "lr": 0.1,
        "batch_size": 128,
        "train_split": None,
        "iterator_train": BatchLoader,
        "iterator_train__shuffle": True,
        "iterator_valid": BatchLoader,
        "verbose": 0,
    }
    return NeuralNetClassifier(
        ResNet, max_epochs=n_epochs, callbacks=callbacks, **defaults | params
    )


def batch_callbacks(augmentation="crop and flip"):
    """Make the callbacks for augmentation and speed that all networks are trained with."""
    return [BatchAugmentation(AUGMENTATIONS[augmentation]), ChannelsLast(), MixedPrecision()]


def make_net(recipe, budget, n_rows, checkpoints):
    """Make the net of a recipe, with checkpoints in the folder ``checkpoints``."""
    n_batches = math.ceil(n_rows / budget.batch_size)
    checkpoint = AtomicCheckpoint(monitor=None, dirname=str(checkpoints))
    callbacks = [
        LoadInitState(checkpoint),
        Resume(),
        checkpoint,
        LearningRate(budget.schedule, budget.epochs, n_batches),
        *batch_callbacks(recipe.augmentation),
    ]
    # Mixup mixes images that are augmented already.
    if recipe.mixup:
        callbacks.append(Mixup(alpha=recipe.mixup))
    if recipe.is_reweighted_late:
        callbacks.append(DeferredReweighting(start=round(0.8 * budget.epochs)))
    return make_resnet(
        budget.epochs,
        callbacks,
        module__head=recipe.head,
        criterion=recipe.criterion,
        optimizer__weight_decay=recipe.weight_decay,
        lr=0.1 * budget.batch_size / 128,
        batch_size=budget.batch_size,
        iterator_valid__batch_size=500,
        device=budget.device,
        compile=budget.compile,
    )
