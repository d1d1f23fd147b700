"""Embedder, sampler and head as one pipeline, and back to one network."""

import warnings
from contextlib import contextmanager

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.pipeline import Pipeline
from imblearn.utils import check_sampling_strategy
from scipy import sparse
from sklearn import get_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from imblearn_eos._device import resolve_device
from imblearn_eos._validation import dataset_labels, label_vector, sorted_classes, to_array
from imblearn_eos.embedding._embedder import Embedder
from imblearn_eos.embedding._head import LinearHead
from imblearn_eos.embedding._modules import linear_from_arrays, replace_layer, softmax_weights
from imblearn_eos.embedding._samples import check_dataset, is_dataset
from imblearn_eos.embedding._steps import NOT_CLONED, check_steps, is_known, unfitted
from imblearn_eos.metrics import TrainingRanges, check_rows
from imblearn_eos.over_sampling import EOS


def _forgetting(name):
    """Give a pipeline's other way to fit, which leaves no head of another network if it fails."""

    def fit(self, X, y=None, **params):
        with self._no_head_of_another_network():
            return getattr(super(EmbeddingPipeline, self), name)(X, y, **params)

    fit.__name__, fit.__qualname__ = name, f"EmbeddingPipeline.{name}"
    fit.__doc__ = f"""Fit as :meth:`fit` does, but call ``{name}`` of the last step.

        Parameters
        ----------
        X : object
            Samples as in :meth:`fit`.

        y : object, default=None
            Labels as in :meth:`fit`.

        **params : dict
            As in :class:`imblearn.pipeline.Pipeline`.

        Returns
        -------
        object
            What the last step returns.
        """
    return available_if(lambda self: hasattr(super(EmbeddingPipeline, self), name))(fit)


class EmbeddingPipeline(Pipeline):
    """Three-phase training: a network, over-sampled embeddings, a refitted head.

    An :class:`imblearn.pipeline.Pipeline` whose first step is an :class:`Embedder`. Fitting
    trains the network, over-samples the embeddings of the training data, and fits the head to
    them. :meth:`to_module` then puts the head back on the network.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        An Embedder, any samplers, and a classifier, in this order.

    transform_input : list of str, default=None
        As in :class:`imblearn.pipeline.Pipeline`.

    memory : str or object with the joblib.Memory interface, default=None
        As in :class:`imblearn.pipeline.Pipeline`. To keep trained networks, set the ``memory`` of
        the Embedder instead: it knows tensors by their content.

    verbose : bool, default=False
        Print the time that each step takes.

    Attributes
    ----------
    named_steps : :class:`~sklearn.utils.Bunch`
        The steps by name.

    classes_ : ndarray of shape (n_classes,)
        The class labels.

    See Also
    --------
    make_embedding_pipeline : A shorter way to make one.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from skorch import NeuralNetClassifier
    >>> from torch.nn import CrossEntropyLoss
    >>> from imblearn_eos import EOS, Embedder, EmbeddingPipeline, LinearHead
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
    >>> pipeline = EmbeddingPipeline([
    ...     ("embedder", Embedder(net, random_state=0)),
    ...     ("sampler", EOS(random_state=0)),
    ...     ("head", LinearHead()),
    ... ])
    >>> pipeline.fit(X, y).predict(X).shape
    (1797,)
    >>> module = pipeline.to_module()
    >>> type(module).__name__
    'SmallCNN'
    >>> proba = module(torch.from_numpy(X).float()).softmax(dim=1)
    >>> np.allclose(proba.detach(), pipeline.predict_proba(X), atol=1e-5)
    True
    """

    def fit(self, X, y=None, **params):
        """Train the network, over-sample its embeddings and fit the head to them.

        Parameters
        ----------
        X : {array-like, torch.Tensor, torch.utils.data.Dataset, skorch.helper.SliceDataset} of \
                shape (n_samples, ...)
            Samples as in :meth:`Embedder.fit`.

        y : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Labels of any kind. None takes them from a dataset of pairs, as in
            :meth:`Embedder.fit`.

        **params : dict
            As in :class:`imblearn.pipeline.Pipeline`.

        Returns
        -------
        self : EmbeddingPipeline
            The fitted pipeline.

        Raises
        ------
        ValueError, TypeError
            As :meth:`Embedder.fit` and the other steps. Their parameters, and the
            ``sampling_strategy`` of an over-sampler behind the Embedder, are checked before
            training. If a later step fails all the same, or is interrupted, the network is kept,
            as ``net_`` of the first step, and in the place of each later transformer and head
            that is not frozen is an unfitted clone, or a warning says that there could be none. A
            sampler stays as it is, with attributes of the fit before if this one did not reach it.
        """
        with self._no_head_of_another_network():
            return super().fit(X, y, **params)

    fit_transform = _forgetting("fit_transform")
    fit_predict = _forgetting("fit_predict")
    fit_resample = _forgetting("fit_resample")

    @available_if(lambda self: hasattr(self._final_estimator, "score"))
    def score(self, X, y=None, **params):
        """Give the accuracy, or what else the last step scores.

        Parameters
        ----------
        X : {array-like, torch.Tensor, torch.utils.data.Dataset, skorch.helper.SliceDataset} of \
                shape (n_samples, ...)
            Samples as in :meth:`fit`.

        y : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Labels as in :meth:`fit`.

        **params : dict
            As in :class:`imblearn.pipeline.Pipeline`.

        Returns
        -------
        float
        """
        return super().score(X, self._labels(X, y), **params)

    def to_module(self):
        """Put the fitted head on the trained network.

        Returns
        -------
        torch.nn.Module
            A copy of the network, in evaluation mode, whose head has the weights of the last
            step. Under the net's ``predict_nonlinearity`` its outputs are this pipeline's
            ``predict_proba``.

        Raises
        ------
        ValueError
            When a step between network and head transforms embeddings, when the probabilities of
            the last step are not the softmax of linear scores, when it does not know all classes,
            when the network has one output for two classes, or when the network's own
            probabilities are not the softmax of what its head returns.
        """
        check_steps(self.steps)
        check_is_fitted(self)
        embedder = self.steps[0][1]
        for _, name, step in self._iter(with_final=False):
            if step is not embedder:
                raise ValueError(
                    f"The step {name!r} ({type(step).__name__}) transforms embeddings, so the head "
                    "is not linear in the network's own embeddings, and to_module cannot put it "
                    "there. Remove the step; samplers may stay."
                )
        layer = embedder.net_.module_.get_submodule(embedder.layer_)
        if layer.out_features != len(embedder.classes_):
            raise ValueError(
                f"The layer {embedder.layer_!r} has {layer.out_features} output(s) for "
                f"{len(embedder.classes_)} classes, so the head, with one output per class, does "
                "not fit in its place. Set the 'layer' parameter of Embedder to a layer that has, "
                "or use a network with one output per class and "
                "criterion=torch.nn.CrossEntropyLoss."
            )
        if not embedder._returns_softmax:
            raise ValueError(
                "The network's own predict_proba is not the softmax of what its head returns, so "
                "with another head its outputs would not be the probabilities of this pipeline. If "
                "the module returns logits, set predict_nonlinearity of the net to "
                "functools.partial(torch.softmax, dim=1): skorch knows by itself only that "
                "torch.nn.CrossEntropyLoss takes logits."
            )
        coef, intercept = softmax_weights(*self.steps[-1], embedder.classes_)
        head = linear_from_arrays(coef, intercept, like=layer)
        return replace_layer(embedder.net_.module_, embedder.layer_, head).eval()

    def generalization_gap(self, X_test, y_test=None):
        """Measure how far test embeddings lie outside the range of the training embeddings.

        Once for the training rows and once for what the head was fitted on, the rows after
        over-sampling; for all test rows, and for those that this pipeline classifies right and
        wrong; and always with the two references without which a gap says little.

        Parameters
        ----------
        X_test : {array-like, torch.Tensor, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset} of shape (n_samples, ...)
            Samples as in :meth:`fit`, that it has not seen.

        y_test : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Their labels, as in :meth:`fit`. Each must be among :attr:`classes_`.

        Returns
        -------
        :class:`~sklearn.utils.Bunch`
            As of :func:`~imblearn_eos.metrics.generalization_gap_report`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            When this pipeline was not fitted as a whole, as with steps that were fitted before.

        See Also
        --------
        imblearn_eos.plotting.GeneralizationGapDisplay : The same as a picture.
        """
        check_is_fitted(self)
        if getattr(self, "_training_ranges", None) is None:
            raise NotFittedError(
                "The ranges of the training embeddings are not known, because the steps of this "
                f"{type(self).__name__} were not fitted by it, or a step makes sparse matrices. "
                "Call fit, or use imblearn_eos.metrics.generalization_gap_report on embeddings."
            )
        embeddings = self._embed(X_test)
        Z_test, y_test = check_rows(embeddings, self._labels(X_test, y_test), "test")
        head, y_pred = self._final_estimator, None
        if hasattr(head, "predict"):
            y_pred = head.predict(embeddings)
        return self._training_ranges.report(Z_test, y_test, y_pred)

    @contextmanager
    def _no_head_of_another_network(self):
        """When a fit fails, forget what later steps may know of the embeddings before."""
        self._validate_steps()
        # Each fit of an Embedder makes its own, also if its network is one that was frozen.
        before = getattr(self.steps[0][1], "classes_", None)
        try:
            yield
        # Also Ctrl-C.
        except BaseException:
            if getattr(self.steps[0][1], "classes_", None) is not before:
                self._training_ranges = None
                later = [(name, *unfitted(step)) for name, step in self.steps[1:]]
                self.steps = [self.steps[0], *((name, step) for name, step, _ in later)]
                for found in (step for step in later if step[-1] is not None):
                    warnings.warn(NOT_CLONED.format(*found), UserWarning, stacklevel=4)
            raise

    def _fit(self, X, y=None, *args, **kwargs):
        # All ways to fit come here.
        y = self._labels(X, y)
        self._check_later_steps(y)
        Z_resampled, y_resampled = super()._fit(X, y, *args, **kwargs)
        self._training_ranges = None
        is_embedder_last = len(self.steps) == 1
        if is_embedder_last or sparse.issparse(Z_resampled):
            return Z_resampled, y_resampled
        y_train, y_all = (column_or_1d(label_vector(labels)) for labels in (y, y_resampled))
        samplers = [step for _, _, step in self._iter(with_final=False, filter_resample=False)]
        samplers = [step for step in samplers if hasattr(step, "fit_resample")]
        # Over-samplers return the rows that they were given first; embedding them again takes time.
        if all(isinstance(sampler, BaseOverSampler) for sampler in samplers) and np.array_equal(
            y_train, y_all[: len(y_train)]
        ):
            Z = Z_resampled[: len(y_train)]
        else:
            Z = self._embed(X)
        self._training_ranges = TrainingRanges(
            np.asarray(to_array(Z)), y_train, np.asarray(to_array(Z_resampled)), y_all
        )
        return Z_resampled, y_resampled

    def _labels(self, X, y):
        """Give the labels of samples, those of a dataset if there are no others."""
        if y is not None or not is_dataset(X):
            return y
        check_dataset(X, min_samples=1, estimator=self)
        return dataset_labels(X)

    def _check_later_steps(self, y):
        """Raise now, and not after hours of training, for what later steps would refuse."""
        later = [step for _, _, step in self._iter(filter_resample=False) if step is not self[0]]
        for step in filter(is_known, later):
            is_checked = hasattr(step, "_parameter_constraints")
            if is_checked and not get_config()["skip_parameter_validation"]:
                step._validate_params()
            if isinstance(step, (EOS, LinearHead)):
                resolve_device(step.device)
        if y is None or not later:
            return
        if not isinstance(later[0], BaseOverSampler) or not is_known(later[0]):
            return
        strategy = later[0].sampling_strategy
        try:
            y = column_or_1d(label_vector(y))
            classes = sorted_classes(y)
        except ValueError:
            # The Embedder says what is wrong with the labels.
            return
        is_usable = len(classes) > 1 and not np.any(y != y)
        # A function might draw random numbers.
        if is_usable and not callable(strategy):
            check_sampling_strategy(strategy, y, "over-sampling")

    def _embed(self, X):
        """Transform samples to what the last step takes."""
        for _, _, step in self._iter(with_final=False):
            X = step.transform(X)
        return X

    def __getitem__(self, ind):
        if isinstance(ind, slice) and ind.indices(len(self.steps))[0] > 0:
            # Without the Embedder, what is left is an ordinary pipeline on embeddings.
            return Pipeline(self.steps, memory=self.memory, verbose=self.verbose)[ind]
        return super().__getitem__(ind)

    def _validate_steps(self):
        # Before imbalanced-learn's check, whose errors do not say what to do.
        check_steps(self.steps)
        super()._validate_steps()


def make_embedding_pipeline(
    net,
    sampler=None,
    head=None,
    *,
    layer=None,
    memory=None,
    random_state=None,
    verbose=False,
):
    """Make an :class:`EmbeddingPipeline` of a network, a sampler and a head.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier
        The network and how to train it, as in :class:`Embedder`.

    sampler : object, default=None
        A sampler of imbalanced-learn's kind, or "passthrough" for none. None means
        :class:`~imblearn_eos.EOS`.

    head : object, default=None
        A classifier of scikit-learn's kind. None means :class:`LinearHead`.

    layer : str, default=None
        Dotted name of the network's head, as in :class:`Embedder`.

    memory : str or object with the joblib.Memory interface, default=None
        Where to keep trained networks, as in :class:`Embedder`; a parameter of that step, and so
        ``embedder__memory`` of the pipeline.

    random_state : int, RandomState instance or None, default=None
        Gives a seed to every step whose ``random_state`` is None. None leaves them as they are.

    verbose : bool, default=False
        Print the time that each step takes, and show the progress of steps that can.

    Returns
    -------
    EmbeddingPipeline
        Unfitted, with steps "embedder", "sampler" and "head". Sampler and head are clones of
        those given; ``net`` itself is cloned in each fit.

    Raises
    ------
    TypeError
        When sampler or head is a class and not an object.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from imblearn_eos import make_embedding_pipeline
    >>> from imblearn_eos.models import SmallCNN
    >>> net = NeuralNetClassifier(
    ...     SmallCNN, module__n_classes=10, criterion=torch.nn.CrossEntropyLoss
    ... )
    >>> pipeline = make_embedding_pipeline(net, random_state=0)
    >>> list(pipeline.named_steps)
    ['embedder', 'sampler', 'head']

    Names to search over are, for example:

    >>> grid = {"sampler__n_neighbors": [5, 10], "head__alpha": [0.01, 0.1]}
    >>> pipeline = pipeline.set_params(embedder__net__lr=0.1)
    """
    for name, step in (("sampler", sampler), ("head", head)):
        if isinstance(step, type):
            raise TypeError(
                f"The '{name}' parameter must be an object, got the class {step.__name__}. Pass "
                f"{step.__name__}()."
            )
    embedder = Embedder(net, layer=layer, memory=memory, verbose=verbose)
    sampler = EOS() if sampler is None else clone(sampler, safe=False)
    head = LinearHead(verbose=verbose) if head is None else clone(head, safe=False)
    if random_state is not None:
        random_state = check_random_state(random_state)
        embedder.random_state = _draw_seed(random_state)
        for step in (sampler, head):
            _seed(step, random_state)
    return EmbeddingPipeline(
        [("embedder", embedder), ("sampler", sampler), ("head", head)], verbose=verbose
    )


def _seed(step, random_state):
    """Seed a step, and what it is made of, wherever no seed is set."""
    if not hasattr(step, "get_params"):
        return
    params = step.get_params()
    names = [name for name in sorted(params) if name.split("__")[-1] == "random_state"]
    step.set_params(**{n: _draw_seed(random_state) for n in names if params[n] is None})


def _draw_seed(random_state):
    return random_state.randint(np.iinfo(np.int32).max)
