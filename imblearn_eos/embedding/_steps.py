"""The steps of an EmbeddingPipeline after the Embedder: cloning, checking and seeding them."""

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_sampling_strategy
from sklearn.base import clone
from sklearn.utils import check_random_state
from torch import nn

from imblearn_eos._compat import check_parameters
from imblearn_eos._defaults import alpha_for_embeddings, eos_for_embeddings
from imblearn_eos._device import resolve_device
from imblearn_eos.embedding._averaged_head import AveragedHead
from imblearn_eos.embedding._common_scaler import CommonScaler
from imblearn_eos.embedding._head import LinearHead
from imblearn_eos.embedding._head_base import BaseLinearHead
from imblearn_eos.embedding._head_classes import check_class_parameters
from imblearn_eos.over_sampling import EOS


def is_active(step):
    """Return whether a step is an estimator and not a placeholder."""
    return step is not None and step != "passthrough"


def cloned(step):
    """Return an unfitted clone of an estimator, or the placeholder itself."""
    if isinstance(step, nn.Module):
        # scikit-learn's own message begins with all layers of the module.
        raise TypeError(
            "The steps after the Embedder must be samplers, transformers and a classifier, got "
            f"the torch module {type(step).__name__}. LinearHead is trained as a linear layer, "
            "and EmbeddingPipeline.to_module returns it in the network."
        )
    return clone(step) if is_active(step) else step


def check_later_steps(steps, y):
    """Raise before hours of training what steps after the network would raise after it.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        The steps after the Embedder. Only parameters of estimators from scikit-learn,
        imbalanced-learn and this package are checked, because estimators of the user may
        interpret their parameters in another way than the class that they inherit from.
    y : ndarray of shape (n_samples,)
        Valid labels, which the first of the steps will see.
    """
    steps = [step for _, step in steps if is_active(step)]
    if steps and isinstance(steps[-1], AveragedHead):
        _refuse_over_sampling_twice(steps)
        steps.insert(-1, steps[-1].sampler)
    for step in filter(_is_known, steps):
        check_parameters(step)
        if isinstance(step, (EOS, BaseLinearHead)):
            resolve_device(step.device)
    # Samplers that are known make no new labels.
    if steps and isinstance(steps[-1], LinearHead) and all(map(_is_known, steps)):
        check_class_parameters(steps[-1], y)
    # Nor do transformers.
    samplers = [step for step in steps if hasattr(step, "fit_resample") or not _is_known(step)]
    first = samplers[0] if samplers else None
    # A function as strategy might draw random numbers.
    if isinstance(first, BaseOverSampler) and _is_known(first):
        strategy = first.sampling_strategy
        check_sampling_strategy("auto" if callable(strategy) else strategy, y, "over-sampling")


def make_steps(embedder, sampler, head, *, trained_on_rows, random_state, verbose):
    """Return the named steps of a pipeline, seeded.

    Parameters
    ----------
    embedder : Embedder
        The first step.
    sampler, head : object or None
        The others. None means the default, by whether the network is trained on the rows. An
        AveragedHead has its own sampler. The default head of a network that was not trained on
        the rows, whose embeddings may have any size, comes with a scaler, a step of its own.
    trained_on_rows : bool
    random_state : int, RandomState instance or None
        Seeds every step whose ``random_state`` is None. None leaves them as they are.
    verbose : bool
        Of the head, if it is None.
    """
    eos = eos_for_embeddings(trained_on_rows=trained_on_rows)
    alpha = alpha_for_embeddings(trained_on_rows=trained_on_rows)
    scaler = CommonScaler() if head is None else "passthrough"
    if sampler is head is None and not trained_on_rows:
        # The best untuned rule for the features of a frozen network: see benchmarks/frozen.py.
        head = AveragedHead(eos, alpha=alpha, verbose=verbose)
    if sampler is None:
        sampler = "passthrough" if isinstance(head, AveragedHead) else eos
    head = LinearHead(alpha=alpha, verbose=verbose) if head is None else head
    steps = [("embedder", embedder), ("sampler", cloned(sampler)), ("head", cloned(head))]
    if not trained_on_rows:
        steps.insert(1, ("scaler", scaler))
    if random_state is not None:
        random_state = check_random_state(random_state)
        embedder.random_state = draw_seed(random_state)
        for _, step in steps[1:]:
            seed_step(step, random_state)
    return steps


def seed_step(step, random_state):
    """Seed an estimator, and the estimators in it, wherever no seed is set.

    Parameters
    ----------
    step : object
        Placeholders are left as they are.
    random_state : numpy.random.RandomState
        What seeds are drawn from.
    """
    if not hasattr(step, "get_params"):
        return
    params = step.get_params()
    names = [name for name in sorted(params) if name.split("__")[-1] == "random_state"]
    step.set_params(**{name: draw_seed(random_state) for name in names if params[name] is None})


def draw_seed(random_state):
    """Draw an int that can be a ``random_state``."""
    return random_state.randint(np.iinfo(np.int32).max)


def _refuse_over_sampling_twice(steps):
    for step in steps[:-1]:
        if isinstance(step, BaseOverSampler):
            raise ValueError(
                f"The {type(step).__name__} before an AveragedHead would over-sample the rows that "
                f"its own sampler, {type(steps[-1].sampler).__name__}, takes as they are. Set this "
                "step to 'passthrough', or the head to LinearHead()."
            )


def _is_known(step):
    return type(step).__module__.startswith(("sklearn.", "imblearn.", "imblearn_eos."))
