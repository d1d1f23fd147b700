"""Training a network reproducibly, and at most once for the same data."""

import random
import threading
import warnings
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock
from joblib.hashing import NumpyHasher
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory
from skorch.callbacks import Callback
from tqdm import tqdm

from imblearn_eos._interrupts import interruptible

# The random states are those of the whole process: one thread at a time may set them.
_lock = threading.RLock()


@contextmanager
def seeded(seed, device):
    """Seed Python, NumPy and torch to run a net, and restore their global states afterwards."""
    numpy_random = check_random_state(None)
    device = torch.device(device or "cpu")
    devices = [device] if device.type == "cuda" else []
    with _lock, torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        python_state, numpy_state = random.getstate(), numpy_random.get_state()
        # Data frames and joblib's memory maps are read-only, and batches are copies of them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        random.seed(seed)
        numpy_random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            numpy_random.set_state(numpy_state)


def train(net, X, y, *, seed, memory=None, verbose=False):
    """Train a clone of a net, or load it if the same net was trained on the same data.

    Processes that want the same net at the same time wait for the first of them to train it.

    Parameters
    ----------
    net : skorch.NeuralNet
        Left as it is.
    X : ndarray, torch.Tensor or torch.utils.data.Dataset
        As the net takes it.
    y : ndarray
        The labels, also if X is a dataset that has them.
    seed : int
        For the initial weights, the order of the batches, and whatever else is random.
    memory : None, str or joblib.Memory, default=None
        Where to keep trained nets.
    verbose : bool, default=False
        Show progress, and what came from the cache.

    Returns
    -------
    skorch.NeuralNet
        The trained net. Its module is never a compiled one, since those run no hooks.
    """
    net = clone(net)
    if memory is None:
        return _train(None, net, X, y, seed, verbose)
    # skorch lists its own bookkeeping among the parameters; it does not matter to training.
    params = {k: v for k, v in net.get_params(deep=False).items() if not k.startswith("_")}
    try:
        key = content_hash([type(net), params, X, y, seed])
    # What cannot be pickled says so with any type of exception.
    except Exception as error:
        # joblib's own message has all parameters and data in it.
        reason = str(error.__cause__ or error.__context__ or error).splitlines()[0][:200]
        _warn_without_cache(reason)
        return _train(None, net, X, y, seed, verbose)
    if isinstance(net.module, torch.nn.Module):
        _warn_of_instance()
    memory = _opened(memory)
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
        f"or the data cannot be hashed ({reason}). Replace lambdas and local functions or "
        "classes in its parameters by ones defined at the top level of a module (with several "
        "processes, of one that can be imported: no script or notebook), and pass a module "
        "class with module__... parameters rather than an instance.",
        UserWarning,
        # The line that calls fit.
        stacklevel=5,
    )


@cache
def _warn_of_instance():
    """Warn once that folds share what a module instance has learnt before."""
    warnings.warn(
        "The module of the net is an instance, so every fit, in every fold of a cross-validation, "
        "starts from the weights that it has, and they are part of what the 'memory' cache looks "
        "for. To train from new weights, pass the module class with module__... parameters; to use "
        "the weights as they are, a sklearn.frozen.FrozenEstimator of the initialized net.",
        UserWarning,
        stacklevel=5,
    )


def _opened(given):
    """Give a joblib.Memory whose folder, if it has one, is there."""
    try:
        memory = check_memory(given)
        if getattr(memory, "location", None) is not None:
            Path(memory.location).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"The 'memory' parameter of Embedder is {given!r}, where no folder can be made "
            f"({error}). Give a folder that you can write to."
        ) from error
    return memory


def _locked(memory, key):
    """Let one process at a time train or load the net of a key."""
    if getattr(memory, "location", None) is None:
        return nullcontext()
    return FileLock(Path(memory.location) / f"{key}.lock")


def _train(key, net, X, y, seed, verbose):
    """Train; ``key`` stands for the other arguments in the cache."""
    callbacks, bar = net.callbacks, EpochsBar()
    if verbose and callbacks != "disable":
        net.callbacks = [*(callbacks or []), ("epochs_bar", bar)]
    try:
        with seeded(seed, net.device), interruptible():
            net.fit(X, y)
    finally:
        bar.on_train_end(net)
    net.callbacks = callbacks
    net.callbacks_ = [(name, part) for name, part in net.callbacks_ if name != "epochs_bar"]
    for name in ("module_", "criterion_"):
        part = getattr(net, name)
        setattr(net, name, getattr(part, "_orig_mod", part))
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
        """Leave the bar as it is."""
        if hasattr(self, "bar_"):
            self.bar_.close()


def content_hash(obj):
    """Hash an object so that equal contents give equal hashes, in every process."""
    return _ContentHasher(hash_name="md5").hash(obj)


class _ContentHasher(NumpyHasher):
    """joblib's hasher, which knows arrays by content, taught the same for tensors."""

    def save(self, obj):
        if isinstance(obj, torch.Tensor):
            values = obj.detach().cpu().reshape(-1).view(torch.uint8).numpy()
            obj = (type(obj), str(obj.dtype), tuple(obj.shape), obj.requires_grad, values)
        super().save(obj)
