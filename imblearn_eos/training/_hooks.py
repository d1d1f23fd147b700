"""Hooks of a module or a criterion that live as long as a training batch."""

from __future__ import annotations

from functools import partial
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback


class Hook:
    """A hook whose copies do nothing: it must not outlive its batch in a pickle or a clone."""

    def __reduce__(self) -> tuple:
        return partial, (_do_nothing,)


def _do_nothing(*args):
    """Leave the inputs or the outputs of a module as they are."""


class BatchHooks(Callback):
    """A callback that hooks into single training batches.

    Subclasses put the handles of their hooks into ``handles_``. The name ends in an underscore
    because skorch takes every other attribute of a callback for a parameter.
    """

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Remove hooks of a batch that ended in an error."""
        self.remove_hooks()

    def on_batch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Remove the hooks of the batch."""
        self.remove_hooks()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Remove hooks of a batch that was interrupted."""
        self.remove_hooks()

    def remove_hooks(self) -> None:
        """Remove the hooks that were registered last."""
        for handle in self.__dict__.pop("handles_", []):
            handle.remove()

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "handles_"}
