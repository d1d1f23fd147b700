"""Compare samplers on your data, and write a report.

`compare` trains a small CNN on images; `compare_table` takes rows of numbers and a scikit-learn
classifier. Both return an iterator of one `SeedResult` per seed. `recommend` names the method to
use, and `refit_recommended` fits it to all rows. The other functions turn results into tables,
files and a report, as the command ``imblearn-eos compare`` does.
"""

from imblearn_eos.compare._adasyn import LenientADASYN
from imblearn_eos.compare._embeddings import compare_embeddings
from imblearn_eos.compare._files import make_record, write_csv, write_json
from imblearn_eos.compare._images import compare
from imblearn_eos.compare._recommend import Recommendation, recommend
from imblearn_eos.compare._refit import RefittedModel, refit_recommended
from imblearn_eos.compare._registry import CLASSIFIERS, METHODS, Method
from imblearn_eos.compare._report import write_report
from imblearn_eos.compare._rows import compare_table
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._scores import METRICS, MethodResult
from imblearn_eos.compare._statistics import summarize
from imblearn_eos.compare._text import format_table, format_verdict

__all__ = [
    "CLASSIFIERS",
    "METHODS",
    "METRICS",
    "LenientADASYN",
    "Method",
    "MethodResult",
    "Recommendation",
    "RefittedModel",
    "SeedResult",
    "compare",
    "compare_embeddings",
    "compare_table",
    "format_table",
    "format_verdict",
    "make_record",
    "recommend",
    "refit_recommended",
    "summarize",
    "write_csv",
    "write_json",
    "write_report",
]
