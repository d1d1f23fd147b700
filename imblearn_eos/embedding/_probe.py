"""What one forward pass tells about a network before it is trained, above all its head."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from imblearn_eos._compat import predict_nonlinearity
from imblearn_eos.embedding._head_inputs import (
    ShapeExplained,
    scores_of,
    single_input,
    watched,
)


@dataclass(frozen=True)
class Probe:
    """What a network does with its first samples.

    Attributes
    ----------
    layer : str or None
        Dotted name of the head, "" if it is the whole module, None if there is none.
    n_features : int
        Length of an embedding.
    returns_softmax : bool
        Whether the net's probabilities are the softmax of what the head returns.
    scores : torch.Tensor of shape (n_samples, n_outputs) or (n_samples,)
        What the network returns.
    is_mapping : bool
        Whether it returns them in a mapping.
    is_sequential : bool
        Whether the network takes one tensor and returns one, as the parts of torch.nn.Sequential.
    """

    layer: str | None
    n_features: int
    returns_softmax: bool
    scores: torch.Tensor
    is_mapping: bool
    is_sequential: bool = False


def probe(net, X, n_classes, layer=None):
    """Run a net once and find the linear layer whose input is the embedding.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialized.
    X : ndarray, torch.Tensor or Dataset of shape (n_samples, ...)
        A few samples.
    n_classes : int
        The number of classes, for each of which the network must have one output.
    layer : str, default=None
        Dotted name of the head. None means the last linear layer that runs.

    Returns
    -------
    Probe

    Raises
    ------
    ValueError
        When the net does not return the samples in order, its outputs do not match the classes,
        or its head is not there, not clear, or without one vector per sample as its input.
    """
    _check_order(net, X)
    output, runs = first_batch(net, X)
    scores = scores_of(output)
    n_outputs = _count_outputs(scores, n_classes, net)
    layer = _find_head(runs, n_outputs, layer)
    embeddings = single_input(layer, [values for name, _, values, _ in runs if name == layer])
    (logits,) = (logits for name, _, _, logits in runs if name == layer)
    probabilities = torch.as_tensor(predict_nonlinearity(net)(scores))
    is_softmax = is_close(probabilities, logits.softmax(dim=1))
    return Probe(layer, embeddings.shape[1], is_softmax, scores, isinstance(output, Mapping))


def first_batch(net, X):
    """Run a net on a few samples and note the linear layers that run.

    Parameters
    ----------
    net : skorch.NeuralNet or FrozenModule
        Initialized.
    X : ndarray, torch.Tensor or Dataset of shape (n_samples, ...)
        The samples.

    Returns
    -------
    output : object
        What the module returns for the first batch.
    runs : list of (str, torch.nn.Linear, torch.Tensor, torch.Tensor) tuples
        Dotted name, layer, input and output of each run, in order.
    """
    layers = {
        name: part for name, part in net.module_.named_modules() if isinstance(part, nn.Linear)
    }
    runs = []

    def note(name, values, output):
        # A copy of the output, because the network may change it in place later on.
        runs.append((name, layers[name], values.detach(), output.detach().clone()))

    with watched(layers, note), ShapeExplained(X):
        # Only the first batch is wanted, and the head should run once in it.
        output = next(iter(net.forward_iter(X)))
    return output, runs


def is_close(a, b):
    """Return whether two tensors, on any devices, have the same shape and about equal values."""
    a, b = a.cpu().float(), b.cpu().float()
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def describe_layers(runs):
    """Return the end of an error that lists the linear layers that ran."""
    found = [f"{name!r} ({part.in_features} -> {part.out_features})" for name, part, *_ in runs]
    # A network of many blocks would fill the screen.
    found = ["...", *found[-10:]] if len(found) > 11 else found
    return (
        "the linear layers (torch.nn.Linear) that run in the network are, in this order: "
        f"{', '.join(found) or 'none'}. Pass the name of one of them as the 'layer' parameter."
    )


def check_criterion(net, scores):
    """Raise ValueError where skorch would take the logarithm of values that are not probabilities.

    It does so before its default criterion. The loss would be NaN or meaningless, without any
    error. A net with a ``get_loss`` of its own is not checked.
    """
    takes_log = (
        isinstance(net, NeuralNetClassifier)
        and type(net).get_loss is NeuralNetClassifier.get_loss
        and isinstance(net.criterion_, nn.NLLLoss)
    )
    if not takes_log:
        return
    sums = scores.float().sum(dim=1)
    if (scores < 0).any() or not torch.allclose(sums, torch.ones_like(sums), atol=0.01):
        raise ValueError(
            "The net's criterion is NLLLoss, skorch's default, which needs probabilities, but the "
            "module returns values below 0 or values that do not sum to 1. For a module that "
            "returns logits, set criterion=torch.nn.CrossEntropyLoss."
        )


def _find_head(runs, n_outputs, layer):
    """Return the name of the head, given the runs of linear layers."""
    names = [name for name, *_ in runs]
    if layer is not None:
        rule = f"The 'layer' parameter is {layer!r}"
        is_clear = layer in names
    else:
        rule = f"The head must be the last linear layer and the only one with {n_outputs} outputs"
        candidates = {name for name, part, *_ in runs if part.out_features == n_outputs}
        is_clear = bool(runs) and candidates == {names[-1]}
    if not is_clear:
        raise ValueError(f"{rule}, but {describe_layers(runs)}")
    return names[-1] if layer is None else layer


def _count_outputs(scores, n_classes, net):
    n_outputs = scores[0].numel() if scores.ndim in (1, 2) else 0
    # Only this net knows how to make two classes of a single output.
    is_binary = n_outputs == 1 and n_classes == 2 and isinstance(net, NeuralNetBinaryClassifier)
    if not (n_outputs == n_classes or is_binary):
        if n_outputs == 1 and n_classes == 2:
            remedy = "For two classes and one output, use skorch.NeuralNetBinaryClassifier."
        else:
            remedy = (
                "If the module is trained already, EmbeddingPipeline.from_module takes it with any "
                "number of outputs."
            )
        raise ValueError(
            f"The module must return a tensor of shape (n_samples, {n_classes}), one score per "
            "class of y, alone, first in a tuple or as 'logits', but its output has the shape "
            f"{tuple(scores.shape)}. {remedy}"
        )
    return n_outputs


def _check_order(net, X):
    """Raise ValueError unless a net returns its outputs in the order of the samples."""
    iterator = net.get_iterator(net.get_dataset(X), training=False)
    if not isinstance(iterator, DataLoader):
        return
    in_order = isinstance(iterator.sampler, SequentialSampler)
    batches = iterator.batch_sampler
    if not in_order or iterator.drop_last or type(batches) not in (BatchSampler, type(None)):
        raise ValueError(
            "The net's iterator_valid shuffles, drops or draws samples, so its embeddings would "
            "not match their labels. Remove iterator_valid__shuffle, iterator_valid__drop_last, "
            "iterator_valid__sampler and the like; iterator_train may have them."
        )
