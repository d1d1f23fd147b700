"""Plots of gaps, recalls, embeddings and confusion matrices, as scikit-learn displays.

They need matplotlib, from the extra ``report``: ``pip install 'imblearn-eos[report]'``. It is
imported when something is drawn. Its settings do not change, and nothing is shown until you call
``matplotlib.pyplot.show()`` or save ``display.figure_``.

Marks differ in shape or line style as well as in color, so plots can be read in black and white.
"""

from imblearn_eos.plotting._confusion import plot_confusion_matrices
from imblearn_eos.plotting._embedding import EmbeddingDisplay
from imblearn_eos.plotting._gap import GeneralizationGapDisplay
from imblearn_eos.plotting._recall import RecallDisplay

__all__ = [
    "EmbeddingDisplay",
    "GeneralizationGapDisplay",
    "RecallDisplay",
    "plot_confusion_matrices",
]
