"""Callbacks that change the samples of training batches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.dataset import unpack_data
from skorch.utils import to_tensor

from imblearn_eos._compat import Interval, validate_parameter_constraints
from imblearn_eos.training._hooks import BatchHooks, Hook


class BatchAugmentation(Callback):
    """Augment training batches on the net's device.

    Validation, prediction and embeddings use the samples as they are.

    Parameters
    ----------
    transform : callable
        Takes and returns a batch of samples, a tensor on the net's device; for example a module of
        kornia or of ``torchvision.transforms.v2``. It should draw random numbers from torch, which
        :class:`imblearn_eos.Embedder` seeds. Use a function or class from the top level of a
        module, so that trained networks can be cached.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from torch.nn import CrossEntropyLoss
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import BatchAugmentation
    >>> def flip_all(images):
    ...     return images.flip(-1)
    >>> callbacks = [BatchAugmentation(flip_all)]
    >>> net = NeuralNetClassifier(
    ...     SmallCNN, module__n_classes=10, criterion=CrossEntropyLoss, callbacks=callbacks
    ... )
    """

    def __init__(self, transform: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.transform = transform

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Replace the samples of a training batch."""
        if training:
            batch[0] = self.transform(_samples(net, batch))


class Mixup(BatchHooks):
    r"""Train on mixtures of samples.

    Each sample :math:`x_i` of a batch becomes :math:`\lambda x_i + (1 - \lambda) x_j`, where
    :math:`x_j` is another sample of the batch. Its loss becomes :math:`\lambda` times the loss for
    the class of :math:`x_i` plus :math:`1 - \lambda` times the loss for the class of :math:`x_j`.
    :math:`\lambda` is drawn for each batch from :math:`\mathrm{Beta}(\alpha, \alpha)` [1]_. Put
    this callback after `BatchAugmentation`. The training loss that skorch shows is the loss of the
    mixtures.

    Parameters
    ----------
    alpha : float, default=1.0
        Parameter of the Beta distribution, above 0. With 1, all shares are equally likely; smaller
        values make shares near 0 and 1 more likely. Random numbers are drawn from torch, which
        :class:`imblearn_eos.Embedder` seeds.

    Raises
    ------
    ValueError
        When training begins and ``alpha`` is not above 0.
    TypeError
        When the samples of a batch are not one tensor of floating-point numbers.

    References
    ----------
    .. [1] Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization",
       ICLR 2018, :arxiv:`1710.09412`.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from torch.nn import CrossEntropyLoss
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import Mixup
    >>> net = NeuralNetClassifier(
    ...     SmallCNN, module__n_classes=10, criterion=CrossEntropyLoss, callbacks=[Mixup(alpha=0.2)]
    ... )
    """

    _parameter_constraints = {"alpha": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Check ``alpha``."""
        validate_parameter_constraints(
            self._parameter_constraints, {"alpha": self.alpha}, caller_name="Mixup"
        )
        super().on_train_begin(net, **kwargs)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Mix the samples of a training batch, and by a hook of the criterion its losses."""
        if not training:
            return
        samples = _samples(net, batch)
        if not isinstance(samples, torch.Tensor) or not samples.is_floating_point():
            kind = getattr(samples, "dtype", type(samples).__name__)
            raise TypeError(
                f"Mixup needs samples that are one tensor of floating-point numbers, got {kind}. "
                "Convert samples to float32, or train without Mixup."
            )
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        partners = torch.randperm(len(samples), device=samples.device)
        batch[0] = torch.lerp(samples[partners], samples, share)
        hook = _MixedLosses(share, partners)
        self.handles_ = [net.criterion_.register_forward_hook(hook)]


class _MixedLosses(Hook):
    """Mix the losses of a batch as its samples are mixed."""

    def __init__(self, share, partners):
        self.share, self.partners = share, partners

    def __call__(self, criterion, args, loss):
        outputs, target = args
        other_loss = criterion.forward(outputs, target[self.partners])
        return self.share * loss + (1 - self.share) * other_loss


def augmentations(net):
    """Return the transforms of a net's `BatchAugmentation` callbacks."""
    callbacks = [callback for _, callback in getattr(net, "callbacks_", ())]
    return [part.transform for part in callbacks if isinstance(part, BatchAugmentation)]


@contextmanager
def augmented(net):
    """Within the block, augment what the net runs on as its training batches were."""

    def augment(module, args, kwargs):
        for transform in augmentations(net):
            if args:
                args = transform(args[0]), *args[1:]
            else:
                # The arrays of a dict go to the module by name.
                kwargs = transform(kwargs)
        return args, kwargs

    handle = net.module_.register_forward_pre_hook(augment, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _samples(net, batch):
    """Return the samples of a batch on the net's device, if they can be replaced there."""
    if not isinstance(batch, list):
        raise TypeError(
            "BatchAugmentation and Mixup replace the samples of a batch, which must be a list, but "
            f"the net's iterator_train returns a {type(batch).__name__}. Use torch's DataLoader or "
            "imblearn_eos.training.BatchLoader."
        )
    samples, _ = unpack_data(batch)
    return to_tensor(samples, device=net.device)
