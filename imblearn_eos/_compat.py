"""Private names of other packages, which no other file imports.

Each line says in which versions the name was seen to work. When a new version moves one, this is
the only file to change.
"""

# imbalanced-learn 0.14
from imblearn.utils._docstring import _random_state_docstring as random_state_docstring

# scikit-learn 1.6 to 1.9
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as get_feature_names

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_feature_names",
    "check_n_features",
    "check_sample_weight",
    "fit_context",
    "get_feature_names",
    "random_state_docstring",
    "safe_indexing",
    "validate_parameter_constraints",
    "validate_params",
]
