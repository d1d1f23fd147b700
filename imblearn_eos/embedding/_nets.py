"""The kinds of nets that an Embedder takes, and how each is prepared."""

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetRegressor

from imblearn_eos._compat import predict_nonlinearity, uncompiled
from imblearn_eos._torch_datasets import named_labels
from imblearn_eos._validation import to_array
from imblearn_eos.embedding._head_inputs import scores_of
from imblearn_eos.embedding._module import FrozenModule
from imblearn_eos.embedding._split import encode_split


def preprocess_of(net):
    """Return what turns one sample into what a net takes, or None."""
    return net.preprocess if isinstance(net, FrozenModule) else None


def check_net(net):
    """Return the net, and whether it is frozen."""
    if isinstance(net, FrozenModule):
        return net, True
    is_frozen = isinstance(net, FrozenEstimator)
    net = net.estimator if is_frozen else net
    is_usable = isinstance(net, NeuralNet) and not isinstance(net, NeuralNetRegressor)
    if is_usable and is_frozen:
        net.check_is_fitted()
        # Hooks do not run in a compiled module.
        is_usable = uncompiled(net.module_) is net.module_
    if not is_usable:
        raise TypeError(
            "The 'net' parameter of Embedder must be a skorch net that classifies, and if it is "
            f"frozen, with a module that is not compiled, got {type(net).__name__}. A module that "
            "is trained already goes into EmbeddingPipeline.from_module; to train one, use "
            "skorch.NeuralNetClassifier(ModuleClass, criterion=torch.nn.CrossEntropyLoss)."
        )
    return net, is_frozen


def labels_for(net, dataset):
    """Return the labels of a dataset, as names if it has them.

    The outputs of a net that is trained already are in the order of the dataset's integers. So for
    a frozen net, names are used only where they sort into the same order.
    """
    return named_labels(dataset, in_order=isinstance(net, FrozenEstimator))


def with_labels(net, classes, codes, dtype):
    """Return a clone of a net with what it has to know of the labels.

    These are the sizes of classes, for a loss that depends on them, unless the user has set them,
    and how to encode the labels of validation sets. The callback `ClassCounts` sets the sizes when
    training begins. Here they become a parameter of the net, so that the cache sees them.
    """
    net = clone(net)
    net.set_params(train_split=encode_split(net.train_split, classes, dtype))
    if not hasattr(net.criterion, "set_class_counts"):
        return net
    class_counts = np.bincount(codes)
    if not isinstance(net.criterion, type):
        if net.criterion.class_counts is None:
            net.criterion.set_class_counts(class_counts)
    elif net.get_params().get("criterion__class_counts") is None:
        net.set_params(criterion__class_counts=class_counts)
    return net


def probe_untrained(net, X, y, search):
    """Search an initialized net for its head, as it will be when its training begins."""
    try:
        return search(net)
    except ValueError:
        module = net.module_
        # skorch's InputShapeSetter, for example, sets parameters, from which skorch makes another
        # module. Not before the first search, because callbacks may write files or open windows.
        net.notify("on_train_begin", X=X, y=y)
        if net.module_ is module:
            raise
    return search(net)


def probabilities(net, X):
    """Return what a net's ``predict_proba`` returns, also if its module returns a mapping.

    Parameters
    ----------
    net : skorch.NeuralNet
        Trained.
    X : ndarray, torch.Tensor or Dataset of shape (n_samples, ...)
        The samples.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
    """
    nonlinearity = predict_nonlinearity(net)
    # A mapping may hold much more than the scores, which stays where it is.
    outputs = net.forward_iter(X, device=None)
    return np.concatenate([to_array(nonlinearity(scores_of(output))) for output in outputs])
