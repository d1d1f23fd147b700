"""CIFAR-10 made imbalanced, networks trained on it, and their embeddings."""

import io
import json
import math
import shutil
import sys
import time
import zlib
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise

import _gan
import numpy as np
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from joblib import Memory
from sklearn.model_selection import StratifiedKFold
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LoadInitState
from torch import nn
from torch.nn import functional

from imblearn_eos import Embedder
from imblearn_eos.datasets import load_cifar, make_imbalanced
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

N_CLASSES = 10
# To be counted up when networks are trained in another way than before: old ones are then not used.
VERSION = 1
# Of the training images of CIFAR-10, per channel.
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def load_images(path):
    """Load CIFAR-10 from the official binary archive, or from a pack of JPEG files.

    A pack is an ``.npz`` file of ``jpeg`` (all files end to end), ``offset`` (of each file, and the
    end), ``label`` and ``is_test``.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images of shape (n, 3, 32, 32), dtype uint8, and labels from 0 to 9.
    """
    if not str(path).endswith(".npz"):
        parts = []
        for split in ("train", "test"):
            X, names = load_cifar(path, split=split)
            parts += [np.rint(X * 255).astype(np.uint8), np.unique(names, return_inverse=True)[1]]
        return parts
    from PIL import Image

    with np.load(path, allow_pickle=False) as pack:
        content, offset = pack["jpeg"].tobytes(), pack["offset"]
        y, is_test = pack["label"].astype(np.int64), pack["is_test"]
    files = (content[start:end] for start, end in pairwise(offset))
    X = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    X = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    return X[~is_test], y[~is_test], X[is_test], y[is_test]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, apart from its data.

    ``balance`` is how the classes of its training images are balanced first, if at all.
    """

    criterion: type = nn.CrossEntropyLoss
    head: type = nn.Linear
    is_reweighted_late: bool = False
    mixup: float | None = None
    balance: str | None = None
    weight_decay: float = 2e-4

    @property
    def changes(self):
        """What is not as in the recipe of the authors' network."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        defaults = {entry.name: entry.default for entry in fields(self)}
        return {name: values[name] for name in values if values[name] != defaults[name]}


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
    # The same loss as logit adjustment in training with tau = 1.
    "balanced softmax": Recipe(BalancedSoftmaxLoss),
    "balanced softmax + mixup": Recipe(BalancedSoftmaxLoss, mixup=1.0),
    "CE, random images": Recipe(balance="random"),
    "CE, SMOTE images": Recipe(balance="SMOTE"),
    "CE, GAN images": Recipe(balance="GAN"),
}


@dataclass(frozen=True)
class Case:
    """One network of the study without its fold: a recipe on one subset of the images."""

    recipe: str
    kind: str = "exponential"
    ratio: float = 100
    subset: int = 0
    seed: int = 0

    @property
    def name(self):
        """A name for files."""
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

    def __post_init__(self):
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}.")

    @property
    def name(self):
        """A name for files."""
        return f"{self.epochs}epochs_{self.schedule}_batch{self.batch_size}"


@dataclass
class Embedded:
    """Embeddings of training rows and of rows that the network has not seen, and its head.

    ``is_unit`` says that the head takes embeddings of length 1.
    ``seconds`` are those of training, of embedding the training rows and, if images were made, of
    making them; ``n_parameters`` counts those of what made them, too.
    """

    Z: np.ndarray
    y: np.ndarray
    Z_new: np.ndarray
    y_new: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    is_unit: bool
    n_parameters: int
    seconds: dict = field(default_factory=dict)


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
        # Five of 200 epochs, and of few epochs a larger share.
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


def make_net(recipe, budget, n_rows, checkpoints):
    """Make the net of the authors' recipe; ``checkpoints`` is the folder of its checkpoints."""
    n_batches = math.ceil(n_rows / budget.batch_size)
    checkpoint = AtomicCheckpoint(monitor=None, dirname=str(checkpoints))
    callbacks = [
        LoadInitState(checkpoint),
        Resume(),
        checkpoint,
        LearningRate(budget.schedule, budget.epochs, n_batches),
        BatchAugmentation(crop_and_flip),
        ChannelsLast(),
        MixedPrecision(),
    ]
    if recipe.mixup:
        callbacks.append(Mixup(alpha=recipe.mixup))
    if recipe.is_reweighted_late:
        callbacks.append(DeferredReweighting(start=round(0.8 * budget.epochs)))
    return NeuralNetClassifier(
        ResNet,
        module__n_classes=N_CLASSES,
        module__depth=32,
        module__head=recipe.head,
        criterion=recipe.criterion,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        optimizer__weight_decay=recipe.weight_decay,
        lr=0.1 * budget.batch_size / 128,
        batch_size=budget.batch_size,
        max_epochs=budget.epochs,
        train_split=None,
        iterator_train=BatchLoader,
        iterator_train__shuffle=True,
        iterator_valid=BatchLoader,
        iterator_valid__batch_size=500,
        callbacks=callbacks,
        device=budget.device,
        compile=budget.compile,
        verbose=0,
    )


def balance_images(X, y, how, budget, seed):
    """Add images until classes balance.

    Returns
    -------
    X, y : ndarray
    n_parameters : int
        Of what made the images.
    seconds : float
        To make them.
    """
    start, n_parameters = time.perf_counter(), 0
    if how == "GAN":
        n_steps = budget.epochs * math.ceil(len(y) / budget.batch_size)
        X, y, n_parameters = _gan.balance(X, y, n_steps=n_steps, device=budget.device, seed=seed)
    else:
        sampler = {"random": RandomOverSampler, "SMOTE": SMOTE}[how](random_state=seed)
        rows, y = sampler.fit_resample(X.reshape(len(X), -1).astype(np.float32), y)
        X = rows.round().astype(np.uint8).reshape(-1, *X.shape[1:])
    return X, y, n_parameters, time.perf_counter() - start


def normalize(X):
    """Turn uint8 images into float32 ones whose channels have about mean 0 and variance 1."""
    mean, std = (np.array(a, dtype=np.float32)[:, None, None] for a in (MEAN, STD))
    images = X.astype(np.float32)
    images /= 255
    images -= mean
    images /= std
    return images


def embed(images, case, budget, folder, fold=None, n_folds=1):
    """Train the network of a case, or read what it gave the last time.

    Parameters
    ----------
    images : tuple or None
        As `load_images` gives. None reads what is kept, from whatever images, and trains nothing.
    case : Case
    budget : Budget
    folder : Path
        Where embeddings, trained networks and checkpoints are kept.
    fold : int or None
        Train without this fold of the training images and embed it as new rows. None trains on
        all of them; the test images are the new rows.
    n_folds : int

    Returns
    -------
    Embedded
        Its embeddings are rounded to float16, as they are kept, if they are small enough.

    """
    if images is None:
        return read_embedded(find_kept(case, budget, folder, fold, n_folds))
    name = f"{_name(case, budget, fold, n_folds)}_{_digest(images, case):08x}"
    file = folder / "embeddings" / f"{name}.npz"
    if not file.exists():
        X, y, X_new, y_new = _split(images, case, fold, n_folds)
        _write(file, _train(X, y, X_new, y_new, case, budget, folder, name))
    return read_embedded(file)


def _name(case, budget, fold, n_folds):
    which = "all" if fold is None else f"without{fold}of{n_folds}"
    return f"{case.name}_{budget.name}_{which}"


def find_kept(case, budget, folder, fold=None, n_folds=1):
    """Find the embeddings of a network, trained on whatever images by a recipe of this name.

    Raises
    ------
    FileNotFoundError
        If there are none, or of more than one such network.
    """
    name = _name(case, budget, fold, n_folds)
    files = list((folder / "embeddings").glob(f"{name}_*.npz"))
    if len(files) != 1:
        remedy = "Remove all but one, or give" if files else "Train the network: give"
        raise FileNotFoundError(
            f"{folder / 'embeddings'} must have one file {name}_*.npz, got {len(files)}. {remedy} "
            "--data."
        )
    return files[0]


def _digest(images, case):
    """Tell networks apart that were trained on other images or by another recipe."""
    X_train, _, X_test, _ = images
    digest = zlib.crc32(repr((VERSION, RECIPES[case.recipe].changes)).encode())
    return zlib.crc32(X_test, zlib.crc32(X_train, digest))


def _split(images, case, fold, n_folds):
    X, y, X_test, y_test = images
    rows = np.arange(len(y))
    rows, _ = make_imbalanced(rows, y, ratio=case.ratio, kind=case.kind, random_state=case.subset)
    if fold is None:
        return X[rows], y[rows], X_test, y_test
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=case.subset)
    inside, outside = list(folds.split(rows, y[rows]))[fold]
    return X[rows[inside]], y[rows[inside]], X[rows[outside]], y[rows[outside]]


def _train(X, y, X_new, y_new, case, budget, folder, name):
    recipe, seconds, maker_parameters = RECIPES[case.recipe], {}, 0
    X_all, y_all = X, y
    if recipe.balance:
        # Kept, or a network could be trained further on other images than it began with.
        balance = Memory(folder / "images", verbose=0).cache(balance_images)
        made = balance(X, y, recipe.balance, budget, case.seed)
        X_all, y_all, maker_parameters, seconds["images"] = made
        # As many steps as without the added images.
        budget = replace(budget, epochs=max(1, round(budget.epochs * len(y) / len(y_all))))
    checkpoints = folder / "checkpoints" / name
    net = make_net(recipe, budget, len(y_all), checkpoints)
    embedder = Embedder(
        net, memory=str(folder / "networks"), random_state=case.seed, verbose=sys.stderr.isatty()
    )
    embedder.fit(normalize(X_all), y_all)
    shutil.rmtree(checkpoints, ignore_errors=True)
    seconds["training"] = float(sum(embedder.net_.history[:, "dur"]))
    start = time.perf_counter()
    Z = embedder.transform(normalize(X))
    seconds["embedding"] = time.perf_counter() - start
    Z_new = embedder.transform(normalize(X_new))
    head = embedder.net_.module_.head
    weight, bias, is_unit = head.weight, head.bias, isinstance(head, NormalizedLinear)
    if is_unit:
        weight, bias = head.scale * nn.functional.normalize(weight), weight.new_zeros(N_CLASSES)
    n_parameters = sum(parameter.numel() for parameter in embedder.net_.module_.parameters())
    return Embedded(
        Z=Z,
        y=y,
        Z_new=Z_new,
        y_new=y_new,
        weight=weight.detach().cpu().numpy(),
        bias=bias.detach().cpu().numpy(),
        is_unit=is_unit,
        n_parameters=n_parameters + maker_parameters,
        seconds=seconds,
    )


def _write(file, embedded):
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = asdict(embedded)
    arrays["seconds"] = json.dumps(embedded.seconds)
    for name in ("Z", "Z_new"):
        # Half the size of float32.
        with np.errstate(over="ignore"):
            rounded = arrays[name].astype(np.float16)
        arrays[name] = rounded if np.isfinite(rounded).all() else arrays[name]
    # A name that an interrupted write cannot leave behind.
    unfinished = file.with_suffix(".tmp")
    with open(unfinished, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    unfinished.replace(file)


def read_embedded(file):
    with np.load(file, allow_pickle=False) as arrays:
        contents = {name: arrays[name] for name in arrays.files}
    contents |= {name: contents[name].astype(np.float32) for name in ("Z", "Z_new")}
    contents["seconds"] = json.loads(str(contents["seconds"]))
    for name in ("is_unit", "n_parameters"):
        contents[name] = contents[name].item()
    return Embedded(**contents)
