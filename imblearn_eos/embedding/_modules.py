"""The head of a network: which layer it is, what flows into it, another one in its place."""

import copy
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from scipy.special import softmax
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
from tqdm import tqdm


def find_head(net, X, n_classes, layer=None):
    """Find the linear layer whose input is the embedding.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialized.
    X : ndarray, torch.Tensor or Dataset of shape (n_samples, ...)
        A few samples, on which the network is run.
    n_classes : int
        The number of outputs that the network must have.
    layer : str, default=None
        Dotted name of the layer. None means the last linear layer that runs.

    Returns
    -------
    str
        The dotted name of the layer, "" if it is the whole module.

    Raises
    ------
    ValueError
        When the network's outputs do not match the classes, there is no such layer, or ``layer``
        is None and more than one could be meant.
    """
    layers = _linear_layers(net.module_)
    if layer is not None and layer not in layers:
        raise ValueError(
            f"The 'layer' parameter is {layer!r}, which is not a linear layer (torch.nn.Linear) of "
            f"the network. Its linear layers are: {_describe(layers)}."
        )
    ran = []
    with _watch(layers, lambda name, _: ran.append(name)), shape_explained(X):
        # Only the first batch is wanted, and a layer should run once in it.
        output = next(iter(net.forward_iter(X)))
    n_outputs = _check_outputs(output, n_classes, net)
    if layer is not None:
        return layer
    if not ran:
        raise ValueError(
            "The network runs no linear layer (torch.nn.Linear), so it has no head whose input "
            "could be the embedding. Embedder needs a network that ends in one."
        )
    candidates = {name: layers[name] for name in ran if layers[name].out_features == n_outputs}
    if len(candidates) > 1 or ran[-1] not in candidates:
        problem = (
            f"{len(candidates)} linear layers with {n_outputs} outputs run in the network"
            if len(candidates) > 1
            else f"the last linear layer that runs does not have {n_outputs} outputs"
        )
        raise ValueError(
            f"Which layer is the head is not clear: {problem}. Pass its name as the 'layer' "
            "parameter. The linear layers that run are, in this order: "
            f"{_describe({name: layers[name] for name in ran})}."
        )
    return ran[-1]


def check_criterion(net, X):
    """Raise ValueError where skorch would take the logarithm of what is no probability.

    It does so before its default criterion. The loss would be NaN or mean nothing, and no error
    would tell. A net with a ``get_loss`` of its own is not checked.
    """
    takes_log = (
        isinstance(net, NeuralNetClassifier)
        and type(net).get_loss is NeuralNetClassifier.get_loss
        and isinstance(net.criterion_, nn.NLLLoss)
    )
    if not takes_log:
        return
    outputs = _first_output(next(iter(net.forward_iter(X)))).float()
    sums = outputs.sum(dim=1)
    if (outputs < 0).any() or not torch.allclose(sums, torch.ones_like(sums), atol=0.01):
        raise ValueError(
            "The net's criterion is NLLLoss, skorch's default, before which skorch takes the "
            "logarithm of the module's outputs. They are no probabilities: some are below 0, or "
            "those of a sample do not sum to 1. For a module that returns logits, set "
            "criterion=torch.nn.CrossEntropyLoss."
        )


@contextmanager
def shape_explained(X):
    """Raise ValueError where torch cannot run a network, most likely for the shape of samples."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(
            f"The network cannot be run on {_describe_samples(X)}. torch says: "
            f"{error}. Check the shape of X against the module: images are "
            "(n_samples, channels, height, width)."
        ) from error


def head_inputs(net, layer, X, device="cpu", verbose=False):
    """Run a net in evaluation mode and collect what flows into a layer.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialized or trained.
    layer : str
        Dotted name of a layer.
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
        When the layer does not run exactly once in each batch, its input is not 2-d, or the net's
        ``iterator_valid`` leaves out samples.
    """
    captured, batches = [], []

    def capture(_, values):
        # A copy, because the network may change its tensors in place later on.
        captured.append(values.detach().to(device, torch.float32, copy=True))

    with _watch({layer: net.module_.get_submodule(layer)}, capture):
        batches_of_outputs = tqdm(
            net.forward_iter(X),
            desc="Embedding",
            total=-(-len(X) // net.batch_size) if net.batch_size > 0 else 1,
            unit="batch",
            disable=not verbose,
        )
        for _ in batches_of_outputs:
            if len(captured) != 1:
                raise ValueError(
                    f"The layer {layer!r} ran {len(captured)} times in one batch; the head must "
                    "run exactly once. Pass the name of another layer as the 'layer' parameter."
                )
            batches.append(captured.pop())
            if batches[-1].ndim != 2:
                raise ValueError(
                    f"The input of the layer {layer!r} has shape {tuple(batches[-1].shape)}, but "
                    "an embedding is one vector per sample: (n_samples, n_features). Pool or "
                    "flatten before the head, or pass the name of another layer as the 'layer' "
                    "parameter."
                )
    embeddings = torch.cat(batches)
    if len(embeddings) != len(X):
        raise ValueError(
            f"The net gave {len(embeddings)} embeddings for {len(X)} samples. Its iterator_valid "
            "must return every sample once: leave out iterator_valid__drop_last and the like."
        )
    return embeddings


def check_order(net, X):
    """Raise ValueError unless a net gives its outputs in the order of the samples, one for each."""
    iterator = net.get_iterator(net.get_dataset(X), training=False)
    if not isinstance(iterator, DataLoader):
        return
    in_order = isinstance(iterator.sampler, SequentialSampler)
    batches = iterator.batch_sampler
    if not in_order or iterator.drop_last or type(batches) not in (BatchSampler, type(None)):
        raise ValueError(
            "The net's iterator_valid shuffles, drops or draws samples, so its embeddings would "
            "not be in the order of their labels, one for each. Remove iterator_valid__shuffle, "
            "iterator_valid__drop_last, iterator_valid__sampler and the like; iterator_train may "
            "have them."
        )


def returns_softmax(net, layer, X):
    """Whether a net's probabilities are the softmax of what a layer returns."""
    outputs = []

    def keep(module, args, output):
        outputs.append(output)

    handle = net.module_.get_submodule(layer).register_forward_hook(keep)
    try:
        probabilities = net.predict_proba(X)
    finally:
        handle.remove()
    expected = torch.cat(outputs).detach().softmax(dim=1).cpu().numpy()
    return probabilities.shape == expected.shape and bool(
        np.allclose(probabilities, expected, atol=1e-5)
    )


def replace_layer(module, layer, replacement):
    """Copy a module with another layer in place of one.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it is.
    layer : str
        Dotted name of the layer, "" for the module itself.
    replacement : torch.nn.Module
        What to put there.

    Returns
    -------
    torch.nn.Module
    """
    module = copy.deepcopy(module)
    replaced = module.get_submodule(layer)
    if replaced is module:
        return replacement
    # A layer may be held under several names, and any of them may be the one that forward uses.
    names = [
        name for name, part in module.named_modules(remove_duplicate=False) if part is replaced
    ]
    for name in names:
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, replacement)
    return module


def linear_from_arrays(coef, intercept, like):
    """Make a linear layer of given weights, with the dtype and device of another layer."""
    # skip_init, because drawing initial weights would advance the user's random state.
    linear = nn.utils.skip_init(
        nn.Linear,
        coef.shape[1],
        coef.shape[0],
        dtype=like.weight.dtype,
        device=like.weight.device,
    )
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(coef))
        linear.bias.copy_(torch.from_numpy(intercept))
    return linear


def softmax_weights(name, head, classes):
    """Give the weights and intercepts whose softmax is the head's ``predict_proba``."""
    needed = ("coef_", "intercept_", "predict_proba")
    missing = [attribute for attribute in needed if not hasattr(head, attribute)]
    if missing:
        raise ValueError(
            f"The last step {name!r} ({head!r}) has no {' and no '.join(missing)}, so to_module "
            "cannot turn it into a linear layer. Use a linear classifier with probabilities, such "
            "as LinearHead or sklearn.linear_model.LogisticRegression."
        )
    if not np.array_equal(head.classes_, classes):
        raise ValueError(
            f"The last step {name!r} knows the classes {head.classes_.tolist()}, the network "
            f"{classes.tolist()}. Use a sampler that keeps every class."
        )
    coef = np.atleast_2d(head.coef_).astype(np.float64)
    intercept = np.atleast_1d(head.intercept_).astype(np.float64)
    if len(coef) == 1 and len(classes) == 2:
        # One row scores the second class; half for and half against is the same softmax.
        coef, intercept = np.outer([-0.5, 0.5], coef), intercept * [-0.5, 0.5]
    if len(coef) != len(classes) or not _is_softmax(head, coef, intercept):
        raise ValueError(
            f"The probabilities of the last step {name!r} ({head!r}) are not the softmax of its "
            "linear scores, so a network with its weights would give others. Use LinearHead or "
            "sklearn.linear_model.LogisticRegression."
        )
    return coef, intercept


@contextmanager
def _watch(layers, callback):
    """Within the block, call ``callback(name, input)`` before each run of a layer."""
    handles = []

    def watch(name, layer):
        def hook(_, args, kwargs):
            callback(name, args[0] if args else kwargs["input"])

        handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))

    try:
        for name, layer in layers.items():
            watch(name, layer)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check_outputs(output, n_classes, net):
    output = _first_output(output)
    if not isinstance(output, torch.Tensor):
        raise ValueError(
            f"The network returns a {type(output).__name__}; it must return a tensor of one score "
            "per class, or a tuple that starts with one."
        )
    n_outputs = 1 if output.ndim == 1 else output.shape[1]
    # Of a single output only this net knows how to make two classes.
    is_binary = n_outputs == 1 and n_classes == 2 and isinstance(net, NeuralNetBinaryClassifier)
    if output.ndim > 2 or not (n_outputs == n_classes or is_binary):
        raise ValueError(
            f"The network returns {tuple(output.shape[1:])} outputs per sample, but y has "
            f"{n_classes} classes. Give the module one output per class. For two classes and one "
            "output, skorch.NeuralNetBinaryClassifier is the net."
        )
    return n_outputs


def _first_output(output):
    return output[0] if isinstance(output, tuple) else output


def _describe_samples(X):
    if hasattr(X, "shape"):
        return f"samples of shape {tuple(X.shape[1:])}"
    sample, _ = X[0]
    if hasattr(sample, "shape"):
        return f"samples of shape {tuple(sample.shape)} and dtype {sample.dtype}"
    return f"samples of type {type(sample).__name__}"


def _linear_layers(module):
    return {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}


def _describe(layers):
    return (
        ", ".join(
            f"{name!r} ({layer.in_features} -> {layer.out_features})"
            for name, layer in layers.items()
        )
        or "none"
    )


def _is_softmax(head, coef, intercept):
    # Rows at which scores are moderate, so that probabilities which differ do so visibly.
    scores = np.random.RandomState(0).normal(size=(20, len(coef)))
    rows = (scores - intercept) @ np.linalg.pinv(coef, rcond=1e-6).T
    expected = softmax(rows @ coef.T + intercept, axis=1)
    with warnings.catch_warnings():
        # A head fitted to data frames misses the names of features here.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        return np.allclose(head.predict_proba(rows), expected, atol=1e-4)
