"""Training a network at most once for the same parameters, data and seed."""

import inspect
import re
import sys
import warnings
from contextlib import nullcontext
from functools import cache, lru_cache
from pathlib import Path
from types import FunctionType

import torch
from filelock import FileLock
from joblib.hashing import NumpyHasher
from sklearn.utils.validation import check_memory
from skorch.callbacks import Callback
from torch.nn.parameter import is_lazy
from tqdm import tqdm

from imblearn_eos._compat import uncompiled
from imblearn_eos._seeding import seeded
from imblearn_eos.embedding._interrupts import interruptible

# Packages in such folders have versions, and are not edited between two trainings.
_INSTALLED = {"site-packages", "dist-packages"}


def train(net, X, y, *, seed, design, memory=None, verbose=False):
    """Train a net, or load it if the same net was trained on the same data.

    Processes that want the same net at the same time wait for the first of them to train it.

    Parameters
    ----------
    net : skorch.NeuralNet
        Trained in place, unless it is loaded.
    X : ndarray, torch.Tensor or torch.utils.data.Dataset
        As the net takes it.
    y : ndarray
        The labels, also if X is a dataset that has them.
    seed : int
        For the initial weights, the order of the batches, and whatever else is random.
    design : list
        What :func:`describe` tells of the module.
    memory : None, str or joblib.Memory, default=None
        Where to keep trained nets.
    verbose : bool, default=False
        Show progress, and what came from the cache.

    Returns
    -------
    skorch.NeuralNet
        The trained net. Its module is never a compiled one, because those do not run hooks.
    """
    if memory is None:
        return _train(None, net, X, y, seed, verbose)
    # skorch lists its own bookkeeping among the parameters; it does not matter to training.
    params = {k: v for k, v in net.get_params(deep=False).items() if not k.startswith("_")}
    try:
        key = content_hash([type(net), params, X, y, seed, design])
    # Objects that cannot be pickled raise any type of exception.
    except Exception as error:
        # joblib's own message has all parameters and data in it.
        reason = str(error.__cause__ or error.__context__ or error).splitlines()[0][:200]
        _warn_without_cache(reason)
        return _train(None, net, X, y, seed, verbose)
    if isinstance(net.module, torch.nn.Module):
        _warn_of_instance()
    memory = check_memory(memory)
    cached = memory.cache(_train, ignore=["net", "X", "y", "seed", "verbose"])
    with _locked(memory, key):
        if verbose and cached.check_call_in_cache(key, net, X, y, seed, verbose):
            print(f"[Embedder] The network was trained before: loaded from {memory.location}")
        return cached(key, net, X, y, seed, verbose)


@cache
def _warn_without_cache(reason):
    """Warn once. Python's own filter forgets what it showed whenever the filters are changed."""
    warnings.warn(
        "The network is trained without the cache of the 'memory' parameter, because the net "
        f"or the data cannot be hashed ({reason}). Replace lambdas, local functions and local "
        "classes in its parameters by ones defined at the top level of an importable file, and a "
        "module instance by its module class with module__... parameters.",
        UserWarning,
        # The line that calls fit.
        stacklevel=6,
    )


@cache
def _warn_of_instance():
    """Warn once that folds share what a module instance has learnt before."""
    warnings.warn(
        "The module of the net is an instance, so every fit and every fold of a cross-validation "
        "starts from its weights. To train from new weights, pass the module class with "
        "module__... parameters; to use the weights as they are, wrap the initialized net in "
        "sklearn.frozen.FrozenEstimator.",
        UserWarning,
        stacklevel=6,
    )


def _locked(memory, key):
    """Let one process at a time train or load the net of a key."""
    if getattr(memory, "location", None) is None:
        return nullcontext()
    folder = Path(memory.location)
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{key}.lock")


def _train(key, net, X, y, seed, verbose):
    """Train; ``key`` stands for the other arguments in the cache."""
    callbacks, bar = net.callbacks, EpochsBar()
    if callbacks != "disable":
        # A net from a checkpoint of a training with a bar has one.
        callbacks = [part for part in callbacks or [] if not isinstance(part, EpochsBar)]
        net.callbacks = [*callbacks, bar] if verbose else callbacks
    try:
        with seeded(seed, net.device), interruptible():
            net.fit(X, y)
    finally:
        bar.on_train_end(net)
    net.callbacks = callbacks
    net.callbacks_ = [(name, part) for name, part in net.callbacks_ if part is not bar]
    net.module_, net.criterion_ = uncompiled(net.module_), uncompiled(net.criterion_)
    return net


class EpochsBar(Callback):
    """A progress bar of epochs, with the last training loss."""

    def on_train_begin(self, net, **kwargs):
        """Show the bar."""
        self.bar_ = tqdm(total=net.max_epochs, desc="Training", unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        """Advance the bar."""
        loss = net.history[-1].get("train_loss")
        if loss is not None:
            self.bar_.set_postfix(loss=f"{loss:.3f}")
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        if hasattr(self, "bar_"):
            self.bar_.close()

    def __getstate__(self):
        # A bar belongs to a terminal, and does not pickle.
        return {name: value for name, value in vars(self).items() if name != "bar_"}


def content_hash(obj):
    """Hash an object so that equal contents have equal hashes, in every process."""
    return _ContentHasher(hash_name="md5").hash(obj)


def describe(module):
    """Describe a module by all that tells it from others, except by its weights.

    Parameters
    ----------
    module : torch.nn.Module
        Has run, so that the lazy layers that it uses have their shapes.

    Returns
    -------
    list of str and tuple
        The representation, the source of the user's classes, and the name, the shape and the dtype
        of each parameter and buffer.
    """
    classes = dict.fromkeys(map(type, module.modules()))
    tensors = [
        (name, tensor)
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
        # Those of layers that have not run yet have no shape.
        if not is_lazy(tensor)
    ]
    return [
        # Without addresses of functions.
        re.sub("0x[0-9a-fA-F]+", "", repr(module)),
        *map(_source_of, classes),
        *((name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in tensors),
    ]


class _ContentHasher(NumpyHasher):
    """joblib's hasher, which knows arrays by content, with the same for tensors and sources."""

    def save(self, obj):
        if isinstance(obj, torch.Tensor):
            values = obj.detach().cpu().reshape(-1).view(torch.uint8).numpy()
            obj = (type(obj), str(obj.dtype), tuple(obj.shape), obj.requires_grad, values)
        elif isinstance(obj, (type, FunctionType)):
            # A pickle has only the name, and another script may have another class of that name.
            super().save(_source_of(obj))
        super().save(obj)


@lru_cache(1000)
def _source_of(obj):
    """Return the source of a class with its bases, or of a function, as far as it is the user's."""
    return "".join(dict.fromkeys(map(_source_of_one, getattr(obj, "__mro__", [obj]))))


def _source_of_one(obj):
    package = (getattr(obj, "__module__", None) or "").partition(".")[0]
    try:
        path = inspect.getsourcefile(obj) or ""
        is_users = _INSTALLED.isdisjoint(Path(path).parts)
        return inspect.getsource(obj) if is_users and package not in sys.stdlib_module_names else ""
    # Built in, or typed into an interpreter.
    except (OSError, TypeError):
        return ""
