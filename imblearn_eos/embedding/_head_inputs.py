"""Reading the embeddings: what flows into the head while a net runs in evaluation mode."""

from collections.abc import Mapping
from contextlib import contextmanager

import torch
from tqdm import tqdm

# A copy from a GPU waits for all that it computes, so this many bytes are copied at once.
COPIED_BYTES = 2**26


def scores_of(output):
    """Return the scores, or the embedding, in what a module returns.

    Parameters
    ----------
    output : torch.Tensor, tuple, list, mapping or object with ``logits``
        The tensor itself, the ``logits`` of an object, the first of a tuple, the "logits" of a
        mapping such as a ModelOutput of transformers, or its "pooler_output" if it has no logits.

    Returns
    -------
    torch.Tensor

    Raises
    ------
    ValueError
        When the module returns anything else.
    """
    found = type(output).__name__
    if isinstance(output, Mapping):
        found += f" with the keys {list(output)}"
        output = output.get("logits", output.get("pooler_output"))
    elif hasattr(output, "logits"):
        # Also of a named tuple, in which the loss may be first.
        output = output.logits
    elif isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, torch.Tensor) or output.ndim == 0:
        raise ValueError(
            "The module must return a tensor, alone, first in a tuple, as 'logits', or as "
            f"'pooler_output' of a mapping, got {found}. Wrap it in a module that does."
        )
    return output


def head_inputs(net, layer, X, device="cpu", verbose=False):
    """Run a net in evaluation mode and collect what flows into a layer.

    Parameters
    ----------
    net : skorch.NeuralNet or FrozenModule
        Initialized or trained.
    layer : str or None
        Dotted name of a layer. None means that the output of the net is wanted.
    X : ndarray, torch.Tensor or Dataset of shape (n_samples, ...)
        The samples.
    device : str or torch.device, default="cpu"
        Where to put the result.
    verbose : bool, default=False
        Show progress.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_features), dtype=float32

    Raises
    ------
    ValueError
        As :func:`single_input`, when torch cannot run the net on such samples, or when the net's
        iterator leaves out samples.
    """
    embeddings = torch.cat(list(_moved(_batches(net, layer, X, verbose), device)))
    if len(embeddings) != len(X):
        raise ValueError(
            f"The net returned {len(embeddings)} embeddings for {len(X)} samples. Its "
            "'iterator_valid' must return every sample once."
        )
    return embeddings


def _batches(net, layer, X, verbose):
    """Yield the embeddings of each batch, where the net is."""
    captured = []

    def capture(_, values, __):
        # A copy, because the network may change its tensors in place later on.
        captured.append(values.detach().to(torch.float32, copy=True))

    layers = {} if layer is None else {layer: net.module_.get_submodule(layer)}
    with watched(layers, capture), ShapeExplained(X):
        batches_of_outputs = tqdm(
            # Outputs stay where they are: only what flows into the layer is wanted.
            net.forward_iter(X, device=None),
            desc="Embedding",
            total=-(-len(X) // net.batch_size) if net.batch_size > 0 else 1,
            unit="batch",
            disable=not verbose,
        )
        for output in batches_of_outputs:
            if layer is None:
                capture(None, scores_of(output), None)
            yield single_input(layer, captured)
            captured.clear()


def _moved(batches, device):
    """Yield tensors on a device: those that are elsewhere joined, up to ``COPIED_BYTES``."""
    waiting, n_bytes = [], 0
    for batch in batches:
        waiting.append(batch)
        n_bytes += batch.nbytes
        if n_bytes >= COPIED_BYTES:
            yield torch.cat(waiting).to(device)
            waiting, n_bytes = [], 0
    if waiting:
        yield torch.cat(waiting).to(device)


def single_input(layer, inputs):
    """Return the only input that a layer had in one batch.

    Raises
    ------
    ValueError
        When the layer did not run exactly once, or its input is not one vector per sample.
    """
    if len(inputs) != 1 or inputs[0].ndim != 2:
        shapes = [tuple(values.shape) for values in inputs]
        raise ValueError(
            f"The layer {layer!r} ran {len(inputs)} times in one batch, with inputs of shapes "
            f"{shapes}; the head must run once, with an input of shape (n_samples, n_features). "
            "Pass the name of another layer as the 'layer' parameter of Embedder."
        )
    return inputs[0]


@contextmanager
def watched(layers, callback):
    """Within the block, call ``callback(name, input, output)`` after each run of a layer.

    Parameters
    ----------
    layers : dict of str to torch.nn.Module
        The layers by name.
    callback : callable
        Called in the order in which the layers run.
    """
    handles = []

    def watch(name, layer):
        def hook(_, args, kwargs, output):
            callback(name, args[0] if args else kwargs["input"], output)

        handles.append(layer.register_forward_hook(hook, with_kwargs=True))

    try:
        for name, layer in layers.items():
            watch(name, layer)
        yield
    finally:
        for handle in handles:
            handle.remove()


class ShapeExplained:
    """Raise ValueError where torch cannot run a network, most likely for the shape of samples.

    Parameters
    ----------
    X : ndarray, torch.Tensor or Dataset
        The samples that the block runs the network on.
    """

    def __init__(self, X):
        self.X = X

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        is_memory = isinstance(error, torch.cuda.OutOfMemoryError)
        if isinstance(error, RuntimeError) and not is_memory:
            raise ValueError(
                f"The network cannot be run on {_describe_samples(self.X)}. X must have the shape "
                "that its module takes, for rows (n_samples, n_features) and for images "
                f"(n_samples, channels, height, width). torch says: {error}"
            ) from error


def _describe_samples(X):
    if hasattr(X, "shape"):
        return f"samples of shape {tuple(X.shape[1:])}"
    sample, _ = X[0]
    if hasattr(sample, "shape"):
        return f"samples of shape {tuple(sample.shape)} and dtype {sample.dtype}"
    return f"samples of type {type(sample).__name__}"
