"""Embeddings from a file, for scikit-learn."""

from __future__ import annotations

import os

from sklearn.utils import Bunch

from imblearn_eos._compat import validate_params
from imblearn_eos.datasets._readers import read


@validate_params(
    {
        "path": "no_validation",
        "target": [str, None],
        "embedding": [str, None],
        "labels": "no_validation",
        "id": [str, None],
        "group": [str, None],
        "split": [str, None],
    },
    prefer_skip_nested_validation=True,
)
def load_embeddings(
    path: str | os.PathLike,
    *,
    target: str | None = None,
    embedding: str | None = None,
    labels: str | os.PathLike | None = None,
    id: str | None = None,
    group: str | None = None,
    split: str | None = None,
) -> Bunch:
    """Load embeddings and their labels from a file.

    Parameters
    ----------
    path : str or path-like
        Parquet (a file, or a folder of such) or a folder that ``datasets.save_to_disk`` wrote, with
        a column of lists of numbers; ``.npz`` or ``.safetensors`` with arrays; or ``.npy``.
    target : str or None, default=None
        Name of the column or array of the labels. None takes the only one of "label", "labels",
        "y", "target" and "class".
    embedding : str or None, default=None
        Name of the column or array of the embeddings. None takes the only column of lists, or the
        only array of the names "X", "embeddings", "embedding" and "features".
    labels : str, path-like or None, default=None
        A file of labels for arrays without: ``.npy``, ``.csv`` with one column (or ``target``), or
        text with one label per line. An ``.npy`` file needs it.
    id : str or None, default=None
        Column of the names of the rows. None takes the only one of "path", "id" and "ids".
    group : str or None, default=None
        Column of groups, such as patients, which a split must not separate.
    split : str or None, default=None
        Column of the parts of a split: train, validation or test. None takes "split" if it is one.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_samples, n_features), dtype float32
            The embeddings.
        target : ndarray of shape (n_samples,)
            The labels, by their names where a file of the library datasets has names.
        ids, groups, split : ndarray of shape (n_samples,) or None
            The columns of these names.

    Raises
    ------
    ImportError
        When pyarrow or safetensors is missing; the extra ``embeddings`` installs them.
    ValueError
        When the file does not hold embeddings of finite numbers, all of one width, with labels.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from imblearn_eos.datasets import load_embeddings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "embeddings.npz")
    ...     np.savez(path, X=np.zeros((4, 32), dtype=np.float16), y=["cat", "cat", "dog", "dog"])
    ...     embeddings = load_embeddings(path)
    >>> embeddings.data.shape, embeddings.data.dtype, embeddings.target.tolist()
    ((4, 32), dtype('float32'), ['cat', 'cat', 'dog', 'dog'])
    """
    data = read(
        path,
        target=target,
        embedding=embedding,
        labels=labels,
        id=id,
        group=group,
        split=split,
    )
    if data.kind != "embeddings":
        raise ValueError(
            f"{path} holds {data.kind}, not embeddings: a column of lists of numbers, or an array "
            "of shape (n, features). Name it as embedding=, or use another loader."
        )
    return Bunch(data=data.X, target=data.y, ids=data.ids, groups=data.groups, split=data.split)
