"""What a step of an EmbeddingPipeline may be, and how to forget what it was fitted to."""

from sklearn.base import clone

from imblearn_eos.embedding._embedder import Embedder

NOT_CLONED = (
    "The step {!r} ({.__class__.__name__}) may have been fitted to another network, and could not "
    "be replaced by an unfitted clone, so what it gives is wrong until fit succeeds: {}"
)


def check_steps(steps):
    """Raise, and say what to give, unless these are named estimators with an Embedder first.

    Raises
    ------
    ValueError
        When there are no steps.
    TypeError
        When they are no list of pairs, when one of them is a class, or when the first of them is
        no Embedder.
    """
    if isinstance(steps, (list, tuple)) and not steps:
        raise ValueError(
            "The 'steps' parameter of EmbeddingPipeline is empty. Give an Embedder, any samplers "
            "and a classifier, or use make_embedding_pipeline."
        )
    if not isinstance(steps, (list, tuple)) or not all(
        isinstance(step, (list, tuple)) and len(step) == 2 for step in steps
    ):
        raise TypeError(
            "The 'steps' parameter of EmbeddingPipeline must be a list of pairs of a name and an "
            f"estimator, got {steps!r}. make_embedding_pipeline makes the names."
        )
    for name, step in steps:
        if isinstance(step, type):
            raise TypeError(
                f"The step {name!r} must be an object, got the class {step.__name__}. Pass "
                f"{step.__name__}(...)."
            )
    name, first = steps[0]
    if not isinstance(first, Embedder):
        raise TypeError(
            f"The first step of an EmbeddingPipeline must be an Embedder, but {name!r} is "
            f"{first!r}. Wrap a skorch net: Embedder(net). For other first steps use "
            "imblearn.pipeline.Pipeline."
        )


def is_known(step):
    """Whether a step takes its parameters for what they are; users' own may not."""
    return type(step).__module__.startswith(("sklearn.", "imblearn.", "imblearn_eos."))


def unfitted(step):
    """Give a clone of an estimator and None, or itself and the error that cloning raised."""
    is_used = any(hasattr(step, method) for method in ("transform", "predict"))
    if step in (None, "passthrough") or (hasattr(step, "fit_resample") and not is_used):
        return step, None
    try:
        return clone(step), None
    except Exception as error:
        return step, error
