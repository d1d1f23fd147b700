"""Temperature scaling of logits."""

import math
import warnings

from scipy.optimize import brentq

# Of the logarithm of the temperature, as in scikit-learn.
LIMIT = 10.0


def best_temperature(logits, codes, weights):
    """Return the temperature at which logits have the least negative log-likelihood.

    Parameters
    ----------
    logits : torch.Tensor of shape (n_samples, n_classes), dtype=float64
        Before they are divided by a temperature.
    codes : torch.Tensor of shape (n_samples,), dtype=int64
        The class numbers.
    weights : torch.Tensor of shape (n_samples,), dtype=float64
        Weights of the rows.

    Returns
    -------
    float
        From ``exp(-10)`` to ``exp(10)``.

    Warns
    -----
    UserWarning
        When there is no minimum between these limits.
    """
    margins = logits - logits.gather(1, codes[:, None])

    def slope(log_temperature):
        """Return the derivative by the inverse temperature, which never falls with it."""
        proba = (margins * math.exp(-log_temperature)).softmax(dim=1)
        return (weights @ (proba * margins).sum(dim=1)).item()

    if slope(-LIMIT) <= 0:
        log_temperature, reason = -LIMIT, "is right on all of them"
    elif slope(LIMIT) >= 0:
        log_temperature, reason = LIMIT, "is no better than chance on them"
    else:
        return math.exp(brentq(slope, -LIMIT, LIMIT))
    warnings.warn(
        f"No temperature is the best for these {len(codes)} rows, because the head {reason}; the "
        f"limit {math.exp(log_temperature):.1e} is used. Calibrate on more rows, which neither the "
        "network nor the head has seen.",
        UserWarning,
        # The line that calls calibrate, which has a wrapper.
        stacklevel=4,
    )
    return math.exp(log_temperature)
