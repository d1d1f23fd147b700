"""Fill the tables and figures into the pages of the CIFAR-10 study, or print those of any study.

    python benchmarks/cifar_lt_pages.py

replaces what stands between ``<!-- table: ... -->``, ``<!-- figure: ... -->`` or
``<!-- value: ... -->`` and ``<!-- end -->`` in the pages below ``cifar_lt``. With ``--check`` it
names what would change, and changes nothing. ``--study DIR`` prints the tables of a study by
``cifar_lt.py``.

The comment names a function of ``_study_tables.py`` or ``_run_tables.py``, a figure of
``_study_plots.py``, or a value, and its options. ``runs`` are folders of results, and ``recipes``
and ``methods`` restrict columns and rows (separated by ";"). A new page needs no code. ``keel``
shows what ``tables.py`` found on other data, in ``keel``, and ``frozen`` what ``frozen.py`` found.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

import _ranks
import _run_tables
import _study_tables
import frozen
import numpy as np
import tables
from _recipes import RECIPES
from _study import read_columns
from _study_methods import METHODS
from _study_plots import FIGURES, is_current, save
from tabulate import tabulate

PAGES = Path(__file__).parent / "cifar_lt"
KEEL = Path(__file__).parent / "keel"
FROZEN = Path(__file__).parent / "frozen"
BLOCK = re.compile(r"(<!-- (table|figure|value): (.+?) -->)(.*?)(<!-- end -->)", re.DOTALL)
# Options that are lists, and what separates their entries.
LISTS = {"runs": " ", "settings": " ", "recipes": ";", "methods": ";"}
KNOWN = {"recipes": list(RECIPES), "methods": list(METHODS), "settings": ["tuned", "default"]}
FEW = "† Fewer than three subsets: differences of one or two points decide nothing."
HELD_OUT = "‡ Settings were chosen on half of the test images, and scores are on the other half."
BOLD = (
    "Bold intervals stay clear of 0 when they are corrected for the comparisons with all other "
    "methods."
)
# The page of any study.
STUDY = """
<!-- table: runs -->
<!-- end -->

Balanced accuracy, tuned, and with the default settings in parentheses:

<!-- table: scores -->
<!-- end -->

<!-- table: leads settings="tuned default" -->
<!-- end -->

By K, with the default penalty of the head:

<!-- table: neighbors -->
<!-- end -->

By tau:

<!-- table: taus -->
<!-- end -->

Generalization gap, its reference, and expected calibration error:

<!-- table: scores value=gap -->
<!-- end -->

<!-- table: scores value="reference gap" -->
<!-- end -->

<!-- table: scores value=calibration -->
<!-- end -->

Settings that were chosen, by subset:

<!-- table: settings -->
<!-- end -->

Time:

<!-- table: phases -->
<!-- end -->

Failures:

<!-- table: failures -->
<!-- end -->
"""


def fill(text, folder, defaults=None, is_checked=False):
    """Fill the blocks of a page.

    Parameters
    ----------
    text : str
    folder : Path
        Where the page lies, and its figures.
    defaults : dict or None
        Options of blocks that do not state them.
    is_checked : bool
        Write no figure.

    Returns
    -------
    text : str
    stale : list of str
        Figures that did not show the results.
    """
    stale = []

    def replace(match):
        start, kind, words, _, end = match.groups()
        name, *options = shlex.split(words)
        options = (defaults or {}) | dict(map(parse_option, options))
        if kind == "value":
            return f"{start}{fill_value(name, options)}{end}"
        if kind == "table":
            return f"{start}\n\n{fill_table(name, options)}\n\n{end}"
        file, alt = folder / options.pop("file"), options.pop("alt")
        read, plot = FIGURES[name]
        data = read(select(options))
        if not is_current(file, data):
            stale.append(str(file))
            if not is_checked:
                save(plot(data), file, data)
        return f"{start}\n\n![{alt}]({file.name})\n\n{end}"

    return BLOCK.sub(replace, text), stale


def parse_option(text):
    """Return the name and the value of an option, which may be a list."""
    name, value = text.split("=", 1)
    if name in LISTS:
        value = [part.strip() for part in value.split(LISTS[name]) if part]
        unknown = [part for part in value if part not in KNOWN.get(name, value)]
        if unknown:
            raise ValueError(f"{name} in a page has {unknown[0]!r}. Use one of {KNOWN[name]}.")
    return name, value


def select(options):
    """Take the options that choose columns, and return these."""
    subset = options.pop("subset", None)
    return read_columns(
        options["runs"], options.pop("recipes", None), None if subset is None else int(subset)
    )


def fill_table(name, options):
    """Return a table in Markdown, with what its marks mean."""
    if name in OTHER_DATA:
        columns, rows = [], OTHER_DATA[name](**options)
    else:
        columns = select(options)
        make = getattr(_study_tables, name, None)
        if make is None:
            make, options = getattr(_run_tables, name), {"runs": options["runs"]}
        else:
            del options["runs"]
        rows = make(columns, **options)
    titles = dict.fromkeys(title for row in rows for title in row)
    rows = [
        {title: row.get(title, "") for title in titles if any(r.get(title, "") != "" for r in rows)}
        for row in rows
    ]
    if not rows:
        return "None."
    text = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    # Without padding: lines are long as it is.
    text = re.sub(r" {2,}", " ", re.sub(r"-{4,}", "---", text))
    notes = {"†": FEW, "‡": HELD_OUT, "**": BOLD}
    marked = text + "‡" * any(column.study.is_held_out for column in columns)
    return "\n\n".join([text, *(note for mark, note in notes.items() if mark in marked)])


def keel(rows):
    """Tabulate comparisons with SMOTE on real tables, of "classifier: method" for each row."""
    found = []
    for name in rows.split(";"):
        classifier, method = name.strip().split(": ")
        compared = tables.differences(KEEL, classifier, method)
        row = {"classifier": tables.TITLES[classifier], "method": f"`{tables.code_of(method)}`"}
        for metric in tables.CHOICE:
            lead = compared[metric]
            row[f"minus SMOTE, {metric}"] = (
                f"{_ranks.format_interval(lead)}, {lead['wins']}:{lead['losses']}"
            )
        found.append(row)
    return found


def frozen_features(rows, minus):
    """Tabulate methods on frozen features without tuning, of "title: method" for each row."""
    found = []
    for row in rows.split(";"):
        title, method = row.strip().split(": ")
        scores = frozen.read_scores(FROZEN, method)
        row = {
            f"without tuning, {len(scores)} subsets": title,
            "balanced accuracy": f"{np.mean(list(scores.values())):.1f}",
        }
        for other in minus.split(";"):
            name, _, other = other.strip().partition(": ")
            if other != method:
                row[f"minus {name}"] = frozen_lead(method, other)
        found.append(row)
    return found


def frozen_lead(of, minus, penalty=f"{frozen.DEFAULT_ALPHA:g}"):
    """Return the difference of two methods on frozen features, with its interval."""
    alphas = frozen.ALPHAS if penalty == "chosen" else [float(penalty)]
    scores, others = (frozen.read_scores(FROZEN, method, alphas) for method in (of, minus))
    subsets = sorted(scores.keys() & others.keys())
    found = _ranks.paired(*(np.array([s[name] for name in subsets]) for s in (scores, others)))
    return _ranks.format_interval(found)


# Tables of data other than the study's.
OTHER_DATA = {"keel": keel, "frozen": frozen_features}


def fill_value(name, options):
    """Return a number or a range for the running text."""
    if name == "frozen":
        return frozen_lead(**options)
    if name == "keel":
        classifier, method = options["of"].split(": ")
        compared = tables.differences(KEEL, classifier, method, int(options.get("min_rarest", 0)))
        return _ranks.format_interval(compared[options["metric"]])
    if name == "keel size":
        results = tables.read_results(KEEL)
        names = {table for _, table, _ in results}
        families = {tables.family_of(table) for table in names}
        return f"{len(names)} tables of {len(families)} families"
    columns = select(options)
    options.pop("runs")
    digits = options.pop("digits", 1)
    if name == "share":
        found = [_run_tables.share_of_phase_1(column) for column in columns]
        return f"{max(found):.1f}"
    if name == "parameters":
        return f"{columns[0].networks[0]['n_parameters']:,}"
    if name in _study_tables.DIFFERENCES:
        (column,) = columns
        return _study_tables.format_difference(
            _study_tables.mean_difference(_study_tables.DIFFERENCES[name](column, **options)),
            digits=int(digits),
        )
    found = [
        np.mean(list(column.differences(options["of"], options["minus"]).values()))
        for column in columns
    ]
    low, high = (f"{value:{options.get('format', '.0f')}}" for value in (min(found), max(found)))
    return low if low == high else f"{low} to {high}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if stale")
    parser.add_argument("--study", type=Path, metavar="DIR", help="print a study's tables")
    options = parser.parse_args()
    if options.study:
        text, _ = fill(STUDY, options.study, {"runs": [(options.study / "results").resolve()]})
        print(re.sub(r"<!-- .+? -->\n\n?", "", text))
        return
    stale = []
    for page in sorted(PAGES.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        filled, figures = fill(text, page.parent, is_checked=options.check)
        stale += figures
        if filled != text:
            stale.append(str(page))
            if not options.check:
                page.write_text(filled, encoding="utf-8")
    print("\n".join(stale) or "All pages show the results.")
    sys.exit(bool(options.check and stale))


if __name__ == "__main__":
    main()
