"""Checkpoints that stay whole, and training that continues from them."""

from __future__ import annotations

import os
import pickle
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, Checkpoint

from imblearn_eos._device import seed_torch


class Resume(Callback):
    """Train only the missing epochs after skorch loaded a checkpoint.

    After :class:`skorch.callbacks.LoadInitState`, skorch itself trains ``max_epochs`` more epochs.
    With this callback there are ``max_epochs`` in total. Each epoch draws random numbers from its
    own seed, which depends on torch's seed at the start of training and on the number of the epoch.
    An interrupted training therefore gives the same network as an uninterrupted one.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from skorch.callbacks import LoadInitState
    >>> from torch.nn import CrossEntropyLoss
    >>> from imblearn_eos.models import SmallCNN
    >>> from imblearn_eos.training import AtomicCheckpoint, Resume
    >>> checkpoint = AtomicCheckpoint(monitor=None, dirname="checkpoint")
    >>> callbacks = [LoadInitState(checkpoint), Resume(), checkpoint]  # in this order
    >>> net = NeuralNetClassifier(
    ...     SmallCNN, module__n_classes=10, criterion=CrossEntropyLoss, callbacks=callbacks
    ... )
    """

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Count the missing epochs."""
        if vars(self).get("n_left_") == net.max_epochs:
            # An error ended the last training before its first epoch.
            net.max_epochs = self.max_epochs_
        self.max_epochs_: int = net.max_epochs
        self.seed_ = torch.initial_seed()
        self.n_left_ = net.max_epochs = max(0, net.max_epochs - len(net.history))

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Seed torch for the epoch, and restore ``max_epochs``, which skorch has read."""
        net.max_epochs, self.n_left_ = self.max_epochs_, None
        seed_torch(self.seed_ + len(net.history), net.device)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore ``max_epochs`` if no epoch was missing."""
        net.max_epochs, self.n_left_ = self.max_epochs_, None


class AtomicCheckpoint(Checkpoint):
    """A checkpoint whose files are never half-written, whatever ends the process.

    :class:`skorch.callbacks.Checkpoint` overwrites its files in place, so that an interruption
    leaves a broken file. This one writes each file under a temporary name, with ``.unfinished``
    at its end, and renames all of them once they are complete. A process that is killed between
    two renames leaves files of two epochs. The history, which tells how many epochs are done, is
    renamed last.

    Parameters
    ----------
    **kwargs : dict
        As for :class:`skorch.callbacks.Checkpoint`, but file names must be strings. An error while
        writing, such as a full disk, is raised instead of passed to ``sink``.

    Examples
    --------
    See :class:`Resume`.
    """

    def save_model(self, net: NeuralNet) -> None:
        """Write the files."""
        files = {name: file for name, file in self.get_formatted_files(net).items() if file}
        for name, file in files.items():
            unfinished = f"{file}.unfinished"
            if name == "f_pickle":
                with open(unfinished, "wb") as stream:
                    pickle.dump(net, stream)
            else:
                net.save_params(**{name: unfinished, "use_safetensors": self.use_safetensors})
        for name in sorted(files, key=lambda name: name == "f_history"):
            os.replace(f"{files[name]}.unfinished", files[name])
