"""A trained torch module in the place of a skorch net: run, and never trained."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from skorch.dataset import Dataset as SkorchDataset
from torch import nn
from torch.utils.data import DataLoader, Dataset

from imblearn_eos._compat import uncompiled
from imblearn_eos.embedding._head_inputs import scores_of, single_input
from imblearn_eos.embedding._probe import Probe, describe_layers, first_batch, is_close
from imblearn_eos.embedding._to_module import linear_from_arrays, replace_layer


class FrozenModule:
    """A trained module that is run in evaluation mode and never trained.

    Parameters
    ----------
    module : torch.nn.Module
        Stays on its device. Clones of this object share it.
    trained_on_rows : bool
        Whether the module was trained on the samples that it will embed.
    preprocess : callable, default=None
        Turns one sample into what the module takes. None means that samples are so already.
    batch_size : int
        Samples that the module takes at once.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        trained_on_rows: bool,
        batch_size: int,
        preprocess: Callable | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(
                "The 'module' parameter of EmbeddingPipeline.from_module must be a "
                f"torch.nn.Module, got {type(module).__name__}. For a skorch net use "
                "make_embedding_pipeline."
            )
        # Hooks do not run in a compiled module.
        self.module_ = uncompiled(module)
        self.trained_on_rows = trained_on_rows
        self.preprocess = preprocess
        self.batch_size = batch_size

    @property
    def weight(self) -> torch.Tensor:
        """A tensor with the module's dtype and device."""
        tensors = chain(self.module_.parameters(), self.module_.buffers())
        return next((t for t in tensors if t.is_floating_point()), torch.empty(0))

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.weight.device

    def forward_iter(self, X: Any, device: None = None) -> Iterator[Any]:
        """Yield the outputs of the module, batch by batch and in order.

        Parameters
        ----------
        X : ndarray, torch.Tensor or Dataset of shape (n_samples, ...)
            The items of a dataset are pairs of a sample and a label that is not used.
        device : None
            Outputs stay where the module is, as those of a skorch net with this argument.
        """
        self.module_.eval()
        dataset = X if isinstance(X, Dataset) else SkorchDataset(X)
        for batch, _ in DataLoader(dataset, self.batch_size):
            with torch.no_grad():
                output = self._run(batch)
            yield output

    def _run(self, batch):
        if isinstance(batch, Mapping):
            return self.module_(**{name: self._place(values) for name, values in batch.items()})
        if isinstance(batch, (tuple, list)):
            return self.module_(*map(self._place, batch))
        return self.module_(self._place(batch))

    def _place(self, values):
        if not isinstance(values, torch.Tensor):
            return values
        return values.to(self.device, self.weight.dtype if values.is_floating_point() else None)

    def __sklearn_clone__(self) -> FrozenModule:
        return self

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({type(self.module_).__name__}, "
            f"trained_on_rows={self.trained_on_rows})"
        )


class ModuleWithHead(nn.Module):
    """A module without a head of its own, and a head for its embeddings.

    Unlike torch.nn.Sequential, it takes dicts and modules that return several things.

    Parameters
    ----------
    module : torch.nn.Module
        Returns embeddings, in one of the forms that :func:`scores_of` knows.
    head : torch.nn.Module
        Takes the embeddings.
    """

    def __init__(self, module: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.head = head

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the scores of the head."""
        return self.head(scores_of(self.module(*args, **kwargs)))


def with_head(net, layer, coef, intercept, classes, is_sequential):
    """Copy the module of a net, with a head of given weights.

    Parameters
    ----------
    net : skorch.NeuralNet or FrozenModule
        Not changed.
    layer : str or None
        Dotted name of the layer to replace. None puts the head behind the module.
    coef, intercept : ndarray of shapes (n_classes, n_features) and (n_classes,)
        The weights.
    classes : ndarray of shape (n_classes,)
        Names of the outputs.
    is_sequential : bool
        Whether a head behind the module makes a torch.nn.Sequential.

    Returns
    -------
    torch.nn.Module
    """
    like = net if layer is None else net.module_.get_submodule(layer)
    head = linear_from_arrays(coef, intercept, like=like)
    if layer is None:
        container = nn.Sequential if is_sequential else ModuleWithHead
        return container(copy.deepcopy(net.module_), head)
    module = replace_layer(net.module_, layer, head)
    if hasattr(getattr(module, "config", None), "id2label"):
        # transformers saves and loads the head by them.
        module.config.id2label = dict(enumerate(map(str, classes.tolist())))
        module.config.label2id = {label: i for i, label in module.config.id2label.items()}
        module.num_labels = len(classes)
    return module


def probe_module(module, X, layer=None):
    """Run a trained module once and find its embedding, whatever number of outputs it has.

    Parameters
    ----------
    module : FrozenModule
        The module.
    X : ndarray, torch.Tensor or Dataset of shape (n_samples, ...)
        A few samples.
    layer : str, default=None
        Dotted name of the head; "" if the module has none, and returns the embedding. None means
        the last linear layer whose output, or its softmax, is what the module returns; if there is
        none, the module has no head.

    Returns
    -------
    Probe
        Without a head its ``layer`` is None.

    Raises
    ------
    ValueError
        When the head is not there or not clear, or the embedding is not one vector per sample.
    """
    output, runs = first_batch(module, X)
    scores = scores_of(output)
    if layer is None:
        layer = _find_head(runs, output, scores)
    elif layer != "" and layer not in {name for name, *_ in runs}:
        raise ValueError(f"The 'layer' parameter is {layer!r}, but {describe_layers(runs)}")
    if layer == "" and not isinstance(module.module_, nn.Linear):
        if scores.ndim != 2:
            raise ValueError(
                f"{type(module.module_).__name__} has no linear layer as head and returns the "
                f"shape {tuple(scores.shape)}, but embeddings need (n_samples, n_features). Pool "
                "or flatten them, for example with nn.Sequential(module, nn.Flatten())."
            )
        sample = X[0][0] if isinstance(X, Dataset) else X[0]
        is_sequential = isinstance(output, torch.Tensor) and not isinstance(
            sample, (Mapping, tuple, list)
        )
        return Probe(
            None, scores.shape[1], True, scores, isinstance(output, Mapping), is_sequential
        )
    embeddings = single_input(layer, [values for name, _, values, _ in runs if name == layer])
    (logits,) = (logits for name, _, _, logits in runs if name == layer)
    return Probe(
        layer, embeddings.shape[1], _returns(scores, logits), scores, isinstance(output, Mapping)
    )


def _find_head(runs, output, scores):
    """Return the name of the layer that makes the scores, or "" if the output is the embedding."""
    # What is called so is made for the use as embedding.
    if isinstance(output, Mapping) and "logits" not in output:
        return ""
    vectors = [run for run in runs if run[2].ndim == 2]
    for name, _, _, logits in reversed(vectors):
        if _returns(scores, logits):
            return name
    last_width = vectors[-1][1].out_features if vectors else None
    has_logits = isinstance(output, Mapping) or hasattr(output, "logits")
    if has_logits or last_width == scores.shape[-1]:
        raise ValueError(
            "The module's output is neither what a linear layer returns nor its softmax, so its "
            f"head is not clear: {describe_layers(runs)} If it has no head and returns the "
            "embedding, pass layer=''."
        )
    return ""


def _returns(scores, logits):
    """Return whether a module's output is the logits, their logarithmic softmax or softmax."""
    if scores.shape != logits.shape:
        return False
    # Probabilities of 1000 classes are small, and would all be close to each other.
    expected = logits.float().log_softmax(dim=-1)
    is_softmax = torch.allclose(scores.float(), expected.exp(), rtol=1e-4, atol=1e-8)
    return is_softmax or is_close(scores.float().log_softmax(dim=-1), expected)
