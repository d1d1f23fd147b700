"""The tables of the CIFAR-10 study's pages, each a function of columns and options.

A function returns rows for ``tabulate``. Options are strings, as pages state them.
"""

import numpy as np
from _study import N_SUBSETS, mean_difference
from _study_methods import METHODS

# By name: what to take from a row, and how it is written.
SCORES = {
    "accuracy": (lambda row: 100 * row["scores"]["balanced_accuracy"], ".1f"),
    "g mean": (lambda row: 100 * row["scores"]["macro_g_mean"], ".1f"),
    "F1": (lambda row: 100 * row["scores"]["macro_f1"], ".1f"),
    "calibration": (lambda row: row["calibration_error"], ".2f"),
    "gap": (lambda row: np.mean(_gap(row, "after", "before")), ".2f"),
    "reference gap": (lambda row: np.mean(_gap(row, "label_noise", "size_matched")), ".2f"),
    "parameters": (lambda row: row["n_parameters"], ".0f"),
    "seconds": (lambda row: sum(row["seconds"].values()), ".1f"),
}


def _gap(row, over_sampled, plain):
    return row["gap"].get(over_sampled, row["gap"].get(plain))


def format_difference(found, digits=1):
    if found is None:
        return ""
    mean, margin = found
    text = f"{mean:+.{digits}f}"
    if margin is not None:
        text += f" ({mean - margin:+.{digits}f} to {mean + margin:+.{digits}f})"
    return text


def mark_few(text, values, column=None):
    """Mark what is of few subsets, unless the title of its column says so."""
    is_said = column is not None and column.has_few_subsets
    return f"{text} †" if text and len(values) < N_SUBSETS and not is_said else text


def format_differences(differences, column=None):
    """Write the mean of differences by subset, with its interval, or a mark."""
    found = list(differences.values())
    return mark_few(format_difference(mean_difference(found)), found, column)


def has_default(method):
    """Return whether a method's default differs from that of a simpler method.

    Logit adjustment of over-sampled rows has the default tau=0, which does nothing.
    """
    return METHODS[method].fixed[0].get("tau") != 0


def base_methods(columns, methods=None):
    """Return the methods that any column has, in the order of the study."""
    return [
        name
        for name in METHODS
        if any(name in column.methods for column in columns)
        and (name in methods if methods else True)
    ]


def _full_name(name, settings):
    """Return a method's name with settings, or the name itself if it states them."""
    return f"{name}, {settings}" if name in METHODS else name


def scores(columns, value="accuracy", methods=None):
    """Tabulate a score by method: tuned, with the default settings in parentheses."""
    rows = []
    for name in base_methods(columns, methods):
        row = {"method": name}
        row |= {column.title: _format_score(column, name, value) for column in columns}
        if any(row[column.title] for column in columns):
            rows.append(row)
    return rows


def _format_score(column, name, value):
    get, form = SCORES[value]
    if not (column.is_tuned or has_default(name)):
        return ""
    tuned, default = (
        list(column.values(f"{name}, {settings}", get).values())
        for settings in ("tuned", "default")
    )
    if not tuned:
        return ""
    text = f"{np.mean(tuned):{form}}"
    other = f"{np.mean(default):{form}}"
    is_shown = other != text and has_default(name)
    if value == "accuracy" and len(tuned) >= N_SUBSETS:
        text += f" ± {np.std(tuned, ddof=1):.1f}"
    return mark_few(f"{text} ({other})" if is_shown else text, tuned, column)


def leads(columns, of="EOS", methods=None, settings=("tuned",), of_settings=None):
    """Tabulate the lead of a method over each other, with 95 % intervals of paired t tests.

    Bold leads are clear of 0 also after a correction for the comparisons with all other methods.
    """
    rows = []
    for setting in settings:
        others = [
            name
            for name in base_methods(columns)
            if "EOS" not in name and (setting == "tuned" or has_default(name))
        ]
        for name in others if methods is None else [name for name in others if name in methods]:
            row = {f"{of} minus": name} | ({"settings": setting} if len(settings) > 1 else {})
            own = _full_name(of, of_settings or setting)
            for column in columns:
                is_known = column.is_tuned or setting == "default"
                found = column.differences(own, f"{name}, {setting}") if is_known else {}
                row[column.title] = _format_lead(found, len(others), column)
            rows.append(row)
    return rows


def _format_lead(differences, n_comparisons, column):
    corrected = mean_difference(list(differences.values()), n_comparisons)
    is_clear = len(differences) >= N_SUBSETS and abs(corrected[0]) > corrected[1]
    text = format_differences(differences, column)
    return f"**{text}**" if is_clear else text


def gains(columns, minus="network", methods=None, settings=("tuned",)):
    """Tabulate the gain of each method over one, with 95 % intervals of paired t tests."""
    rows = []
    for setting in settings:
        for name in base_methods(columns, methods):
            if name == minus or (setting == "default" and not has_default(name)):
                continue
            row = {f"minus {minus}": name} | ({"settings": setting} if len(settings) > 1 else {})
            for column in columns:
                found = column.differences(f"{name}, {setting}", f"{minus}, {setting}")
                row[column.title] = format_differences(found, column)
            rows.append(row)
    return rows


def tuning(columns, methods=None):
    """Tabulate what the choice of settings changes on the test images."""
    rows = []
    for name in base_methods(columns, methods):
        if METHODS[name].grid and has_default(name):
            row = {"tuned minus default": name, "settings": len(METHODS[name].settings)}
            for column in columns:
                found = column.differences(f"{name}, tuned", f"{name}, default")
                row[column.title] = format_differences(found, column)
            rows.append(row)
    return rows


def settings(columns, methods=None):
    """Tabulate the chosen settings, by subset."""
    rows = []
    for name in base_methods(columns, methods):
        if METHODS[name].grid:
            row = {"method": name}
            for column in columns:
                chosen = [
                    ", ".join(map(_format_setting, row["setting"].items()))
                    for row in column.rows[f"{name}, tuned"].values()
                ]
                row[column.title] = "; ".join(chosen)
            rows.append(row)
    return rows


def _format_setting(item):
    name, value = item
    short = {"n_neighbors": "K", "k_neighbors": "k"}.get(name, name)
    if isinstance(value, str):
        return value
    return f"{short}={value:g}"


def neighbors(columns, value="accuracy"):
    """Tabulate a score of EOS by K, with the default penalty of the head."""
    get, form = SCORES[value]
    rows = []
    for search in ("neighborhood", "nearest"):
        method = f"EOS, {search}"
        names = {
            int(name.rpartition("=")[2])
            for column in columns
            for name in column.rows
            if name.startswith(f"{method}, K=")
        }
        for k in sorted(names):
            row = {"search": search, "K": k}
            for column in columns:
                found = list(column.values(f"{method}, K={k}", get).values())
                text = f"{np.mean(found):{form}}" if found else ""
                row[column.title] = mark_few(text, found, column)
            rows.append(row)
        if value == "accuracy" and names:
            low, high = 10, max(names)
            row = {"search": search, "K": f"{high} minus {low}"}
            for column in columns:
                found = column.differences(f"{method}, K={high}", f"{method}, K={low}")
                row[column.title] = format_differences(found, column)
            rows.append(row)
    return rows


def taus(columns):
    """Tabulate logit adjustment by tau, where all subsets have it."""
    prefix, found = "logit adjustment, tau=", {}
    for column in columns:
        n_trainings = len(column.rows["network, tuned"])
        for name, rows in column.rows.items():
            if name.startswith(prefix) and len(rows) == n_trainings:
                tau = float(name.removeprefix(prefix))
                mean = np.mean(list(column.points(name).values()))
                found.setdefault(tau, {})[column.title] = f"{mean:.1f}"
    return [
        {"tau": f"{tau:g}"} | {column.title: found[tau].get(column.title, "") for column in columns}
        for tau in sorted(found)
        if any(found[tau].values())
    ]


def rivals(columns, of="CE"):
    """Tabulate the lead of EOS on one recipe's networks over other recipes' networks alone."""
    rows = []
    for column in columns:
        own = next(c for c in columns if c.study is column.study and c.recipe == of)
        row = {"network": column.title}
        for setting in ("tuned", "default"):
            found = own.differences(f"EOS, {setting}", f"network, {setting}", column)
            is_known = setting == "default" or own.is_tuned
            row[f"{of} + EOS, {setting}, minus it"] = format_differences(
                found if is_known else {}, column
            )
        rows.append(row)
    return rows


def between(columns, of, minus, methods=None):
    """Tabulate what the networks of one recipe bring over those of another, by method."""
    first, second = (next(c for c in columns if c.recipe == recipe) for recipe in (of, minus))
    rows = []
    for name in base_methods([first, second], methods):
        row = {f"{of} minus {minus}": name}
        for setting in ("tuned", "default"):
            if setting == "tuned" or has_default(name):
                full = f"{name}, {setting}"
                row[setting] = format_differences(first.differences(full, full, second))
        rows.append(row)
    return rows


def recall(columns, methods=None):
    """Tabulate recall by class, the most frequent first, with tuned settings."""
    rows = []
    for column in columns:
        recalls = {
            f"{name}, {column.title}": column.mean(f"{name}, tuned", lambda row: row["recall"])
            for name in base_methods([column], methods)
        }
        for label, count in enumerate(class_counts(column)):
            if len(rows) <= label:
                rows.append({"class": label, "training images": count})
            rows[label] |= {title: f"{100 * found[label]:.0f}" for title, found in recalls.items()}
    return rows


def recall_gains(columns, methods=None):
    """Tabulate points of recall gained over the network by the 4 largest and 2 rarest classes."""
    rows = []
    for name in base_methods(columns, methods):
        if name == "network":
            continue
        row = {"4 largest / 2 rarest classes": name}
        for column in columns:
            found, network = (
                column.values(f"{n}, tuned", lambda row: row["recall"]) for n in (name, "network")
            )
            if found:
                # Of the same subsets.
                gain = 100 * np.mean([found[subset] - network[subset] for subset in found], axis=0)
                text = f"{gain[:4].mean():+.0f} / {gain[-2:].mean():+.0f}"
                row[column.title] = mark_few(text, found, column)
        rows.append(row)
    return rows


def class_gaps(columns):
    """Tabulate the gap of a network by class."""
    gaps = {
        "gap": "before",
        "of rightly classified images": "right",
        "of wrongly classified images": "wrong",
        "reference: as few rows": "size_matched",
    }
    (column,) = columns
    rows = [
        {"class": label, "training images": count}
        for label, count in enumerate(class_counts(column))
    ]
    for title, name in gaps.items():
        found = column.mean(
            "network, tuned", lambda row, n=name: np.array(row["gap"][n], dtype=float)
        )
        for row, value in zip(rows, found, strict=True):
            row[title] = f"{value:.2f}"
    return rows


def class_counts(column):
    return next(record["class_counts"] for record in column.networks if record["fold"] is None)


def costs(columns, methods=None):
    """Tabulate what each method costs after phase 1, with tuned settings: one column."""
    (column,) = columns
    on_all = [record["seconds"] for record in column.networks if record["fold"] is None]
    embedding, training = (np.mean([s[key] for s in on_all]) for key in ("embedding", "training"))
    rows = []
    for name in base_methods(columns, methods):
        full = f"{name}, tuned"
        parts = [
            column.mean(full, lambda row, part=part: row["seconds"].get(part, 0.0))
            for part in ("sampling", "head")
        ]
        # What only changes the network's own head, without rows, needs no embeddings.
        seconds = [embedding if sum(parts) > 0 else 0.0, *parts]
        row = {"method": name, "fitted parameters": ""}
        if name != "network":
            row["fitted parameters"] = f"{column.mean(full, lambda row: row['n_parameters']):.0f}"
        titles = "embedding, s", "over-sampling, s", "head, s"
        row |= {title: f"{value:.1f}" for title, value in zip(titles, seconds, strict=True)}
        row["% of phase 1"] = f"{100 * sum(seconds) / training:.2f}"
        rows.append(row)
    return rows


def _lead(column, of, minus):
    return list(column.differences(of, minus).values())


def _rare_gap_over_reference(column):
    """Return how much wider the gap of the 2 rarest classes is than the size-matched one."""

    def excess(row):
        gap = row["gap"]
        return np.mean(np.subtract(gap["before"], gap["size_matched"])[-2:])

    return list(column.values("network, tuned", excess).values())


def _rare_gap_over_large(column):
    """Return how much wider the gap of the 2 rarest classes is than that of the 4 largest."""

    def excess(row):
        return np.mean(row["gap"]["before"][-2:]) - np.mean(row["gap"]["before"][:4])

    return list(column.values("network, tuned", excess).values())


def _narrowing(column, of):
    """Return how much over-sampling changes the gap, as the mean over classes."""

    def change(row):
        return np.mean(row["gap"]["after"]) - np.mean(row["gap"]["before"])

    return list(column.values(of, change).values())


# By name in the text of pages, differences per subset.
DIFFERENCES = {
    "lead": _lead,
    "rare gap over reference": _rare_gap_over_reference,
    "rare gap over large": _rare_gap_over_large,
    "narrowing": _narrowing,
}


# That of `make_embedding_pipeline` with a network that is trained.
PIPELINE_DEFAULT = "EOS, neighborhood, K=1000"
TARGETS = [
    # What, a name, the other, at least, aim, and whether the interval must be above 0.
    ("EOS, default, over the network", "EOS, default", "network, tuned", 5, 7, False),
    ("EOS, tuned, over the network", "EOS, tuned", "network, tuned", 7, 10, False),
    ("EOS over SMOTE, both tuned", "EOS, tuned", "SMOTE, tuned", 1.5, 5, True),
    (
        "EOS over logit adjustment, both tuned",
        "EOS, tuned",
        "logit adjustment, tuned",
        -1,
        0,
        False,
    ),
    ("EOS, K=1000, over SMOTE, default", PIPELINE_DEFAULT, "SMOTE, default", 2.5, 3.5, False),
    (
        "EOS, K=1000, over plain refit + logit adjustment, default",
        PIPELINE_DEFAULT,
        "plain refit + logit adjustment, default",
        0,
        0.5,
        False,
    ),
]


def targets(columns):
    """Tabulate the aims of the study, and whether they were reached."""
    rows = []
    for what, name, other, least, aim, is_interval in TARGETS:
        row = {"what": what, "at least": f"{least:+g}" + ", interval above 0" * is_interval}
        row["aim"] = f"{aim:+g}"
        for column in columns:
            found = list(column.differences(name, other).values())
            mean, margin = mean_difference(found)
            is_met = mean >= least and not (is_interval and (margin is None or mean <= margin))
            verdict = "missed" if not is_met else "aim reached" if mean >= aim else "reached"
            verdict = verdict if len(found) >= N_SUBSETS else "too few subsets"
            row[column.title] = f"{format_difference((mean, margin))}: {verdict}"
        rows.append(row)
    return rows
