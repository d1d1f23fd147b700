"""Putting a fitted head on a network in place of its own."""

import copy
import warnings

import numpy as np
import torch
from scipy.special import softmax
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from torch import nn

from imblearn_eos.embedding._common_scaler import CommonScaler

# Steps before a head that are a factor times each feature plus a constant.
SCALERS = (CommonScaler, StandardScaler, MaxAbsScaler, MinMaxScaler)


def replace_layer(module, layer, replacement):
    """Copy a module with another layer in place of one.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.
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


def linear_from_arrays(coef, intercept, like=None):
    """Make a linear layer of given weights, with the dtype and device of another layer's weight.

    Without another layer, it has torch's default dtype and is on the CPU.
    """
    weight = torch.empty(0, device="cpu") if like is None else like.weight
    # skip_init, because drawing initial weights would advance the user's random state.
    linear = nn.utils.skip_init(
        nn.Linear, coef.shape[1], coef.shape[0], dtype=weight.dtype, device=weight.device
    )
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(coef))
        linear.bias.copy_(torch.from_numpy(intercept))
    return linear


def fold_scaler(name, scaler, coef, intercept):
    """Return the weights and intercepts that do on embeddings what they did on scaled ones.

    Parameters
    ----------
    name : str
        What errors call the scaler.
    scaler : estimator object
        Fitted.
    coef, intercept : ndarray of shapes (n_classes, n_features) and (n_classes,)
        For the scaled embeddings.

    Returns
    -------
    coef, intercept : ndarray of shapes (n_classes, n_features) and (n_classes,)
        For the embeddings as they are.

    Raises
    ------
    ValueError
        When the step is not a scaler whose result is a factor times each feature plus a constant.
    """
    if isinstance(scaler, CommonScaler):
        factor, offset = 1 / scaler.scale_, -scaler.mean_ / scaler.scale_
    elif isinstance(scaler, StandardScaler):
        factor = 1 if scaler.scale_ is None else 1 / scaler.scale_
        # The mean is known even where it is not subtracted.
        offset = -scaler.mean_ * factor if scaler.with_mean else 0
    elif isinstance(scaler, MaxAbsScaler):
        factor, offset = 1 / scaler.scale_, 0
    elif isinstance(scaler, MinMaxScaler):
        factor, offset = scaler.scale_, scaler.min_
    # A subclass may transform in another way.
    if type(scaler) not in SCALERS or getattr(scaler, "clip", False):
        raise ValueError(
            f"The step {name!r} ({type(scaler).__name__}) transforms embeddings in a way that the "
            "layer of to_module cannot. Remove it; samplers, CommonScaler, StandardScaler, "
            "MaxAbsScaler and MinMaxScaler (without clip) may stay."
        )
    return coef * factor, intercept + coef @ np.broadcast_to(offset, coef.shape[1])


def softmax_weights(name, head, classes):
    """Return the weights and intercepts whose softmax is a classifier's ``predict_proba``.

    Parameters
    ----------
    name : str
        What errors call the classifier.
    head : estimator object
        Fitted.
    classes : ndarray of shape (n_classes,)
        The classes of the network.

    Returns
    -------
    coef : ndarray of shape (n_classes, n_features)
        The weights.
    intercept : ndarray of shape (n_classes,)
        The intercepts, with a mean of 0.

    Raises
    ------
    ValueError
        When there are no such weights, or the classifier does not know the same classes.
    """
    needed = ("coef_", "intercept_", "predict_proba")
    missing = [attribute for attribute in needed if not hasattr(head, attribute)]
    if missing:
        problem = f"has no {' and no '.join(missing)}"
    elif not np.array_equal(head.classes_, classes):
        problem = f"knows the classes {head.classes_.tolist()}, the network {classes.tolist()}"
    else:
        coef = np.atleast_2d(head.coef_).astype(np.float64)
        intercept = np.atleast_1d(head.intercept_).astype(np.float64)
        if len(coef) == 1 and len(classes) == 2:
            # One row scores the second class; half for and half against is the same softmax.
            coef, intercept = np.outer([-0.5, 0.5], coef), intercept * [-0.5, 0.5]
        if len(coef) == len(classes) and _is_softmax(head, coef, intercept):
            # Any shift is the same softmax; small numbers lose least in the dtype of the layer.
            return coef, intercept - intercept.mean()
        problem = "has probabilities that are not the softmax of its linear scores"
    raise ValueError(
        f"The last step {name!r} ({type(head).__name__}) {problem}, so to_module cannot turn it "
        "into a linear layer. Use LinearHead or sklearn.linear_model.LogisticRegression, and a "
        "sampler that keeps every class."
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
