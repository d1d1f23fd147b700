"""The main job: samplers beside each other on your data, and a report of it.

`compare` trains a small CNN on images; `compare_table` takes rows of numbers and a scikit-learn
classifier. Both give one `SeedResult` after the other; the functions below make tables, files and a
page of them, as the command ``imblearn-eos compare`` does.
"""

from imblearn_eos.compare._files import make_record, write_csv, write_json
from imblearn_eos.compare._images import compare
from imblearn_eos.compare._methods import (
    METRICS,
    SAMPLERS,
    LenientADASYN,
    MethodResult,
    SeedResult,
)
from imblearn_eos.compare._report import write_report
from imblearn_eos.compare._statistics import summarize
from imblearn_eos.compare._tables import CLASSIFIERS, compare_table
from imblearn_eos.compare._text import format_table, format_verdict

__all__ = [
    "CLASSIFIERS",
    "METRICS",
    "SAMPLERS",
    "LenientADASYN",
    "MethodResult",
    "SeedResult",
    "compare",
    "compare_table",
    "format_table",
    "format_verdict",
    "make_record",
    "summarize",
    "write_csv",
    "write_json",
    "write_report",
]
