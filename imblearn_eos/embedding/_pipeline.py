"""Embedder, sampler and head as one pipeline, and back to one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from imblearn.pipeline import Pipeline
from numpy.typing import ArrayLike
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from imblearn_eos._validation import encode_labels
from imblearn_eos.embedding._embedder import Embedder
from imblearn_eos.embedding._gap import PipelineWithGap
from imblearn_eos.embedding._module import FrozenModule
from imblearn_eos.embedding._samples import Samples
from imblearn_eos.embedding._steps import (
    check_later_steps,
    cloned,
    is_active,
    make_steps,
)
from imblearn_eos.embedding._to_module import fold_scaler, softmax_weights
from imblearn_eos.embedding._views import ViewsAsRows


class EmbeddingPipeline(PipelineWithGap):
    """Train a network, over-sample its embeddings and refit its head.

    An :class:`imblearn.pipeline.Pipeline` whose first step is an :class:`Embedder`. Fitting
    trains the network, over-samples the embeddings of the training data, and fits the head to
    them. :meth:`to_module` then puts the head back on the network.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        An Embedder, any samplers and transformers, and a classifier, in this order. The steps after
        the Embedder are cloned in each fit, and :attr:`named_steps` has the fitted clones.

    transform_input : list of str, default=None
        As in :class:`imblearn.pipeline.Pipeline`.

    memory : str or object with the joblib.Memory interface, default=None
        As in :class:`imblearn.pipeline.Pipeline`. To keep trained networks, set the ``memory`` of
        the Embedder instead, which compares tensors by their content.

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

    @classmethod
    def from_module(
        cls,
        module: torch.nn.Module,
        *,
        trained_on_rows: bool,
        layer: str | None = None,
        preprocess: Callable | None = None,
        sampler: Any = None,
        head: Any = None,
        batch_size: int = 64,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> EmbeddingPipeline:
        """Make a pipeline of a module that is trained already.

        The module is run and not trained; fitting over-samples its embeddings and fits a head to
        them. It may have any number of outputs, for example 1000 classes of ImageNet, or none of
        its own classes: without a head, its output is the embedding.

        Parameters
        ----------
        module : torch.nn.Module
            Returns a tensor, alone or first in a tuple, an object with ``logits``, or a mapping
            with "logits" or "pooler_output", such as a ``ModelOutput`` of transformers. It stays on
            its device, is set to evaluation mode, and is shared by clones of the pipeline.

        trained_on_rows : bool
            Whether the module was trained on the samples that :meth:`fit` will get. If it was,
            their embeddings are unlike those of new samples, so scores of a cross-validation are
            too high, and parameters must be chosen on samples that the module has not seen.

        layer : str, default=None
            Dotted name of the head, the linear layer whose input is the embedding, for example
            "fc". "" says that the module has no head and returns the embedding. None means the
            last linear layer whose output, or its softmax, is what the module returns; if there
            is none, the module has no head. A convolution as head is not recognized.

        preprocess : callable, default=None
            Turns one sample into a tensor, or a dict of tensors, that the module takes, for
            example an image of Pillow, a path or a text. X may then be a sequence of any samples.

        sampler : object, default=None
            A sampler in the sense of imbalanced-learn, or "passthrough" for none. None means
            ``EOS(n_neighbors=1000)``, with ``max_step=0.5`` if the module was not trained on these
            samples, and none before an :class:`AveragedHead`, which has its own.

        head : object, default=None
            A classifier in the sense of scikit-learn. None means :class:`LinearHead`. If the module
            was not trained on these samples, its ``alpha`` is 0.03, a :class:`CommonScaler` comes
            before the sampler, and without ``sampler`` the head is an AveragedHead of that EOS, in
            the place of both.

        batch_size : int, default=64
            Samples that the module takes at once.

        random_state : int, RandomState instance or None, default=None
            Seeds every step whose ``random_state`` is None. None leaves them as they are.

        verbose : bool, default=False
            Print the time that each step takes, and show the progress of steps that can.

        Returns
        -------
        EmbeddingPipeline
            Unfitted, with steps "embedder", "sampler" and "head", and if the module was not trained
            on these samples "scaler" before the sampler, which is "passthrough" if you give a head.

        Raises
        ------
        TypeError
            When ``module`` is not a torch.nn.Module.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_digits
        >>> from imblearn_eos import EmbeddingPipeline
        >>> from imblearn_eos.models import SmallCNN
        >>> X, y = load_digits(return_X_y=True)
        >>> X = torch.from_numpy(X.reshape(-1, 1, 8, 8) / 16).float()
        >>> module = SmallCNN(n_classes=1000)  # Or one with trained weights.
        >>> pipeline = EmbeddingPipeline.from_module(module, trained_on_rows=False)
        >>> pipeline.named_steps["head"]
        AveragedHead(alpha=0.03, sampler=EOS(max_step=0.5, n_neighbors=1000))
        >>> pipeline.fit(X, y).to_module()(X[:2]).shape
        torch.Size([2, 10])
        """
        net = FrozenModule(
            module, trained_on_rows=trained_on_rows, preprocess=preprocess, batch_size=batch_size
        )
        steps = make_steps(
            Embedder(net, layer=layer, verbose=verbose),
            sampler,
            head,
            trained_on_rows=trained_on_rows,
            random_state=random_state,
            verbose=verbose,
        )
        return cls(steps, verbose=verbose)

    def fit(
        self, X: Samples, y: ArrayLike | torch.Tensor | None = None, **params: Any
    ) -> EmbeddingPipeline:
        """Train the network, over-sample its embeddings and fit the head to them.

        Parameters
        ----------
        X : {array-like, torch.Tensor, dict of such, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset} of shape (n_samples, ...)
            Samples as in :meth:`Embedder.fit`.

        y : {array-like, torch.Tensor} of shape (n_samples,), default=None
            Labels of any kind. None takes them from a dataset, as in :meth:`Embedder.fit`.

        **params : dict
            As in :class:`imblearn.pipeline.Pipeline`.

        Returns
        -------
        self : EmbeddingPipeline
            The fitted pipeline.

        Raises
        ------
        ValueError, TypeError
            As :meth:`Embedder.fit` and the other steps. The parameters of steps, and the
            ``sampling_strategy`` of an over-sampler behind the Embedder, are checked before
            training. An over-sampler before an :class:`AveragedHead` is refused. If a later step
            fails all the same, or is interrupted, the first step keeps the trained network, and the
            later steps are not fitted to any other network.
        """
        return super().fit(X, y, **params)

    @available_if(lambda self: hasattr(super(), "score"))
    def score(self, X: Samples, y: ArrayLike | torch.Tensor | None = None, **params: Any) -> float:
        """Return the accuracy, or what else the last step scores.

        Parameters
        ----------
        X : {array-like, torch.Tensor, dict of such, torch.utils.data.Dataset, \
                skorch.helper.SliceDataset} of shape (n_samples, ...)
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

    def set_params(self, **params: Any) -> EmbeddingPipeline:
        """Set parameters of the pipeline and of its steps.

        Parameters
        ----------
        **params : dict
            As in :class:`imblearn.pipeline.Pipeline`, for example ``embedder__net__lr``.

        Returns
        -------
        self : EmbeddingPipeline
            The pipeline.

        Raises
        ------
        ValueError
            When a parameter is unknown, or of a step that is "passthrough".
        """
        steps = dict(params.get("steps", self.steps)) | params
        for name in params:
            step, _, parameter = name.partition("__")
            if parameter and step in steps and not is_active(steps[step]):
                raise ValueError(
                    f"{name!r} cannot be set, because the step {step!r} is {steps[step]!r}. Set it "
                    "to an estimator; the sampler of an AveragedHead is a parameter of that step, "
                    f"as in 'head__sampler__{parameter}'."
                )
        return super().set_params(**params)

    def to_module(self) -> torch.nn.Module:
        """Put the fitted head on the trained network.

        Returns
        -------
        torch.nn.Module
            A copy of the network, in evaluation mode, whose head has the weights of the last
            step. Under the net's ``predict_nonlinearity`` its outputs are this pipeline's
            ``predict_proba``. A module given to :meth:`from_module` returns what it returned
            before, with one output per class; without a head of its own it becomes the first part
            of a torch.nn.Sequential, or of a module that passes dicts on. The configuration of
            models of transformers gets the class names.

        Raises
        ------
        ValueError
            When a step between network and head transforms embeddings, unless it is a
            :class:`CommonScaler` or a scaler of scikit-learn that shifts and scales each feature;
            when the probabilities of the last step are not the softmax of linear scores of all
            classes; or when the network's own probabilities are not the softmax of what its head
            returns.
        """
        embedder = self._embedder()
        check_is_fitted(self)
        *between, (name, head) = self.steps[1:] or self.steps
        if not embedder._returns_softmax:
            layer = embedder.net_.module_.get_submodule(embedder.layer_)
            raise ValueError(
                "The net's predict_proba must be the softmax of what its head returns, but it is "
                f"not for the layer {embedder.layer_!r} with {layer.out_features} output(s) and "
                f"{len(embedder.classes_)} classes. Use criterion=torch.nn.CrossEntropyLoss, "
                "predict_nonlinearity=functools.partial(torch.softmax, dim=1) if the module "
                "returns logits, or another 'layer' parameter of Embedder."
            )
        coef, intercept = softmax_weights(name, head, embedder.classes_)
        for name, step in reversed(between):
            if is_active(step) and not hasattr(step, "fit_resample"):
                coef, intercept = fold_scaler(name, step, coef, intercept)
        return embedder._with_head(coef, intercept).eval()

    def _fit_steps(self, X, y, fit):
        """Fit all steps but the last, and return what the last step is fitted to."""
        embedder = self._embedder()
        y = self._labels(X, y)
        # The Embedder checks the lengths in a dict.
        samples = None if isinstance(X, Mapping) else X
        classes, codes = encode_labels(y, estimator=self, X=samples)
        check_later_steps(self.steps[1:], classes[codes])
        given, before = self.steps, getattr(embedder, "classes_", None)
        # Clones, because a head must not outlive the network that it was fitted to.
        self.steps = [given[0], *((name, cloned(step)) for name, step in given[1:])]
        try:
            Z_resampled, y_resampled = self._fit_views(X, y, fit)
        finally:
            # Each fit of an Embedder makes its own classes, also if its network is frozen.
            if getattr(self.steps[0][1], "classes_", None) is before:
                self.steps = given
            else:
                vars(self).pop("_training_ranges", None)
        if len(self.steps) > 1:
            self._note_ranges(X, classes[codes], Z_resampled, y_resampled)
        return Z_resampled, y_resampled

    def _fit_views(self, X, y, fit):
        """Fit the steps, the first as a sampler if it makes several views."""
        name, embedder = self.steps[0]
        if embedder.n_views == 1:
            return fit(X, y)
        self.steps[0] = name, ViewsAsRows(embedder)
        try:
            return fit(X, y)
        finally:
            # Another one, if the pipeline's memory had it.
            self.steps[0] = name, self.steps[0][1].embedder

    def _embedder(self):
        """Return the first step."""
        first = self.steps[0][1] if self.steps else None
        if not isinstance(first, Embedder):
            is_class = isinstance(first, type)
            found = f"the class {first.__name__}" if is_class else type(first).__name__
            raise TypeError(
                "The first of the 'steps' of an EmbeddingPipeline must be an Embedder, got "
                f"{found}. Wrap a skorch net as Embedder(net); for other first steps use "
                "imblearn.pipeline.Pipeline."
            )
        return first

    def __getitem__(self, ind):
        if isinstance(ind, slice) and ind.indices(len(self.steps))[0] > 0:
            # Without the Embedder, what is left is an ordinary pipeline on embeddings.
            return Pipeline(self.steps, memory=self.memory, verbose=self.verbose)[ind]
        return super().__getitem__(ind)


def make_embedding_pipeline(
    net: NeuralNet | FrozenEstimator,
    sampler: Any = None,
    head: Any = None,
    *,
    layer: str | None = None,
    memory: Any = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: bool = False,
) -> EmbeddingPipeline:
    """Make an :class:`EmbeddingPipeline` of a network, a sampler and a head.

    Parameters
    ----------
    net : skorch.NeuralNetClassifier
        The network and how to train it, as in :class:`Embedder`.

    sampler : object, default=None
        A sampler in the sense of imbalanced-learn, or "passthrough" for none. None means
        ``EOS(n_neighbors=1000)``, with ``max_step=0.5`` for a net in a ``FrozenEstimator``, and
        none before an :class:`AveragedHead`, which has its own.

    head : object, default=None
        A classifier in the sense of scikit-learn. None means :class:`LinearHead`. For a net in a
        ``FrozenEstimator`` its ``alpha`` is 0.03, a :class:`CommonScaler` comes before the sampler,
        and without ``sampler`` the head is an AveragedHead of that EOS, in the place of both. These
        defaults are for a net that was not trained on these samples; for one that was, pass
        ``EOS(n_neighbors=1000)`` and ``LinearHead()``.

    layer : str, default=None
        Dotted name of the network's head, as in :class:`Embedder`.

    memory : str or object with the joblib.Memory interface, default=None
        Where to keep trained networks, as in :class:`Embedder`; a parameter of that step, and so
        ``embedder__memory`` of the pipeline.

    random_state : int, RandomState instance or None, default=None
        Seeds every step whose ``random_state`` is None. None leaves them as they are.

    verbose : bool, default=False
        Print the time that each step takes, and show the progress of steps that can.

    Returns
    -------
    EmbeddingPipeline
        Unfitted, with steps "embedder", "sampler" and "head", and for a net in a
        ``FrozenEstimator`` "scaler" before the sampler, which is "passthrough" if you give a head.
        Sampler and head are clones of the given ones; ``net`` itself is cloned in each fit.

    Raises
    ------
    TypeError
        When sampler or head is a class and not an instance.

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
    steps = make_steps(
        Embedder(net, layer=layer, memory=memory, verbose=verbose),
        sampler,
        head,
        trained_on_rows=not isinstance(net, FrozenEstimator),
        random_state=random_state,
        verbose=verbose,
    )
    return EmbeddingPipeline(steps, verbose=verbose)
