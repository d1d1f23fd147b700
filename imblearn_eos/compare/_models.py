"""The recommended model, saved so that it can be used without this package's command."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.impute import SimpleImputer
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from torch import nn

from imblearn_eos._compat import fix_threshold
from imblearn_eos._extras import import_extra
from imblearn_eos.compare._costs import CostSensitiveClassifier
from imblearn_eos.compare._files import write_bytes, write_text
from imblearn_eos.compare._fit import AdjustedClassifier
from imblearn_eos.compare._notes import join_settings
from imblearn_eos.compare._refit import RefittedModel, assemble, describe_model
from imblearn_eos.compare._templates import render
from imblearn_eos.embedding._to_module import softmax_weights
from imblearn_eos.models import SmallCNN

LOADER, CARD = "load.py", "README.md"
NETWORK, HEAD, PIPELINE = "network.pt", "head.safetensors", "pipeline.skops"
# What a backbone embeds, by kind of data, and in which form.
INPUTS = {
    "photos": ("image files", "paths of image files"),
    "images": ("images", "a uint8 array of shape (n, height, width, 3)"),
    "text": ("texts", "texts"),
    None: (
        "image files or texts",
        "paths of image files, or as texts for a network that takes texts",
    ),
}
SCALED_PHOTOS = "from 0 to 1, upright, scaled to cover this size, the middle cut out"
SCALED_PIXELS = "scaled as the data were"
# A copy of the Python file of a backbone.
BACKBONE = "backbone.py"
MODEL_FILES = (NETWORK, HEAD, PIPELINE, BACKBONE, LOADER, CARD)


@dataclass(frozen=True)
class SavedModel:
    """The file of the weights, its library and what ``load.py`` defines; or no file and why.

    ``description`` says what the model is, and which rows it was fitted to. ``costs`` are those
    that it decides by, if any.
    """

    file: str | None
    library: str | None = None
    names: tuple[str, ...] = ()
    problem: str | None = None
    description: str | None = None
    costs: list[list[float]] | None = None


def write_model(
    directory: Path, record: dict[str, Any], model: RefittedModel, unit: str
) -> SavedModel:
    """Write a model, and ``load.py``, which uses it; ``unit`` is what a row is, in the plural.

    A trained network becomes ``network.pt``, a state dict. A linear head on embeddings becomes
    ``head.safetensors``. Any other classifier becomes ``pipeline.skops``. A model that cannot be
    written does not stop the report, which states the reason.
    """
    model, costs = _take_costs(model)
    file, make = _choose(model)
    try:
        content, loader, facts = make(record, model)
    except (ImportError, OSError, TypeError, ValueError) as error:
        return SavedModel(None, problem=str(error))
    write_bytes(directory / file, content)
    if facts.get("code"):
        write_bytes(directory / BACKBONE, facts["code"])
    write_text(directory / LOADER, render(loader, **facts, costs=costs))
    steps = {"read": "image_size", "embed": "backbone"}
    names = (*(name for name, fact in steps.items() if facts.get(fact)), "predict")
    library = "sklearn" if file == PIPELINE else "pytorch"
    description = describe_model(model, unit)
    return SavedModel(file, library, names, description=description, costs=costs)


def _take_costs(model):
    """Return a model without the costs of its head, and the costs, which ``load.py`` applies."""
    embedder, head = _steps(model)
    if not isinstance(head, CostSensitiveClassifier):
        return model, None
    estimator = assemble(embedder, head.classifier_)
    return replace(model, estimator=estimator), head.cost_matrix.tolist()


def _choose(model) -> tuple[str, Callable[..., tuple[bytes, str, dict]]]:
    """Return the name of the file of a model and the function that makes its content."""
    embedder, head = _steps(model)
    if hasattr(embedder, "net_"):
        return NETWORK, _make_network
    # A linear layer cannot fill in missing values.
    has_imputer = any(isinstance(step, SimpleImputer) for _, step in getattr(embedder, "steps", []))
    if not has_imputer and _linear(head) is not None:
        return HEAD, _make_head
    return PIPELINE, _make_pipeline


def _steps(model):
    """Return what embeds rows or scales features, and the head; None for the network's own."""
    if not hasattr(model.estimator, "steps"):
        return model.estimator, None
    return model.estimator[0], model.estimator[-1]


def _make_network(record, model):
    """Return the bytes that ``torch.load(path, weights_only=True)`` reads."""
    embedder, head = _steps(model)
    net = embedder.net_
    module = net.module_ if head is None else model.estimator.to_module()
    arguments = net.get_params_for("module")
    plain = {name: value for name, value in arguments.items() if _is_plain(value)}
    image_size = record["data"].get("image_size")
    shape = [int(size) for size in record["data"]["shape"][1:]]
    content = {
        "state_dict": {name: value.cpu() for name, value in module.state_dict().items()},
        "arguments": plain,
        "classes": _labels(model),
        "input_shape": shape,
        "preprocessing": _describe_pixels(record["data"]),
        "method": model.method,
        "settings": join_settings(model.settings),
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    cls = type(module)
    return (
        stream.getvalue(),
        "load_network.jinja",
        {
            "input_shape": shape,
            "preprocessing": content["preprocessing"],
            "image_size": image_size,
            "convolutions": _convolutions(module),
            "module": "your_module" if cls.__module__ == "__main__" else cls.__module__,
            "name": cls.__qualname__,
            "missing": [name for name in arguments if name not in plain],
        },
    )


def _labels(model):
    """Return the classes as plain Python objects, which JSON and torch keep apart by type."""
    # The elements of an array of objects may be those of NumPy.
    return np.array(model.estimator.classes_.tolist()).tolist()


def _describe_pixels(facts):
    if facts.get("image_size"):
        return SCALED_PHOTOS
    return f"pixels {facts['scaling']}" if facts.get("scaling") else SCALED_PIXELS


def _convolutions(module):
    """Return the sizes of the layers of a `SmallCNN`, which plain torch loads; else None."""
    if type(module) is not SmallCNN:
        return None
    layers = [layer for layer in module.trunk if isinstance(layer, nn.Conv2d)]
    return [(layer.in_channels, layer.out_channels, layer.stride[0]) for layer in layers]


def _is_plain(value):
    """Return whether ``torch.load`` reads a value without trust in it."""
    return isinstance(value, (bool, int, float, str, type(None))) or (
        isinstance(value, (list, tuple)) and all(map(_is_plain, value))
    )


def _make_head(record, model):
    """Return the bytes of a linear layer on embeddings, into which their scaling is folded."""
    safetensors = import_extra("safetensors.torch", "share")
    embedder, head = _steps(model)
    coef, intercept = _linear(head)
    facts = {"n_features": coef.shape[1]}
    facts["backbone"] = backbone = record["arguments"].get("backbone")
    file, _, function = (backbone or "").rpartition(":")
    # Loaded from a copy, because the report may go where the file is not.
    facts["function"] = function if file.endswith(".py") else None
    facts["code"] = Path(file).read_bytes() if facts["function"] else None
    facts["inputs"], facts["form"] = INPUTS[record["data"].get("embedded")]
    facts["embedder"] = type(embedder).__name__
    if scaling := _find_scaling(embedder, coef.shape[1]):
        factors, offsets = scaling
        coef, intercept = coef * factors, intercept + coef @ offsets
        facts["embedder"] = None
    weights = {"weight": coef, "bias": intercept}
    metadata = {
        "classes": json.dumps(_labels(model)),
        "method": model.method,
        "settings": join_settings(model.settings),
    }
    tensors = {name: torch.from_numpy(value).float() for name, value in weights.items()}
    return safetensors.save(tensors, metadata), "load_head.jinja", facts


def _find_scaling(embedder, n_features):
    """Return factors and offsets of a transformer that scales columns; None for any other one."""
    probe = np.random.RandomState(0).normal(size=n_features)
    rows = np.array([np.zeros(n_features), np.ones(n_features), probe])
    transformed = _transform(embedder, rows)
    if transformed is None:
        return None
    offsets, ends, found = transformed.astype(np.float64)
    factors = ends - offsets
    return (factors, offsets) if np.allclose(found, offsets + factors * probe, 1e-4) else None


def _transform(embedder, rows):
    """Return transformed rows; None where the transformer takes other data, such as images."""
    try:
        transformed = np.asarray(embedder.transform(rows))
    # What a transformer of the user raises for rows that it does not take is not known.
    except Exception:
        return None
    return transformed if transformed.shape == rows.shape else None


def _make_pipeline(record, model):
    """Return the bytes of scaling and classifier, which skops loads by trusted types."""
    skops = import_extra("skops.io", "share")
    scaler, head = _steps(model)
    classifier, divisors = _unwrap(head)
    content = skops.dumps(Pipeline([("scaler", scaler), ("classifier", classifier)]))
    facts = {
        "n_features": record["data"]["shape"][1],
        "features": record["data"].get("features"),
        "divisors": None if divisors is None else divisors.tolist(),
        "trusted": skops.get_untrusted_types(data=content),
    }
    return content, "load_pipeline.jinja", facts


def _linear(head):
    """Return the weights and intercepts of a head, or None if it is not linear."""
    head, divisors = _unwrap(head)
    try:
        coef, intercept = softmax_weights("head", head, head.classes_)
    except ValueError:
        return None
    return coef, intercept if divisors is None else intercept - np.log(divisors)


def _unwrap(head):
    """Return a classifier, and what logit adjustment divides its probabilities by, if anything."""
    if isinstance(head, AdjustedClassifier):
        return head.classifier_, head.counts_**head.tau
    if isinstance(head, TunedThresholdClassifierCV):
        return fix_threshold(head), None
    return head, None
