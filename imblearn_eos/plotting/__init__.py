"""Pictures of gaps, recalls, embeddings and confusion, in the way of scikit-learn's displays.

They need matplotlib, from the extra ``report``: ``pip install 'imblearn-eos[report]'``. It is
imported when something is drawn, not before. Settings of matplotlib stay as they are, and nothing
is shown until you call ``matplotlib.pyplot.show()`` or save ``display.figure_``.

What a mark means never hangs on its hue alone, so the pictures can be read in black and white.
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
