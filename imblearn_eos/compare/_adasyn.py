"""ADASYN for classes that imbalanced-learn's ADASYN refuses."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from imblearn.over_sampling import ADASYN
from scipy import sparse

# Classes that the warning names at most.
MAX_NAMES = 10


class LenientADASYN(ADASYN):
    """ADASYN that leaves a class unchanged, with a warning, where ADASYN raises an error.

    ADASYN raises when a class has no enemies among its neighbors, or so few that every row's share
    of the new rows rounds to zero. Both are common in the embeddings of a network that fits its
    training rows. Parameters and attributes are the same as in ADASYN.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from imblearn_eos.compare import LenientADASYN
    >>> X = np.r_[np.arange(20.0), np.arange(100.0, 110.0)][:, None]
    >>> y = np.repeat([0, 1], [20, 10])  # far apart, so that no row has an enemy nearby
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     X_resampled, y_resampled = LenientADASYN(random_state=0).fit_resample(X, y)
    >>> len(X_resampled), str(caught[0].message)[:48]
    (30, 'ADASYN refuses 1 of the 1 classes to over-sample')
    """

    def _fit_resample(self, X, y):
        try:
            return super()._fit_resample(X, y)
        except (RuntimeError, ValueError):
            return self._fit_each_class(X, y)

    def _fit_each_class(self, X, y):
        parts, refused = [(X, y)], {}
        for label, n_rows in self.sampling_strategy_.items():
            sampler = ADASYN(**self.get_params(deep=False))
            sampler.sampling_strategy = {label: np.sum(y == label) + n_rows}
            try:
                resampled = sampler.fit_resample(X, y)
            except (RuntimeError, ValueError) as error:
                refused[str(label)] = error
            else:
                parts.append([part[len(y) :] for part in resampled])
        if refused:
            warnings.warn(
                f"ADASYN refuses {len(refused)} of the {len(self.sampling_strategy_)} classes to "
                f"over-sample, which stay as they are: {', '.join(list(refused)[:MAX_NAMES])}"
                f"{' and others' * (len(refused) > MAX_NAMES)}. For the first, it says: "
                f"{next(iter(refused.values()))}",
                UserWarning,
                stacklevel=2,
            )
        rows, labels = zip(*parts, strict=True)
        stack = partial(sparse.vstack, format=X.format) if sparse.issparse(X) else np.concatenate
        return stack(rows), np.concatenate(labels)
