"""A skorch net as a transformer: train, then turn samples into embeddings."""

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetRegressor
from torch.utils.data import DataLoader

from imblearn_eos._compat import (
    HasMethods,
    check_feature_names,
    check_n_features,
    fit_context,
    get_feature_names,
)
from imblearn_eos._validation import dataset_labels, encode_labels
from imblearn_eos.embedding._modules import (
    check_criterion,
    check_order,
    find_head,
    head_inputs,
    returns_softmax,
    shape_explained,
)
from imblearn_eos.embedding._samples import Labelled, check_dataset, first_samples, is_dataset
from imblearn_eos.embedding._training import seeded, train


class Embedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Train a network and turn samples into its embeddings.

    The embedding of a sample is the input of the network's head, its last linear layer, in
    evaluation mode. So images become rows of numbers, on which samplers and classifiers of
    imbalanced-learn and scikit-learn work.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier, or a sklearn.frozen.FrozenEstimator of one
        The network and how to train it; any other :class:`skorch.NeuralNet` whose module returns
        one score per class will do too. It is cloned and trained in :meth:`fit`; the given object
        is not changed. Give the module as a class, to be trained from scratch. Training of a
        module *instance* starts from the weights that it has, in each fit and each fold: good for
        a backbone pretrained elsewhere, and a leak in cross-validation if it has seen these data.
        A net in a :class:`~sklearn.frozen.FrozenEstimator` is used as it is and not trained; it
        must be initialized. The leak is the same: embeddings of samples that it was trained on
        are not those of new samples.

    layer : str, default=None
        Dotted name of the head in the module, for example "fc" or "classifier.2". None means the
        last linear layer that runs, which must have one output per class and be the only one that
        has.

    memory : str or object with the joblib.Memory interface, default=None
        Where to keep trained networks, so that none is trained twice with the same parameters of
        ``net``, the same data and the same seed, for example in a grid search over the steps that
        follow. By default nothing is kept. It takes an int as ``random_state``: None draws a new
        seed for each fit. Data count by content, a dataset by what its attributes contain. So
        changes of the module's source code go unnoticed, and of files that a dataset reads by
        name: clear the folder then. The folder holds pickles, which can run code when they are
        loaded: it must be writable by its user only.

    random_state : int, RandomState instance or None, default=None
        Seeds all that is random in training: the initial weights of a module given as a class,
        the order of the samples, dropout. Global random states of torch, NumPy and Python are left
        as they were, except that None draws the seed from NumPy's.

    verbose : bool, default=False
        Show progress in epochs of training and batches of embeddings, and whether the network came
        from the cache.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net. It knows classes as 0, 1, ..., the positions in ``classes_``.

    classes_ : ndarray of shape (n_classes,)
        The class labels in sorted order.

    layer_ : str
        Dotted name of the head.

    n_features_out_ : int
        Length of an embedding.

    n_features_in_ : int
        Number of features, only if X is 2-d.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, only if X has names that are all strings.

    See Also
    --------
    EmbeddingPipeline : Embedder, sampler and head in one object.

    Notes
    -----
    Numbers in X become float32, as they are: scale images first. The same seed gives the same
    network on the same machine as far as torch is deterministic there; on CUDA see
    ``torch.use_deterministic_algorithms``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skorch import NeuralNetClassifier
    >>> from torch.nn import CrossEntropyLoss
    >>> from imblearn_eos import Embedder
    >>> from imblearn_eos.models import SmallCNN
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.reshape(-1, 1, 8, 8) / 16
    >>> net = NeuralNetClassifier(
    ...     SmallCNN,
    ...     module__n_classes=10,
    ...     criterion=CrossEntropyLoss,
    ...     max_epochs=1,
    ...     verbose=0,
    ... )
    >>> embedder = Embedder(net, random_state=0).fit(X, y)
    >>> embedder.layer_
    'head'
    >>> embedder.transform(X).shape
    (1797, 64)
    """

    _parameter_constraints: dict = {
        # `_check_net` says how to make one.
        "net": "no_validation",
        "layer": [str, None],
        "memory": [str, HasMethods(["cache"]), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(self, net, *, layer=None, memory=None, random_state=None, verbose=False):
        self.net = net
        self.layer = layer
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the network.

        Parameters
        ----------
        X : {array-like, torch.Tensor, torch.utils.data.Dataset, skorch.helper.SliceDataset} of \
                shape (n_samples, ...)
            Finite numbers: images of shape (n_samples, channels, height, width), or whatever
            shape the module takes. A dataset is read batch by batch, whenever samples are needed.

        y : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Labels of any kind. None takes them from a dataset of pairs: from its attribute
            ``targets`` if it has one, else from all of its items.

        Returns
        -------
        self : Embedder
            The fitted transformer.

        Raises
        ------
        ValueError
            When ``net`` shuffles or drops samples in ``iterator_valid``, or is frozen and not
            initialized; when its criterion is skorch's default, which is for probabilities, and
            its module returns logits; when the head is not clear, not there or does not match the
            classes; when X or y are not as above, or y has one class. All this is found before
            training, except in samples of a dataset, which are checked as they are read.

        TypeError
            When ``net`` is no skorch net, or X is a dataset without a length, or one whose items
            are not as described.
        """
        net, is_frozen = _check_net(self.net)
        # Raises now, not after training, if names are of several types.
        get_feature_names(X)
        given, X = X, self._check_X(X, min_samples=2)
        if y is None and is_dataset(X):
            y = dataset_labels(X)
        classes, codes = encode_labels(X, y, estimator=self)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        if not is_frozen:
            net = _with_class_counts(net, np.bincount(codes))
        with seeded(seed, net.device):
            # Hooks do not run in a compiled module.
            network = net if is_frozen else clone(net).set_params(compile=False).initialize()
            few = first_samples(X, 2)
            check_order(network, few)
            layer = find_head(network, few, len(classes), self.layer)
            n_features_out = head_inputs(network, layer, few).shape[1]
            is_softmax = returns_softmax(network, layer, few)
            # What skorch compiles it does not recognize, and takes no logarithm.
            if not (is_frozen or net.compile):
                check_criterion(network, few)
        if not is_frozen:
            if isinstance(net, NeuralNetBinaryClassifier):
                # Its loss compares one logit with a float.
                codes = codes.astype(np.float32)
            samples = Labelled(X, codes) if is_dataset(X) else X
            net = train(net, samples, codes, seed=seed, memory=self.memory, verbose=self.verbose)
        # Only now: a training that failed leaves what was fitted before as it was.
        self.net_, self.classes_, self.layer_ = net, classes, layer
        self.n_features_out_, self._returns_softmax = n_features_out, is_softmax
        self._remember_features(given, X)
        return self

    def transform(self, X):
        """Give the embeddings of samples.

        Parameters
        ----------
        X : {array-like, torch.Tensor, torch.utils.data.Dataset, skorch.helper.SliceDataset} of \
                shape (n_samples, ...)
            Samples as in :meth:`fit`.

        Returns
        -------
        Z : {ndarray, torch.Tensor} of shape (n_samples, `n_features_out_`), dtype=float32
            The input of the head, in the order of X. A tensor on X's device if X is a tensor.

        Raises
        ------
        ValueError
            When embeddings contain NaN or infinity, as they do after training diverged.
        """
        X = self._check_new(X)
        is_tensor = isinstance(X, torch.Tensor)
        device = X.device if is_tensor else "cpu"
        with seeded(0, self.net_.device), shape_explained(X):
            embeddings = head_inputs(self.net_, self.layer_, X, device, verbose=self.verbose)
        if not embeddings.isfinite().all():
            raise ValueError(
                "The embeddings contain NaN or infinity although X does not: training diverged. "
                "Lower the learning rate of the net (its lr parameter), or clip its gradients."
            )
        return embeddings if is_tensor else embeddings.numpy()

    def predict_proba(self, X):
        """Give the class probabilities of the trained network itself.

        Parameters
        ----------
        X : {array-like, torch.Tensor, torch.utils.data.Dataset, skorch.helper.SliceDataset} of \
                shape (n_samples, ...)
            Samples as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            What the net's ``predict_proba`` gives: its outputs under its
            ``predict_nonlinearity``.
        """
        X = self._check_new(X)
        with seeded(0, self.net_.device), shape_explained(X):
            return self.net_.predict_proba(X)

    def predict(self, X):
        """Give the labels that the trained network itself predicts.

        Parameters
        ----------
        X : {array-like, torch.Tensor, torch.utils.data.Dataset, skorch.helper.SliceDataset} of \
                shape (n_samples, ...)
            Samples as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from ``classes_``.
        """
        X = self._check_new(X)
        with seeded(0, self.net_.device), shape_explained(X):
            codes = self.net_.predict(X)
        # A plain NeuralNet predicts scores.
        codes = codes.argmax(axis=1) if codes.ndim == 2 else codes
        return self.classes_[codes.astype(np.int64)]

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def _check_new(self, X):
        """Give samples as the net takes them, if they are like those it was fitted to."""
        check_is_fitted(self)
        given, X = X, self._check_X(X)
        if is_dataset(X):
            return Labelled(X)
        if hasattr(self, "n_features_in_"):
            check_feature_names(self, given, reset=False)
            check_n_features(self, X, reset=False)
        return X

    def _remember_features(self, given, X):
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)
        if not is_dataset(X) and X.ndim == 2:
            check_feature_names(self, given, reset=True)
            check_n_features(self, X, reset=True)

    def _check_X(self, X, min_samples=1):
        if X is None:
            raise ValueError(
                "Embedder requires X to be passed, but X is None. Pass an array, a tensor or a "
                "dataset."
            )
        if is_dataset(X):
            check_dataset(X, min_samples=min_samples, estimator=self)
            return X
        if isinstance(X, DataLoader):
            raise TypeError(
                "Embedder makes its own batches and takes no DataLoader. Pass its dataset; the "
                "net's iterator_train and iterator_valid say how batches are made."
            )
        if not isinstance(X, torch.Tensor):
            X = check_array(
                X,
                dtype=np.float32,
                ensure_2d=False,
                allow_nd=True,
                ensure_min_samples=min_samples,
                input_name="X",
                estimator=self,
            )
        else:
            if X.is_complex() or X.layout != torch.strided:
                raise ValueError(
                    f"Embedder needs a dense tensor of real numbers, but X has dtype {X.dtype} and "
                    f"layout {X.layout}. Convert it, for example with X.to_dense() or X.abs()."
                )
            X = X.detach().to(torch.float32)
            if len(X) < min_samples:
                raise ValueError(
                    f"Embedder got X of shape {tuple(X.shape)}; at least {min_samples} samples are "
                    "required."
                )
            if not X.isfinite().all():
                raise ValueError(
                    "Input X contains NaN or infinity. Embedder needs finite numbers: impute or "
                    "drop those samples first."
                )
        if X.ndim < 2:
            raise ValueError(
                f"Embedder expects X of shape (n_samples, ...), got shape {tuple(X.shape)}. "
                "Reshape single features with X.reshape(-1, 1)."
            )
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        # Embeddings are float32 whatever the samples are.
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_net(net):
    """Give the net, and whether it is frozen."""
    is_frozen = isinstance(net, FrozenEstimator)
    net = net.estimator if is_frozen else net
    if not isinstance(net, NeuralNet) or isinstance(net, NeuralNetRegressor):
        raise TypeError(
            f"The 'net' parameter of Embedder must be a skorch net that classifies, got {net!r}. "
            "Wrap a module: skorch.NeuralNetClassifier(ModuleClass, "
            "criterion=torch.nn.CrossEntropyLoss)."
        )
    if is_frozen and not net.initialized_:
        raise ValueError(
            "The net in the FrozenEstimator has no weights yet. Fit it; or, if its module is an "
            "instance that has its weights, call net.initialize()."
        )
    if is_frozen and hasattr(net.module_, "_orig_mod"):
        raise ValueError(
            "The net in the FrozenEstimator has a compiled module, whose embeddings cannot be "
            "taken. Undo it: net.module_ = net.module_._orig_mod."
        )
    return net, is_frozen


def _with_class_counts(net, class_counts):
    """Tell a loss that depends on the sizes of classes what they are, unless the user has.

    The callback `ClassCounts` would do so when training begins. Here they become a parameter of the
    net, and the cache knows it by its parameters.
    """
    if not hasattr(net.criterion, "set_class_counts"):
        return net
    net = clone(net)
    if not isinstance(net.criterion, type):
        if net.criterion.class_counts is None:
            net.criterion.set_class_counts(class_counts)
    elif net.get_params().get("criterion__class_counts") is None:
        net.set_params(criterion__class_counts=class_counts)
    return net
