"""The recommended model, saved so that it can be used without this package's command."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from torch import nn

from imblearn_eos._extras import import_extra
from imblearn_eos.compare._files import write_bytes, write_text
from imblearn_eos.compare._fit import AdjustedClassifier
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._templates import render
from imblearn_eos.embedding import EmbeddingPipeline
from imblearn_eos.embedding._to_module import softmax_weights
from imblearn_eos.models import SmallCNN

LOADER, CARD = "load.py", "README.md"
NETWORK, HEAD, PIPELINE = "network.pt", "head.safetensors", "pipeline.skops"
MODEL_FILES = (NETWORK, HEAD, PIPELINE, LOADER, CARD)
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


@dataclass(frozen=True)
class SavedModel:
    """The file of the weights, its library and what ``load.py`` defines; or no file and why."""

    file: str | None
    library: str | None = None
    names: tuple[str, ...] = ()
    problem: str | None = None


def write_model(
    directory: Path, record: dict[str, Any], result: SeedResult, method: str
) -> SavedModel:
    """Write the model of a method of one seed, and ``load.py``, which uses it.

    A trained network becomes ``network.pt``, a state dict. A linear head on embeddings becomes
    ``head.safetensors``. Any other classifier becomes ``pipeline.skops``. A model that cannot be
    written does not stop the report, which states the reason.
    """
    file, make = _choose(result.fitted)
    try:
        content, loader, facts = make(record, result, method)
    except (ImportError, TypeError, ValueError) as error:
        return SavedModel(None, problem=str(error))
    write_bytes(directory / file, content)
    write_text(directory / LOADER, render(loader, **facts))
    steps = {"read": "image_size", "embed": "backbone"}
    names = (*(name for name, fact in steps.items() if facts.get(fact)), "predict")
    return SavedModel(file, "sklearn" if file == PIPELINE else "pytorch", names)


def _choose(fitted) -> tuple[str, Callable[..., tuple[bytes, str, dict]]]:
    """Return the name of the file of a model and the function that makes its content."""
    embedder = fitted.embedder
    if hasattr(embedder, "net_"):
        return NETWORK, _make_network
    # A linear layer cannot fill in missing values.
    has_imputer = any(isinstance(step, SimpleImputer) for _, step in getattr(embedder, "steps", []))
    if not has_imputer and _linear(fitted, "none") is not None:
        return HEAD, _make_head
    return PIPELINE, _make_pipeline


def _make_network(record, result, method):
    """Return the bytes that ``torch.load(path, weights_only=True)`` reads."""
    fitted, net = result.fitted, result.fitted.embedder.net_
    if method == "network":
        module = net.module_
    else:
        steps = [("embedder", fitted.embedder), ("head", fitted.heads[method])]
        module = EmbeddingPipeline(steps).to_module()
    arguments = net.get_params_for("module")
    plain = {name: value for name, value in arguments.items() if _is_plain(value)}
    image_size = record["data"].get("image_size")
    shape = [int(size) for size in record["data"]["shape"][1:]]
    content = {
        "state_dict": {name: value.cpu() for name, value in module.state_dict().items()},
        "arguments": plain,
        "classes": _class_names(fitted),
        "input_shape": shape,
        "preprocessing": SCALED_PHOTOS if image_size else SCALED_PIXELS,
        "method": method,
        "seed": result.seed,
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


def _make_head(record, result, method):
    """Return the bytes of a linear layer on embeddings, into which their scaling is folded."""
    safetensors = import_extra("safetensors.torch", "share")
    fitted = result.fitted
    coef, intercept = _linear(fitted, method)
    facts = {"n_features": coef.shape[1]}
    facts["backbone"] = _locate(record["arguments"].get("backbone"))
    facts["inputs"], facts["form"] = INPUTS[record["data"].get("embedded")]
    facts["embedder"] = type(fitted.embedder).__name__
    if scaling := _find_scaling(fitted.embedder, coef.shape[1]):
        factors, offsets = scaling
        coef, intercept = coef * factors, intercept + coef @ offsets
        facts["embedder"] = None
    weights = {"weight": coef, "bias": intercept}
    metadata = {
        "classes": json.dumps(_class_names(fitted)),
        "method": method,
        "seed": str(result.seed),
    }
    tensors = {name: torch.from_numpy(value).float() for name, value in weights.items()}
    return safetensors.save(tensors, metadata), "load_head.jinja", facts


def _locate(backbone):
    """Return the name of a backbone with the absolute path of its file, if it comes from one."""
    file, _, function = (backbone or "").rpartition(":")
    return f"{Path(file).resolve()}:{function}" if file.endswith(".py") else backbone


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


def _make_pipeline(record, result, method):
    """Return the bytes of the steps after the embedding, which skops loads by trusted types."""
    skops = import_extra("skops.io", "share")
    fitted = result.fitted
    head, divisors = _unwrap(fitted.heads[method])
    steps = [("classifier", head)]
    if _transform(fitted.embedder, fitted.Z_train[:1]) is not None:
        steps.insert(0, ("scaler", fitted.embedder))
    content = skops.dumps(Pipeline(steps))
    facts = {
        "n_features": fitted.Z_train.shape[1],
        "features": record["data"].get("features"),
        "divisors": None if divisors is None else divisors.tolist(),
        "trusted": skops.get_untrusted_types(data=content),
    }
    return content, "load_pipeline.jinja", facts


def _linear(fitted, method):
    """Return the weights and intercepts of a method's head, or None if it is not linear."""
    head, divisors = _unwrap(fitted.heads[method])
    try:
        coef, intercept = softmax_weights(method, head, fitted.classes)
    except ValueError:
        return None
    return coef, intercept if divisors is None else intercept - np.log(divisors)


def _unwrap(head):
    """Return a classifier, and what logit adjustment divides its probabilities by, if anything."""
    if isinstance(head, AdjustedClassifier):
        return head.classifier, head.counts**head.tau
    return head, None


def _class_names(fitted):
    return [str(label) for label in fitted.classes]
