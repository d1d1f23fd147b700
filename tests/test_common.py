"""The public check suites of scikit-learn and imbalanced-learn, with no expected failure."""

import pytest
from imblearn.utils import estimator_checks as imblearn_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from imblearn_eos import (
    EOS,
    AveragedHead,
    CommonScaler,
    GaussianOverSampler,
    LinearHead,
    TorchNearestNeighbors,
)

SAMPLERS = [
    EOS(random_state=0),
    EOS(random_state=0, enemy_search="nearest"),
    GaussianOverSampler(random_state=0),
]


@parametrize_with_checks(
    [*SAMPLERS, TorchNearestNeighbors(), CommonScaler(), LinearHead(), AveragedHead(SAMPLERS[0])]
)
def test_sklearn_estimator_checks(estimator, check):
    check(estimator)


@imblearn_checks.parametrize_with_checks(SAMPLERS)
def test_imblearn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_imblearn_parameter_validation(sampler):
    imblearn_checks.check_param_validation(type(sampler).__name__, sampler)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_imblearn_dataframe_column_names(sampler):
    imblearn_checks.check_dataframe_column_names_consistency(type(sampler).__name__, sampler)
