"""Private names of other packages: no other file imports, calls or overrides them.

Each part says with which versions it is known to work. When a new version moves a name, this is
the only file to change. What the libraries document for subclasses to define, such as
``_parameter_constraints`` and ``_fit_resample``, does not count as private.
"""

import torch
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.pipeline import Pipeline

# imbalanced-learn 0.14
from imblearn.utils._docstring import _random_state_docstring as random_state_docstring
from sklearn import get_config

# scikit-learn 1.7 to 1.9
from sklearn.base import _fit_context as fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils._set_output import _get_output_config as get_output_config
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as get_feature_names

__all__ = [
    "HasMethods",
    "Interval",
    "PipelineWithHook",
    "StrOptions",
    "check_feature_names",
    "check_n_features",
    "check_parameters",
    "check_sample_weight",
    "cpu_has_bfloat16",
    "fit_context",
    "fix_threshold",
    "get_feature_names",
    "meta_of",
    "name_of_scorer",
    "output_container",
    "predict_nonlinearity",
    "random_state_docstring",
    "safe_indexing",
    "sampling_strategy_docstring",
    "scores_labels",
    "uncompiled",
    "validate_parameter_constraints",
    "validate_params",
]

# imbalanced-learn 0.14
sampling_strategy_docstring = BaseOverSampler._sampling_strategy_docstring


class PipelineWithHook(Pipeline):
    """A pipeline whose subclasses can act around the fit of all steps but the last.

    Works with imbalanced-learn 0.14, in which each way to fit a pipeline calls ``_fit`` once, and
    looks up the last step only after that.
    """

    def _fit_steps(self, X, y, fit):
        """Return ``fit(X, y)``: the samples and the labels that the last step is fitted to."""
        return fit(X, y)

    def _fit(self, X, y=None, *args, **params):
        def fit(X, y):
            return super(PipelineWithHook, self)._fit(X, y, *args, **params)

        return self._fit_steps(X, y, fit)


def check_parameters(estimator):
    """Raise what the estimator's own fit would raise about its parameters.

    Works with scikit-learn 1.7 to 1.9. Estimators that declare no constraints are not checked.
    """
    is_checked = hasattr(estimator, "_parameter_constraints")
    if is_checked and not get_config()["skip_parameter_validation"]:
        estimator._validate_params()


def output_container(estimator):
    """Return the container that ``set_output`` chose for a transformer, or "default".

    Works with scikit-learn 1.7 to 1.9.
    """
    return get_output_config("transform", estimator)["dense"]


def predict_nonlinearity(net):
    """Return the function that turns a net's outputs into probabilities.

    Works with skorch 1.3 to 1.4. It is what ``net.predict_proba`` applies to each batch.
    """
    return net._get_predict_nonlinearity()


def uncompiled(module):
    """Return the module that ``torch.compile`` wraps, or the module itself.

    Works with torch 2.5 to 2.13.
    """
    return getattr(module, "_orig_mod", module)


def cpu_has_bfloat16():
    """Return whether the CPU multiplies bfloat16 numbers; False where torch does not tell.

    Works with torch 2.5 to 2.13.
    """
    return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def scores_labels(scorer):
    """Return whether a scorer of scikit-learn (1.7 to 1.9) scores predicted labels."""
    return getattr(scorer, "_response_method", None) == "predict"


def name_of_scorer(scorer):
    """Return the name of the function that a scorer calls, with "neg_" if lower is better."""
    function = getattr(scorer, "_score_func", scorer)
    name = getattr(function, "__name__", type(function).__name__).strip("<>_")
    return f"neg_{name}" if getattr(scorer, "_sign", 1) < 0 else name


def fix_threshold(tuned):
    """Return a fitted ``TunedThresholdClassifierCV`` without its scorer, to be written to a file.

    Works with scikit-learn 1.7 to 1.9.
    """
    fixed = FixedThresholdClassifier(
        FrozenEstimator(tuned.estimator_),
        threshold=tuned.best_threshold_,
        pos_label=tuned._curve_scorer._get_pos_label(),
    )
    fixed.estimator_ = fixed.estimator
    return fixed


def meta_of(collection):
    """Return an array or frame without rows, of the dtypes that a Dask collection has.

    Works with Dask 2025.1 to 2026.8.
    """
    return collection._meta
