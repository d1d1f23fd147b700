"""A skorch net as a transformer: train, then turn samples into embeddings."""

from __future__ import annotations

import warnings
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet, NeuralNetBinaryClassifier

from imblearn_eos._compat import HasMethods, Interval, fit_context, get_feature_names
from imblearn_eos._frames import by_blocks, is_dask
from imblearn_eos._seeding import seeded
from imblearn_eos._threads import one_thread_after_fork
from imblearn_eos._torch_datasets import is_dataset
from imblearn_eos._validation import check_features, encode_labels, label_vector
from imblearn_eos.embedding._cache import describe, train
from imblearn_eos.embedding._head_inputs import ShapeExplained, head_inputs
from imblearn_eos.embedding._module import FrozenModule, probe_module, with_head
from imblearn_eos.embedding._nets import (
    check_net,
    labels_for,
    preprocess_of,
    probabilities,
    probe_untrained,
    with_labels,
)
from imblearn_eos.embedding._probe import check_criterion, probe
from imblearn_eos.embedding._samples import (
    Labelled,
    Samples,
    as_samples,
    first_samples,
    is_random,
)
from imblearn_eos.embedding._views import check_views
from imblearn_eos.training._augmentation import augmented


def _has_classes(embedder):
    """Return whether the network has one output per class of y."""
    return not isinstance(embedder.net, FrozenModule)


class Embedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Train a network and turn samples into its embeddings.

    The embedding of a sample is the input of the network's head, its last linear layer, in
    evaluation mode. This turns images into rows of numbers, which samplers and classifiers of
    imbalanced-learn and scikit-learn can use.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier, or a sklearn.frozen.FrozenEstimator of one
        The network and how to train it; any other :class:`skorch.NeuralNet` whose module returns
        one score per class works too. Its ``train_split`` gets and returns labels like those of y,
        as in ``predefined_split(skorch.dataset.Dataset(X_valid, y_valid))``. It is cloned and
        trained in :meth:`fit`; the given object is not changed. Pass the module as a class to
        train it from scratch. Training of a module *instance* starts from the weights that it has,
        in each fit and each fold: good for a backbone pretrained elsewhere, and a leak in
        cross-validation if it has seen these data. A net in a
        :class:`~sklearn.frozen.FrozenEstimator` is used as it is and not trained; it must be
        initialized. The leak is the same: samples that it was trained on have embeddings unlike
        those of new samples.

    layer : str, default=None
        Dotted name of the head in the module, for example "fc" or "classifier.2". None means the
        last linear layer that runs, which must be the only one with one output per class.

    n_views : int, default=1
        Number of embeddings of each training sample, at least 1, that the later steps of an
        :class:`EmbeddingPipeline` are fitted to. The first is that of the sample itself. The others
        are those of copies, augmented at random as the training batches were, by the net's
        callbacks :class:`~imblearn_eos.training.BatchAugmentation`. They are more rows for the
        sampler and the head, as augmented images are in the second phase of published methods
        [1]_ [2]_. New samples always have one embedding, without augmentation. A row's nearest
        neighbors are then other views of its sample: multiply the ``n_neighbors`` of samplers by
        ``n_views``. An :class:`imblearn.pipeline.Pipeline` and :meth:`transform` use one view; see
        :meth:`transform_views`.

    memory : str or object with the joblib.Memory interface, default=None
        Where to keep trained networks, so that none is trained twice with the same parameters of
        ``net``, the same data and the same seed, for example in a grid search over the steps that
        follow. By default nothing is kept. Set ``random_state`` to an int as well: None draws a
        new seed for each fit. Data are compared by content, datasets by the content of their
        attributes, and classes and functions of the net's parameters by name and source, if it can
        be read. Changes in other code that they call, or in files that a dataset reads by name, are
        not noticed: clear the folder then. The folder holds pickles, which can run code when
        they are loaded: only its user may have write access.

    random_state : int, RandomState instance or None, default=None
        Seeds all that is random in training: the initial weights of a module given as a class,
        the order of the samples, dropout; and the augmented views. Global random states of torch,
        NumPy and Python are left as they were, except that None draws the seed from NumPy's.

    verbose : bool, default=False
        Show progress in epochs of training and batches of embeddings, and whether the network came
        from the cache.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net. Its classes are 0, 1, ..., the positions in ``classes_``. In
        :meth:`EmbeddingPipeline.from_module` it is an object whose ``module_`` is the module.

    classes_ : ndarray of shape (n_classes,)
        The class labels in sorted order.

    layer_ : str or None
        Dotted name of the head. None if the module has none, and returns the embedding.

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
    Numbers in X become float32 and are not scaled: scale images first. The same seed gives the
    same network on the same machine as far as torch is deterministic there; on CUDA see
    ``torch.use_deterministic_algorithms``.

    References
    ----------
    .. [1] Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis, "Decoupling Representation and
       Classifier for Long-Tailed Recognition", ICLR 2020, :arxiv:`1910.09217`.

    .. [2] Zhong, Cui, Liu, Jia, "Improving Calibration for Long-Tailed Recognition", CVPR 2021,
       :arxiv:`2104.00466`.

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
        # `check_net` says how to make one.
        "net": "no_validation",
        "layer": [str, None],
        "n_views": [Interval(Integral, 1, None, closed="left")],
        "memory": [str, HasMethods(["cache"]), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        net: NeuralNet | FrozenEstimator,
        *,
        layer: str | None = None,
        n_views: int = 1,
        memory: Any = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.net = net
        self.layer = layer
        self.n_views = n_views
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    @one_thread_after_fork()
    def fit(self, X: Samples, y: ArrayLike | torch.Tensor | None = None) -> Embedder:
        """Train the network.

        Parameters
        ----------
        X : {array-like, torch.Tensor, dict of such, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset} of shape (n_samples, ...)
            Finite numbers: images of shape (n_samples, channels, height, width), or whatever
            shape the module takes. A dataset is read batch by batch, whenever samples are needed.

            The arrays of a dict, and of datasets whose items are dicts, go to the module's
            ``forward`` by name; integers in them stay integers. scikit-learn cannot slice a dict:
            use :class:`skorch.helper.SliceDict` for cross-validation.

        y : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Labels of any kind. None takes them from a dataset: from its attribute ``targets`` if
            it has one, else from all of its items, which are pairs, or dicts with a "label" or
            "labels". If the dataset has ``classes``, a list of strings, as ImageFolder, then these
            names are the labels and not their positions, except that a net in a FrozenEstimator
            needs names in sorted order, because its outputs are in the order of the positions.

        Returns
        -------
        self : Embedder
            The fitted transformer.

        Raises
        ------
        ValueError
            When ``net`` shuffles or drops samples in ``iterator_valid``; when its criterion is
            skorch's default, which needs probabilities, and its module returns logits; when the
            head is ambiguous, missing or does not match the classes; when ``n_views`` is above 1
            and ``net`` has no ``BatchAugmentation``; when X or y are not as above, or y has one
            class; when ``train_split`` returns labels that y lacks. All this is found
            before training, except in samples of a dataset, which are checked as they are read.

        TypeError
            When ``net`` is not a skorch net that classifies, or X is a dataset without a length or
            with items that are not as described.

        skorch.exceptions.NotInitializedError
            When ``net`` is frozen and not initialized.
        """
        net, is_frozen = check_net(self.net)
        # Raises now, not after training, if names are of several types.
        get_feature_names(X)
        preprocess = preprocess_of(net)
        given, X = X, as_samples(X, estimator=self, preprocess=preprocess, min_samples=2)
        if y is None and is_dataset(given):
            y = labels_for(self.net, given)
        classes, codes = encode_labels(y, estimator=self, X=X)
        # The loss of a binary net compares one logit with a float.
        is_binary = isinstance(net, NeuralNetBinaryClassifier)
        targets = codes.astype(np.float32) if is_binary else codes
        samples = Labelled(X, targets, preprocess) if is_dataset(X) else X
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        first = first_samples(samples, 2)
        search = partial(probe, n_classes=len(classes))
        if isinstance(net, FrozenModule):
            search = probe_module
        search = partial(search, X=first, layer=self.layer)
        if not is_frozen:
            net = with_labels(net, classes, codes, targets.dtype)
            with seeded(seed, net.device):
                # Hooks do not run in a compiled module.
                network = clone(net).set_params(compile=False).initialize()
                check_views(network, self.n_views)
                probed = probe_untrained(network, samples, targets, search)
            # skorch does not recognize a criterion that it compiles, and takes no logarithm.
            if not net.compile:
                check_criterion(network, probed.scores)
            design = describe(network.module_)
            net = train(
                net,
                samples,
                targets,
                seed=seed,
                design=design,
                memory=self.memory,
                verbose=self.verbose,
            )
        check_views(net, self.n_views)
        # Callbacks may have changed the module in training.
        if is_frozen or describe(net.module_) != design:
            with seeded(seed, net.device):
                probed = search(net)
        # Only now, so that a training that fails keeps the fit before. The classes are first:
        # EmbeddingPipeline sees by them that the network may be another one.
        self.classes_ = classes
        self.net_, self.layer_, self.n_features_out_ = net, probed.layer, probed.n_features
        self._returns_softmax = probed.returns_softmax
        self._is_sequential, self._is_mapping = probed.is_sequential, probed.is_mapping
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        if not is_dataset(X) and X.ndim == 2:
            check_features(self, given, X, reset=True)
        return self

    @one_thread_after_fork()
    def transform(self, X: Samples) -> np.ndarray | torch.Tensor:
        """Return the embeddings of samples.

        Parameters
        ----------
        X : {array-like, torch.Tensor, dict of such, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset, Dask array or dataframe} of shape (n_samples, ...)
            Samples as in :meth:`fit`, or a Dask array or dataframe of such numbers.

        Returns
        -------
        Z : {ndarray, torch.Tensor, Dask array} of shape (n_samples, `n_features_out_`), \
                dtype=float32
            The input of the head, in the order of X. A tensor on X's device if X is a tensor. Lazy,
            with X's chunks of rows, if X is a Dask collection.

        Raises
        ------
        ValueError
            When embeddings contain NaN or infinity, as they do after training diverged.

        Warns
        -----
        UserWarning
            When the first samples of a dataset differ from one read to the next, because its
            transforms are random.
        """
        if is_dask(X):
            return by_blocks(self.transform, X, self._no_embeddings)
        X = self._check_new(X)
        with seeded(0, self.net_.device):
            random = is_random(X)
        if random:
            warnings.warn(
                f"Two reads of the first samples of {type(X.dataset).__name__} differ, so its "
                "transforms are random, and the embeddings with them. Remove random transforms "
                "from the dataset; BatchAugmentation of imblearn_eos.training augments batches "
                "in training only.",
                UserWarning,
                # The line that calls transform, which is wrapped twice.
                stacklevel=4,
            )
        with seeded(0, self.net_.device):
            embeddings = self._embed(X)
        return embeddings if isinstance(X, torch.Tensor) else embeddings.numpy()

    @one_thread_after_fork()
    def transform_views(
        self, X: Samples, y: ArrayLike | torch.Tensor | None = None
    ) -> tuple[np.ndarray | torch.Tensor, np.ndarray]:
        """Return ``n_views`` embeddings of each sample, with their labels.

        An :class:`EmbeddingPipeline` fits its later steps to these rows.

        Parameters
        ----------
        X : {array-like, torch.Tensor, dict of such, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset} of shape (n_samples, ...)
            Samples as in :meth:`fit`.

        y : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Labels as in :meth:`fit`. None takes those of a dataset.

        Returns
        -------
        Z : {ndarray, torch.Tensor} of shape (`n_views` * n_samples, `n_features_out_`), \
                dtype=float32
            First what :meth:`transform` returns, in the order of X, then the embeddings of
            augmented copies, in this order again and again. The same for the same int as
            ``random_state``.

        y : ndarray of shape (`n_views` * n_samples,)
            Their labels.

        Raises
        ------
        ValueError
            As :meth:`transform`; when ``n_views`` is above 1 and the net has no
            ``BatchAugmentation``; when y is None and X is no dataset.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_digits
        >>> from skorch import NeuralNetClassifier
        >>> from imblearn_eos import Embedder
        >>> from imblearn_eos.models import SmallCNN
        >>> from imblearn_eos.training import BatchAugmentation
        >>> def shift(images):
        ...     return images.roll(int(torch.randint(-1, 2, ())), dims=-1)
        >>> X, y = load_digits(return_X_y=True)
        >>> X = X.reshape(-1, 1, 8, 8) / 16
        >>> net = NeuralNetClassifier(
        ...     SmallCNN,
        ...     module__n_classes=10,
        ...     criterion=torch.nn.CrossEntropyLoss,
        ...     max_epochs=1,
        ...     callbacks=[BatchAugmentation(shift)],
        ...     verbose=0,
        ... )
        >>> embedder = Embedder(net, n_views=3, random_state=0).fit(X, y)
        >>> Z, labels = embedder.transform_views(X, y)
        >>> len(X), len(Z), len(labels)
        (1797, 5391, 5391)
        """
        samples = self._check_new(X)
        check_views(self.net_, self.n_views)
        if y is None and not is_dataset(X):
            raise ValueError("y is None, but only a dataset has labels of its own. Pass y, too.")
        labels = labels_for(self.net, X) if y is None else label_vector(y)
        check_consistent_length(samples, labels)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        with seeded(seed, self.net_.device):
            views = [self._embed(samples)]
            with augmented(self.net_):
                views += [self._embed(samples) for _ in range(self.n_views - 1)]
        Z = torch.cat(views)
        Z = Z if isinstance(samples, torch.Tensor) else Z.numpy()
        return Z, np.tile(np.asarray(labels), self.n_views)

    @available_if(_has_classes)
    @one_thread_after_fork()
    def predict_proba(self, X: Samples) -> np.ndarray:
        """Return the class probabilities of the trained network itself.

        Parameters
        ----------
        X : {array-like, torch.Tensor, dict of such, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset} of shape (n_samples, ...)
            Samples as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            What the net's ``predict_proba`` returns: its outputs after its
            ``predict_nonlinearity``.
        """
        X = self._check_new(X)
        with seeded(0, self.net_.device), ShapeExplained(X):
            return probabilities(self.net_, X) if self._is_mapping else self.net_.predict_proba(X)

    @available_if(_has_classes)
    @one_thread_after_fork()
    def predict(self, X: Samples) -> np.ndarray:
        """Return the labels that the trained network itself predicts.

        Parameters
        ----------
        X : {array-like, torch.Tensor, dict of such, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset} of shape (n_samples, ...)
            Samples as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from ``classes_``.
        """
        X = self._check_new(X)
        with seeded(0, self.net_.device), ShapeExplained(X):
            codes = probabilities(self.net_, X) if self._is_mapping else self.net_.predict(X)
        # A plain NeuralNet predicts scores.
        codes = codes.argmax(axis=1) if codes.ndim == 2 else codes
        return self.classes_[codes.astype(np.int64)]

    def _with_head(self, coef, intercept):
        """Return a copy of the module with a head of these weights."""
        return with_head(
            self.net_, self.layer_, coef, intercept, self.classes_, self._is_sequential
        )

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def _no_embeddings(self):
        return np.empty((0, self.n_features_out_), np.float32)

    def _embed(self, X):
        """Return the embeddings of checked samples, on X's device if X is a tensor."""
        device = X.device if isinstance(X, torch.Tensor) else "cpu"
        embeddings = head_inputs(self.net_, self.layer_, X, device, verbose=self.verbose)
        if not embeddings.isfinite().all():
            raise ValueError(
                "The embeddings contain NaN or infinity although X does not: training diverged. "
                "Lower the learning rate of the net (its lr parameter), or clip its gradients; a "
                "module in float16 may need float32."
            )
        return embeddings

    def _check_new(self, X):
        """Return samples as the net takes them, if they are like those it was fitted to."""
        check_is_fitted(self)
        given, X = X, as_samples(X, estimator=self, preprocess=preprocess_of(self.net_))
        if is_dataset(X):
            return Labelled(X, preprocess=preprocess_of(self.net_))
        if hasattr(self, "n_features_in_"):
            check_features(self, given, X, reset=False)
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        # Embeddings are float32 whatever the samples are.
        tags.transformer_tags.preserves_dtype = []
        return tags
