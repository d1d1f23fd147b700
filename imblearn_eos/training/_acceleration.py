"""Callbacks that make training faster: memory format and precision."""

from __future__ import annotations

import threading
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

from imblearn_eos._device import has_bfloat16
from imblearn_eos.training._hooks import BatchHooks, Hook


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


class MixedPrecision(BatchHooks):
    """Train in bfloat16 by autocast, on devices that multiply faster in it.

    Weights, losses, validation, prediction and embeddings stay in float32. Nothing changes on
    others, such as most CPUs. A CPU that has its instructions is asked by a short product.

    Attributes
    ----------
    is_active_ : bool
        Whether the device multiplies faster in bfloat16.

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
        """Ask whether the device multiplies faster in bfloat16."""
        super().on_train_begin(net, **kwargs)
        self.is_active_ = has_bfloat16(_device_type(net))

    def on_batch_begin(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Register hooks that run the module in bfloat16."""
        if training and self.is_active_:
            self.handles_ = [
                net.module_.register_forward_pre_hook(_EnterAutocast(_device_type(net))),
                # Also after an error, or autocast would stay on.
                net.module_.register_forward_hook(_LeaveAutocast(), always_call=True),
            ]


def _device_type(net):
    return torch.device(net.device or "cpu").type


# The contexts that any of the hooks entered in a thread; the last is left first.
_entered = threading.local()


class _EnterAutocast(Hook):
    """Run a module in bfloat16 in training mode."""

    def __init__(self, device):
        self.device = device

    def __call__(self, module, args):
        if module.training:
            context = torch.autocast(self.device, torch.bfloat16)
            context.__enter__()
            vars(_entered).setdefault("contexts", []).append(context)


class _LeaveAutocast(Hook):
    """Return to float32."""

    def __call__(self, module, args, outputs):
        contexts = vars(_entered).get("contexts")
        if not module.training or not contexts:
            return None
        contexts.pop().__exit__(None, None, None)
        if isinstance(outputs, tuple):
            return (outputs[0].float(), *outputs[1:])
        # None after an error.
        return None if outputs is None else outputs.float()
