"""Pieces that make the training of any skorch net faster, or augment its batches.

Each is an ``iterator_train`` or a callback of a :class:`skorch.NeuralNet`; none replaces skorch's
training loop.
"""

import copy
import os
import threading
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from skorch.callbacks import Callback, Checkpoint
from skorch.dataset import Dataset, unpack_data
from skorch.utils import to_tensor
from torch.utils.data import DataLoader, Subset, TensorDataset, default_collate

from imblearn_eos._device import has_bfloat16
from imblearn_eos._interrupts import uninterrupted

__all__ = [
    "AtomicCheckpoint",
    "BatchAugmentation",
    "BatchLoader",
    "ChannelsLast",
    "MixedPrecision",
    "Mixup",
    "Resume",
]


class BatchLoader(DataLoader):
    """A data loader that takes a batch out of an array by one index operation.

    torch's own takes the samples one by one and stacks them. For use as ``iterator_train`` or
    ``iterator_valid`` of a net that is fitted to arrays or tensors; from any other dataset it
    takes samples one by one too.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        skorch passes it.
    **kwargs : dict
        As for :class:`torch.utils.data.DataLoader`, except ``collate_fn``.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import BatchLoader
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     iterator_train=BatchLoader,
    ...     iterator_valid=BatchLoader,
    ... )
    """

    def __init__(self, dataset, **kwargs):
        super().__init__(_Batches(dataset), collate_fn=_as_it_is, **kwargs)


class _Batches(torch.utils.data.Dataset):
    """A dataset whose items are taken in batches: lists of samples and labels."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]

    def __getitems__(self, indices):
        dataset, indices = self.dataset, np.asarray(indices)
        while type(dataset) is Subset:
            dataset, indices = dataset.dataset, np.asarray(dataset.indices)[indices]
        arrays = _arrays_of(dataset)
        if arrays is None:
            return default_collate([dataset[i] for i in indices.tolist()])
        # A copy of the rows is what fancy indexing gives, in NumPy and in torch.
        return [torch.as_tensor(array[indices]) for array in arrays]


def _arrays_of(dataset):
    """Give the arrays of samples and labels that a dataset consists of, or None."""
    arrays = None
    if type(dataset) is TensorDataset:
        arrays = dataset.tensors
    elif type(dataset) is Dataset:
        # In prediction there are no labels, and skorch's place holder is 0.
        # A view of one number: every batch comes here.
        none = np.broadcast_to(np.float32(0), (len(dataset), 1))
        arrays = dataset.X, none if dataset.y is None else dataset.y
    is_plain = arrays and all(isinstance(array, (np.ndarray, torch.Tensor)) for array in arrays)
    return arrays if is_plain else None


def _as_it_is(batch):
    return batch


class BatchAugmentation(Callback):
    """Augment training batches on the net's device.

    Nothing is augmented in validation, in prediction, and while embeddings are taken.

    Parameters
    ----------
    transform : callable
        Takes and returns a batch of samples, a tensor on the net's device: a module of kornia or
        of ``torchvision.transforms.v2``, say. Its randomness should be torch's, which
        :class:`imblearn_eos.Embedder` seeds. Use a function or class from the top level of a
        module, so that trained networks can be cached.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import BatchAugmentation
    >>> def flip_all(images):
    ...     return images.flip(-1)
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     callbacks=[BatchAugmentation(flip_all)],
    ... )
    """

    def __init__(self, transform):
        self.transform = transform

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        """Replace the samples of a training batch."""
        if not training:
            return
        _check_batch(batch, "BatchAugmentation")
        samples, _ = unpack_data(batch)
        batch[0] = self.transform(to_tensor(samples, device=net.device))


def _check_batch(batch, name):
    if not isinstance(batch, list):
        raise TypeError(
            f"{name} replaces the samples in a batch, which it can do in a list only, but the "
            f"net's iterator_train gives a {type(batch).__name__}. Use torch's DataLoader or "
            "imblearn_eos.training.BatchLoader."
        )


class ChannelsLast(Callback):
    """Keep images with their channels last in memory, which makes convolutions faster.

    The shape of images stays (n_samples, channels, height, width), and results stay the same but
    for rounding.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import ChannelsLast
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     callbacks=[ChannelsLast()],
    ... )
    """

    def on_train_begin(self, net, **kwargs):
        """Rearrange the weights; what flows through convolutions follows them."""
        torch.nn.utils.convert_conv2d_weight_memory_format(net.module_, torch.channels_last)


class MixedPrecision(Callback):
    """Train in bfloat16 where that is precise enough, on devices that are fast at it.

    Weights, losses, validation, prediction and embeddings stay in float32. Where the device has no
    bfloat16 arithmetic, which is most CPUs, nothing is changed.

    Attributes
    ----------
    is_active_ : bool
        Whether the device has bfloat16 arithmetic.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import MixedPrecision
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     callbacks=[MixedPrecision()],
    ... )
    """

    def on_train_begin(self, net, **kwargs):
        """Let the module run in bfloat16 in training mode."""
        # skorch does not call on_train_end after an error.
        self.on_train_end(net)
        device = torch.device(net.device or "cpu").type
        self.is_active_ = has_bfloat16(device)
        if not self.is_active_:
            return
        autocast = _Autocast(device)
        self._handles = [
            net.module_.register_forward_pre_hook(autocast.enter),
            # Also after an error, or autocast would stay on.
            net.module_.register_forward_hook(autocast.leave, always_call=True),
        ]

    def on_train_end(self, net, **kwargs):
        """Leave the module as it was."""
        for handle in vars(self).pop("_handles", []):
            handle.remove()


class _Autocast:
    """Hooks of a module that runs in bfloat16 in training mode."""

    # What was entered by any of these in a thread, the last to be left first.
    entered = threading.local()

    def __init__(self, device):
        self.device = device

    def enter(self, module, args):
        if module.training:
            context = torch.autocast(self.device, torch.bfloat16)
            context.__enter__()
            vars(self.entered).setdefault("contexts", []).append(context)

    def leave(self, module, args, outputs):
        contexts = vars(self.entered).get("contexts")
        if not module.training or not contexts:
            return None
        contexts.pop().__exit__(None, None, None)
        if isinstance(outputs, tuple):
            return (outputs[0].float(), *outputs[1:])
        # None after an error.
        return None if outputs is None else outputs.float()


class Mixup(Callback):
    r"""Train on mixtures of samples.

    Each sample :math:`x_i` of a batch becomes :math:`\lambda x_i + (1 - \lambda) x_j`, with another
    sample :math:`x_j` of the batch, and its loss :math:`\lambda` times that for the class of
    :math:`x_i` plus :math:`1 - \lambda` times that for the class of :math:`x_j`, where
    :math:`\lambda` is drawn for each batch from :math:`\mathrm{Beta}(\alpha, \alpha)` [1]_. Put it
    after `BatchAugmentation`. The training loss that skorch shows is that of mixtures.

    Parameters
    ----------
    alpha : float, default=1.0
        How even mixtures are, more than 0: with 1 all shares are as likely, with less most are
        near 0 and 1. The random numbers are torch's, which :class:`imblearn_eos.Embedder` seeds.

    Raises
    ------
    ValueError
        When training begins and ``alpha`` is not more than 0.
    TypeError
        When the samples of a batch are not one tensor of floating-point numbers, or the net's
        criterion is no torch module.

    References
    ----------
    .. [1] Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization",
       ICLR 2018, :arxiv:`1710.09412`.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import Mixup
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     callbacks=[Mixup(alpha=0.2)],
    ... )
    """

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def on_train_begin(self, net, **kwargs):
        """Let the criterion mix losses as samples are mixed."""
        if not isinstance(self.alpha, Real) or not self.alpha > 0:
            raise ValueError(
                f"The alpha of Mixup must be a number of more than 0, got {self.alpha!r}."
            )
        if not isinstance(net.criterion_, torch.nn.Module):
            raise TypeError(
                f"Mixup mixes the losses of a torch module, but the net's criterion is a "
                f"{type(net.criterion_).__name__}. Use one of torch.nn or imblearn_eos.losses."
            )
        # skorch does not call on_train_end after an error.
        self.on_train_end(net)
        self._mixture = None
        self._handle = net.criterion_.register_forward_hook(self._mix_losses)

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        """Mix the samples of a training batch."""
        self._mixture = None
        if not training:
            return
        _check_batch(batch, "Mixup")
        samples, _ = unpack_data(batch)
        samples = to_tensor(samples, device=net.device)
        if not isinstance(samples, torch.Tensor) or not samples.is_floating_point():
            kind = samples.dtype if isinstance(samples, torch.Tensor) else type(samples).__name__
            raise TypeError(
                "Mixup mixes samples that are one tensor of floating-point numbers, but a batch "
                f"holds {kind}. Convert samples to float32, or train without Mixup."
            )
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        partners = torch.randperm(len(samples), device=samples.device)
        batch[0] = torch.lerp(samples[partners], samples, share)
        self._mixture = share, partners

    def on_train_end(self, net, **kwargs):
        """Leave the criterion as it was."""
        if vars(self).get("_handle") is not None:
            self._handle.remove()
        self._handle = self._mixture = None

    def _mix_losses(self, criterion, args, loss):
        if self._mixture is None:
            return None
        share, partners = self._mixture
        outputs, target = args
        return share * loss + (1 - share) * criterion.forward(outputs, target[partners])


class Resume(Callback):
    """Train only the epochs that are missing after skorch loaded a checkpoint.

    After :class:`skorch.callbacks.LoadInitState`, skorch itself would train ``max_epochs`` more.
    With this callback there are ``max_epochs`` in all. Each epoch gets random numbers of its own,
    which depend on torch's seed at the begin of training and on the epoch's number, so that a
    training that was interrupted gives the network of one that was not.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from skorch.callbacks import LoadInitState
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import AtomicCheckpoint, Resume
    >>> checkpoint = AtomicCheckpoint(monitor=None, dirname="checkpoint")
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     max_epochs=200,
    ...     callbacks=[LoadInitState(checkpoint), Resume(), checkpoint],  # in this order
    ... )
    """

    def on_train_begin(self, net, **kwargs):
        """Count the epochs that are left."""
        if vars(self).get("n_left_") == net.max_epochs:
            # An error ended the last training, and on_train_end was not called.
            net.max_epochs = self.max_epochs_
        self.max_epochs_ = net.max_epochs
        self.seed_ = torch.initial_seed()
        self.n_left_ = net.max_epochs = max(0, net.max_epochs - len(net.history))

    def on_epoch_begin(self, net, **kwargs):
        """Seed torch for the epoch."""
        torch.manual_seed(self.seed_ + len(net.history))

    def on_train_end(self, net, **kwargs):
        """Leave the parameter of the net as it was."""
        net.max_epochs = self.max_epochs_
        self.n_left_ = None


class AtomicCheckpoint(Checkpoint):
    """A checkpoint that Ctrl-C leaves whole.

    skorch's own overwrites its files one by one: Ctrl-C in the midst leaves a broken file, or files
    of two epochs, and nothing to continue from. Here all files are written to a folder of their own
    in ``dirname`` and then moved to their places, while Ctrl-C waits. Whatever else kills the
    process between two moves leaves files of two epochs; the history, which says how many epochs
    are done, is moved last. A process that is killed while it writes leaves a folder
    ``.unfinished-...``, which can be deleted.

    Parameters
    ----------
    **kwargs : dict
        As for :class:`skorch.callbacks.Checkpoint`, but names of files must be strings without a
        folder. Errors do not go to ``sink``.

    Raises
    ------
    OSError
        When something cannot be written, as on a full disk, where skorch's prints a line if asked
        to. A name of None leaves that part out.
    ValueError
        When the net is initialized and a name has a folder.

    Examples
    --------
    See :class:`Resume`.
    """

    def initialize(self):
        """Check the names of files."""
        for name, file in vars(self).items():
            if not name.startswith("f_") or file is None:
                continue
            full = f"{self.fn_prefix}{file}"
            is_text = isinstance(file, str) and isinstance(self.fn_prefix, str)
            if not is_text or Path(full).name != full or full in ("", ".."):
                raise ValueError(
                    f"The file name {name}={file!r} of AtomicCheckpoint, behind "
                    f"fn_prefix={self.fn_prefix!r}, must be a string without a folder. Put the "
                    "folder into dirname."
                )
        return super().initialize()

    def save_model(self, net):
        """Write the files."""
        folder = Path(self.dirname)
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(
            prefix=".unfinished-", dir=folder, ignore_cleanup_errors=True
        ) as unfinished:
            writer = copy.copy(self)
            writer.dirname, writer.sink = unfinished, _raise
            Checkpoint.save_model(writer, net)
            history = f"{self.fn_prefix}{self.f_history}"
            files = sorted(Path(unfinished).iterdir(), key=lambda file: file.name == history)
            with uninterrupted():
                for file in files:
                    os.replace(file, folder / file.name)


def _raise(message):
    raise OSError(message)
