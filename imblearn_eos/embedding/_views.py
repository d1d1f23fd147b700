"""Augmented views: several embeddings of each sample that a network was trained on."""

from sklearn.base import BaseEstimator

from imblearn_eos.training._augmentation import augmentations


def check_views(net, n_views):
    """Raise ValueError when there should be views, but the net does not say how to make them."""
    if n_views > 1 and not augmentations(net):
        raise ValueError(
            f"The 'n_views' parameter of Embedder is {n_views}, but the net has no augmentation to "
            "make views with. Add imblearn_eos.training.BatchAugmentation to its callbacks, or set "
            "n_views=1."
        )


class ViewsAsRows(BaseEstimator):
    """An Embedder as a sampler: transformers must not add rows, and samplers may.

    Parameters
    ----------
    embedder : Embedder
    """

    def __init__(self, embedder):
        self.embedder = embedder

    def fit_resample(self, X, y):
        """Train the network and return the views of its training samples."""
        return self.embedder.fit(X, y).transform_views(X, y)
