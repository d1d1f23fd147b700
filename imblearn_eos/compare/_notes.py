"""What is said of single methods: what was chosen, and what went wrong."""

from __future__ import annotations

import re
import textwrap
from collections import Counter

from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._splits import N_FOLDS

MAX_NAMES, MAX_LETTERS = 3, 200
# What a neighbor search of scikit-learn says of a class with too few rows.
TOO_FEW = re.compile(r"n_neighbors <= n_samples_fit, but n_neighbors = (\d+)")


def format_notes(results, methods=None):
    """Yield a line for each method that failed, failed on a validation fold, or warned."""
    for method in methods or results[0].methods:
        name, outcomes = find_method(method).name, [result.methods[method] for result in results]
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        warned = [outcome.warnings for outcome in outcomes if outcome.warnings]
        folds = [result for result in results if method in result.validation_errors]
        if errors:
            failed = next(r for r in results if r.methods[method].error is not None)
            reason = _explain(errors[0], name, failed.train_counts)
            yield f"{name} failed on {len(errors)} of {_seeds(results)}: {reason}"
        elif folds:
            # One fold of the rows of each class is held out.
            left = {label: n - -(-n // N_FOLDS) for label, n in folds[0].train_counts.items()}
            reason = _explain(folds[0].validation_errors[method], name, left, "without the fold, ")
            yield (
                f"{name} has no validation score and cannot be recommended, because it failed with "
                f"a validation fold held out: {reason}"
            )
        if warned:
            text = _shorten(warned[0][0])
            if len(warned[0]) > 1:
                text = f"{text} (and {len(warned[0]) - 1} more like this)"
            yield f"{name} warned on {len(warned)} of {_seeds(results)}: {text}"


def format_settings(results):
    """Yield for each tuned method what the validation rows chose, most often first."""
    for method, outcome in results[0].methods.items():
        if outcome.settings:
            chosen = Counter(join_settings(result.methods[method].settings) for result in results)
            counted = (f"{text} ({n} of {_seeds(results)})" for text, n in chosen.most_common())
            yield find_method(method).name, "; ".join(counted)


def join_settings(settings):
    """Return settings as text, as in ``alpha=0.1, tau=1.0``."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _explain(error, name, counts, where=""):
    """Return an error in one line, with classes and remedy where classes have too few rows."""
    found = TOO_FEW.search(error)
    if found is None:
        return _shorten(error)
    needed = int(found[1])
    small = [label for label, n in counts.items() if n < needed] or [min(counts, key=counts.get)]
    names = textwrap.shorten(", ".join(small[:MAX_NAMES]), MAX_LETTERS, placeholder=" …")
    more = f" and {len(small) - MAX_NAMES} more" * (len(small) > MAX_NAMES)
    noun, have = ("class", "has") if len(small) == 1 else ("classes", "have")
    return (
        f"{where}{noun} {names}{more} {have} fewer than the {needed} training rows that {name} "
        f"needs. Add rows, merge or leave out the {noun}, or pass a {name} with fewer neighbors "
        f"(samplers= in Python)."
    )


def _shorten(text):
    """Return the first sentence of a text, in one line."""
    return textwrap.shorten(re.split(r"\.\s+(?=[A-Z])", text)[0], MAX_LETTERS, placeholder=" …")


def _seeds(results):
    return f"{len(results)} seed{'s' * (len(results) > 1)}"
