"""Networks of the CIFAR-10 study: trained, and turned into embeddings."""

import shutil
import sys
import time
from dataclasses import replace

from _cifar_images import N_CLASSES, balance_images, normalize, split_images
from _embeddings import Embedded, digest_of, name_of, read_embedded, write_embedded
from _recipes import RECIPES, make_net
from joblib import Memory
from torch import nn

from imblearn_eos import Embedder
from imblearn_eos.models import NormalizedLinear
from imblearn_eos.training import MixedPrecision


def embed(images, case, budget, folder, embeddings, fold=None, n_folds=1):
    """Train the network of a case, unless its embeddings are there.

    Parameters
    ----------
    images : tuple
        As `load_images` returns them.
    case : Case
    budget : Budget
    folder : Path
        Folder of trained networks and checkpoints.
    embeddings : Path
        Folder of embeddings.
    fold : int or None
        Train without this fold of the training images and embed it as new rows. None trains on
        all of them; the test images are the new rows.
    n_folds : int

    Returns
    -------
    Embedded
        As the file keeps it: rounded to float16.
    """
    name = f"{name_of(case, budget, fold, n_folds)}_{digest_of(images, case):08x}"
    file = embeddings / f"{name}.npz"
    if not file.exists():
        parts = split_images(images, case, fold, n_folds)
        write_embedded(file, train(*parts, case, budget, folder, name))
    return read_embedded(file)


def train(X, y, X_new, y_new, case, budget, folder, name):
    """Train a network on images and embed them and new ones."""
    recipe, seconds, maker_parameters = RECIPES[case.recipe], {}, 0
    X_all, y_all = X, y
    if recipe.balance:
        # Kept, or a network could be trained further on other images than it began with.
        balance = Memory(folder / "images", verbose=0).cache(balance_images)
        made = balance(X, y, recipe.balance, budget, case.seed)
        X_all, y_all, maker_parameters, seconds["images"] = made
        # As many steps as without the added images.
        budget = replace(budget, epochs=max(1, round(budget.epochs * len(y) / len(y_all))))
    embedder = fit(X_all, y_all, case, budget, folder, name)
    seconds["training"] = float(sum(embedder.net_.history[:, "dur"]))
    start = time.perf_counter()
    Z = embedder.transform(normalize(X))
    seconds["embedding"] = time.perf_counter() - start
    Z_new = embedder.transform(normalize(X_new))
    return pack(embedder, (Z, y, Z_new, y_new), maker_parameters, seconds)


class TrainedBefore(Memory):
    """A cache of networks that trains none."""

    def cache(self, train, **params):
        cached = super().cache(train, **params)

        def load(*args):
            if not cached.check_call_in_cache(*args):
                raise FileNotFoundError(f"{self.location} lacks the network, as it would be now.")
            return cached(*args)

        return load


def fit(X, y, case, budget, folder, name, memory=Memory):
    """Train the network of a case on images, or load it if it was trained before."""
    checkpoints = folder / "checkpoints" / name
    net = make_net(RECIPES[case.recipe], budget, len(y), checkpoints)
    memory = memory(folder / "networks", verbose=0)
    is_shown = sys.stderr.isatty() and not isinstance(memory, TrainedBefore)
    embedder = Embedder(net, memory=memory, random_state=case.seed, verbose=is_shown)
    embedder.fit(normalize(X), y)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return embedder


def pack(embedder, rows, maker_parameters=0, seconds=None):
    """Return what is kept of a network: rows (Z, y, Z_new, y_new) and its head."""
    Z, y, Z_new, y_new = rows
    head = embedder.net_.module_.head
    weight, bias, is_unit = head.weight, head.bias, isinstance(head, NormalizedLinear)
    if is_unit:
        weight, bias = head.scale * nn.functional.normalize(weight), weight.new_zeros(N_CLASSES)
    n_parameters = sum(parameter.numel() for parameter in embedder.net_.module_.parameters())
    is_mixed = any(
        callback.is_active_
        for _, callback in embedder.net_.callbacks_
        if isinstance(callback, MixedPrecision)
    )
    return Embedded(
        Z=Z,
        y=y,
        Z_new=Z_new,
        y_new=y_new,
        weight=weight.detach().cpu().numpy(),
        bias=bias.detach().cpu().numpy(),
        is_unit=is_unit,
        n_parameters=n_parameters + maker_parameters,
        seconds=seconds or {},
        precision="bfloat16" if is_mixed else "float32",
    )
