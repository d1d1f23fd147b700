"""Callbacks that make training faster: memory format and precision."""

from __future__ import annotations

import threading
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

from imblearn_eos._device import has_bfloat16


class ChannelsLast(Callback):
    """Store images and convolution weights with channels last, which makes convolutions faster.

    The shape of images stays (n_samples, channels, height, width). Results change by rounding only.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from torch.nn import CrossEntropyLoss
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import ChannelsLast
    >>> net = NeuralNetClassifier(
    ...     SmallCNN, module__n_classes=10, criterion=CrossEntropyLoss, callbacks=[ChannelsLast()]
    ... )
    """

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Rearrange the weights; activations follow their memory format."""
        torch.nn.utils.convert_conv2d_weight_memory_format(net.module_, torch.channels_last)


class MixedPrecision(Callback):
    """Train in bfloat16 by autocast, on devices that have bfloat16 arithmetic.

    Weights, losses, validation, prediction and embeddings stay in float32. Nothing changes on
    devices without bfloat16 arithmetic, such as most CPUs.

    Attributes
    ----------
    is_active_ : bool
        Whether the device has bfloat16 arithmetic.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from torch.nn import CrossEntropyLoss
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import MixedPrecision
    >>> net = NeuralNetClassifier(
    ...     SmallCNN, module__n_classes=10, criterion=CrossEntropyLoss, callbacks=[MixedPrecision()]
    ... )
    """

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Register hooks that run the module in bfloat16 in training mode."""
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

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Remove the hooks."""
        for handle in self.__dict__.pop("_handles", []):
            handle.remove()


class _Autocast:
    """Hooks that run a module in bfloat16 in training mode."""

    # The contexts that any of these entered in a thread; the last is left first.
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
