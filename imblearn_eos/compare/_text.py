"""The results of a comparison, in words and as a printed table."""

from __future__ import annotations

from collections.abc import Iterable

from tabulate import tabulate

from imblearn_eos.compare._measures import (
    ACCURACY,
    COST,
    F1,
    main_measure,
    percent,
    points,
)
from imblearn_eos.compare._notes import format_notes, format_settings
from imblearn_eos.compare._recommend import (
    chance_of,
    has_too_few_runs,
    is_near_chance,
    recommend,
    validation_means,
)
from imblearn_eos.compare._registry import find_method
from imblearn_eos.compare._run import SeedResult
from imblearn_eos.compare._scoring import AT_PRECISION
from imblearn_eos.compare._statistics import as_list, collect, mean_and_spread
from imblearn_eos.compare._summary import (
    choose_method,
    find_difference,
    measure_fit,
    order_methods,
    rare_classes,
    rare_scores,
)
from imblearn_eos.embedding import CommonScaler

# More names than this do not fit into a sentence.
MAX_NAMES, MAX_LETTERS = 3, 40
MORE_IMAGES = "use a pretrained backbone (--backbone), augmentation or more images"
MORE_TRAINING = "train for more epochs (--epochs) or with a higher learning rate (--lr)"
OTHER_FEATURES = "check the labels, and use other features or more"
OTHER_BACKBONE = "check the labels, and use another backbone or more"


def format_runs(results: list[SeedResult]) -> str:
    """Return lines on the rows of the split and on how the networks were trained."""
    first, rows = results[0], unit_of(results)
    train, test = first.train_counts, first.test_counts
    lines = [
        f"Train: {sum(train.values())} {rows}, {max(train.values())} in the largest class, "
        f"{min(train.values())} in the smallest."
    ]
    if n_test := sum(test.values()):
        lines[0] += f" Test: {n_test} {rows}, used for the scores only."
    fit = measure_fit(results)
    if fit.has_network:
        seconds_train, _ = mean_and_spread(result.seconds_train for result in results)
        seconds_embed, _ = mean_and_spread(result.seconds_embed for result in results)
        lines.append(
            f"Network, mean over seeds: trained in {seconds_train:.2f} s to balanced accuracy "
            f"{percent(fit.train)} on its training images, all images embedded in "
            f"{seconds_embed:.3f} s."
        )
    return "\n".join(lines) + "\n"


def format_model(saved, results):
    """Return which model was saved, or why there is none, and what the test scores are."""
    if saved.file is None:
        return f"No model was saved: {saved.problem}"
    text = f"Saved: {saved.file}, {saved.description}."
    if any(results[0].test_counts.values()):
        text += f" The test scores are those of models fitted to training {unit_of(results)} alone."
    return text


def format_table(results: Iterable[SeedResult]) -> str:
    """Return a table of all methods, followed by their errors and warnings.

    Parameters
    ----------
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`.

    Returns
    -------
    str
        Scores in percent and costs per row, the method to use first. The score that the validation
        rows chose by is shown for these and for the test rows. ``vs none`` is its paired difference
        to no over-sampling, in points or in costs, with its 95 % interval where there are enough
        seeds for one.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, format_table
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> results = list(compare_table(X, y, samplers=["eos"], seeds=3))
    >>> print(format_table(results).splitlines()[0].split()[:3])
    ['method', 'validation', 'balanced']
    """
    rows, results = [], as_list(results)
    means, measure = validation_means(results), main_measure(results)
    accuracy, f1 = ([other] if other != measure else [] for other in (ACCURACY, F1))
    for method in order_methods(results):
        outcomes = [result.methods[method] for result in results]
        succeeded = [outcome for outcome in outcomes if outcome.error is None]
        rare = rare_scores(results, method)
        seconds, _ = mean_and_spread(o.seconds_resample + o.seconds_refit for o in succeeded)
        has_seconds = seconds is not None and find_method(method).make_sampler is not None
        rows.append(
            [
                find_method(method).name,
                measure.format_validation(means.get(method)),
                format_score(results, method),
                _format_interval(results, method),
                *(format_score(results, method, other) for other in accuracy),
                points(rare and rare.recall),
                points(rare and rare.false_alarms),
                *(points(_mean(results, method, other)) for other in f1),
                f"{seconds:.3f}" if has_seconds else "-",
                f"{len(succeeded)}/{len(outcomes)}",
            ]
        )
    name = f" {measure.name}" if accuracy else ""
    headers = ["method", f"validation{name}", measure.name, "vs none"]
    headers += [*(other.name for other in accuracy), "rarest recall"]
    headers += ["false alarms", *("macro f1" for _ in f1), "seconds", "seeds"]
    table = tabulate(rows, headers, disable_numparse=True, stralign="right", colalign=["left"])
    # The page lists those of all methods.
    best = find_method(order_methods(results)[0]).name
    chosen = [f"Chosen for {n}: {text}" for n, text in format_settings(results) if n == best]
    guess = [text] if (text := format_guess(results)) else []
    notes = [*guess, *chosen, *format_notes(results)]
    return "\n".join([table, *([""] if notes else []), *notes])


def format_score(results, method, measure=None):
    """Return the mean score of a method, by default in the main measure, or why there is none."""
    measure = measure or main_measure(results)
    mean = _mean(results, method, measure)
    if mean is None and all(r.methods[method].error is not None for r in results):
        return "failed"
    return "-" if mean is None else measure.format(mean)


def _mean(results, method, measure):
    return mean_and_spread(collect(results, method, measure.metric).values())[0]


def _format_interval(results, method):
    difference, format_ = find_difference(results, method), main_measure(results).format_difference
    if difference is None:
        return "-"
    text = format_(difference.mean)
    if difference.low is None or has_too_few_runs(results):
        return text
    return f"{text} ({format_(difference.low)} to {format_(difference.high)})"


def format_verdict(results: Iterable[SeedResult]) -> str:
    """Return what to use and what it brings, with the remedy where training went wrong.

    Parameters
    ----------
    results : iterable of SeedResult
        As returned by `compare` or `compare_table`.

    Returns
    -------
    str
        One paragraph. Its first sentence names the method with the best validation score, with this
        score on the test rows unless it is the balanced accuracy, and with the recall of the rarest
        third of the classes and the false alarms there: the share of rows of all other classes that
        are taken for one of the rarest. Its last sentence says if the network of embeddings was
        assumed not to be trained on these rows.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from imblearn_eos.compare import compare_table, format_verdict
    >>> X, y = make_classification(n_samples=500, weights=[0.9], random_state=0)
    >>> results = compare_table(X, y, samplers=["smote"], seeds=3)
    >>> "of the rarest class (1)" in format_verdict(results)
    True
    """
    results = as_list(results)
    sentences = [format_headline(results), *format_advice(results)]
    if results[0].trained_on_rows is False:
        sentences.append("Assumed: the network was not trained on these rows.")
    return " ".join(sentences)


def format_headline(results):
    """Return the first sentence of the report."""
    if is_near_chance(results):
        return _format_chance(results)
    added = [o.rows_added for result in results for o in result.methods.values()]
    ran = [m for m, o in results[0].methods.items() if o.error is None]
    has_sampled = any(m != "none" and find_method(m).make_sampler is not None for m in ran)
    if has_sampled and not any(added):
        return "The classes are already balanced, so over-sampling adds no rows."
    method = choose_method(results)
    lead, ties = _format_lead(results, method), _format_ties(results, method)
    if ties and ties not in lead:
        lead += f" ({ties})"
    gains = [_format_score(results, method)]
    if not is_at_precision(results):
        gains.append(_format_gain(results, method))
    gain = "; ".join(filter(None, gains))
    return f"{lead}: {gain}." if gain else f"{lead}."


def format_advice(results):
    """Return sentences on what to mend first, none if nothing is known to be wrong."""
    warned = list(dict.fromkeys(text for result in results for text in result.warnings))
    fit = measure_fit(results)
    if not fit.has_network or is_near_chance(results):
        return warned
    if fit.is_overfit:
        return [
            f"The network scores {percent(fit.train)} on its training images but "
            f"{percent(fit.test)} on new ones: {MORE_IMAGES}. More epochs will not help.",
            *warned,
        ]
    if fit.is_underfit:
        return [
            f"The network scores only {percent(fit.train)} on its own training images: "
            f"{MORE_TRAINING}, and compare again.",
            *warned,
        ]
    return warned


def _format_chance(results):
    found, fit = recommend(results), measure_fit(results)
    method, measure = found.method if found else "none", main_measure(results)
    mean = _mean(results, method, measure)
    scaler = getattr(results[0].fitted, "embedder", None)
    remedy = OTHER_BACKBONE if isinstance(scaler, CommonScaler) else OTHER_FEATURES
    remedy = f"{remedy} {unit_of(results)}"
    if fit.has_network:
        remedy = MORE_TRAINING if fit.is_underfit else MORE_IMAGES
        remedy = f"the network scores {percent(fit.train)} on its training images; {remedy}"
    if measure == COST:
        name, rows = phrase_of(method), unit_of(results)
        best = f", best on the validation {rows}," if found else ""
        return (
            f"{name[0].upper()}{name[1:]}{best} has a mean cost of {measure.phrase(mean)} on the "
            f"test {rows}, which is within noise of that of one label for all {rows}, "
            f"{measure.phrase(_cost_of_best_guess(results, method))}; {remedy}."
        )
    return (
        "Nothing was learnt, so no conclusion about over-sampling can be drawn: the "
        f"{measure.name}, {percent(mean)}, is within noise of guessing, "
        f"{percent(chance_of(results))}; {remedy}."
    )


def format_guess(results):
    """Return what one label for all test rows costs; None without costs or test rows."""
    cost, rows = _cost_of_best_guess(results, "none"), unit_of(results)
    if cost is None:
        return None
    return (
        f"One label for all test {rows}, the one that costs least, has a mean cost of "
        f"{COST.phrase(cost)}."
    )


def is_at_precision(results):
    """Return whether the score is that of a threshold of its own, not the one of ``predict``."""
    return results[0].scoring.startswith(AT_PRECISION)


def format_threshold(results):
    """Return how to get the threshold of a recall at a precision; None for other scores."""
    if not is_at_precision(results):
        return None
    rows, name = unit_of(results), main_measure(results).name
    return (
        f"predict uses the usual threshold, which is not that of the {name}. Choose the threshold "
        f"for this precision on {rows} of your own that the model has not seen, for example with "
        "precision_recall_curve of scikit-learn on predict_proba of load.py."
    )


def _cost_of_best_guess(results, method):
    details = [result.methods[method].details for result in results]
    return mean_and_spread(d.guess_costs.mean() for d in details if "guess_costs" in d)[0]


def _format_lead(results, method):
    """Return what to use, and how sure that is."""
    found, name, rows = recommend(results), phrase_of(method), unit_of(results)
    if found is None or found.method != method:
        reason = f"there are no validation {rows}"
        if any(result.validation_errors for result in results):
            reason = "no method has a validation score"
        return f"{name[0].upper()}{name[1:]} is the default and was not chosen, because {reason}"
    if method == "none":
        return _format_none(results, found.runner_up)
    difference, measure = find_difference(results, method), main_measure(results)
    if difference is None:
        return f"Use {name}, which scored best on the validation {rows}"
    if has_too_few_runs(results):
        return f"Use {name}, but {_runs(results)} too few to tell whether it beats no over-sampling"
    if difference.is_noise:
        return f"Use {name}, although its difference from no over-sampling is within noise"
    if measure.sign * difference.mean < 0:
        fell = "scored worse than" if measure.lower_is_better else "scored below"
        fell = "cost more than" if measure == COST else fell
        return (
            f"Use {name}, which scored best on the validation {rows}, although it {fell} no "
            f"over-sampling on the test {rows}"
        )
    return f"Use {name}"


def _format_none(results, runner_up):
    """Return that no over-sampling is best, and how sure that is by the next best method."""
    if runner_up is None:
        return "Do not over-sample, because no other method has a validation score"
    if has_too_few_runs(results):
        return (
            f"Do not over-sample, but {_runs(results)} too few to tell whether another method "
            "beats it"
        )
    name, difference = phrase_of(runner_up), find_difference(results, runner_up)
    if difference is not None and difference.is_noise:
        if ties := _format_ties(results, "none"):
            return f"Do not over-sample, although {ties}"
        return (
            f"Do not over-sample, although the difference from the next best method, {name}, is "
            "within noise"
        )
    rows, measure = unit_of(results), main_measure(results)
    lead = f"Do not over-sample, because no other method scored better on the validation {rows}"
    if difference is not None and measure.sign * difference.mean > 0:
        return f"{lead}, although {name}, the next best, scored better on the test {rows}"
    return lead


def _format_ties(results, best):
    """Return that methods have the validation score of the best one, as printed; "" if none."""
    means, measure = validation_means(results), main_measure(results)
    printed = {method: measure.format_validation(mean) for method, mean in means.items()}
    tied = [phrase_of(m) for m in means if m != best and printed[m] == printed.get(best)]
    if not tied:
        return ""
    have = "has" if len(tied) == 1 else "have"
    names = " and ".join(tied) if len(tied) < 3 else f"{len(tied)} other methods"
    return f"{names} {have} the same validation score"


def _runs(results):
    return "1 run is" if len(results) == 1 else f"{len(results)} runs are"


def _format_score(results, method):
    """Return the score that was chosen by; None if it is the usual one, or without test rows."""
    measure, rows = main_measure(results), unit_of(results)
    found, before = (_mean(results, name, measure) for name in (method, "none"))
    if measure == ACCURACY or found is None:
        return None
    new = measure.phrase(found)
    if measure == COST:
        text = f"a test {rows.removesuffix('s')} costs {new} on average"
    else:
        text = f"{'the' if method == 'none' else 'its'} {measure.name} on the test {rows} is {new}"
    if method == "none" or before is None:
        return text
    old = measure.phrase(before)
    if measure != COST and new == old:
        return f"{text}, the same as without over-sampling"
    return f"{text} instead of {old} without over-sampling"


def _format_gain(results, method):
    """Return what a method brings to the rarest classes; None without test rows."""
    found, before = rare_scores(results, method), rare_scores(results, "none")
    if found is None:
        return None
    rows, rare = unit_of(results), rare_classes(results)
    if len(rare) > MAX_NAMES or len(", ".join(rare)) > MAX_LETTERS:
        classes = f"the {len(rare)} rarest classes"
    else:
        classes = f"the rarest class{'es' * (len(rare) > 1)} ({', '.join(rare)})"
    if len(rare) == 1 and len(rare[0]) > MAX_LETTERS:
        classes = "the rarest class"
    recall, alarms = percent(found.recall), percent(found.false_alarms)
    subject = "the classifier" if method == "none" else "it"
    finds = f"{subject} finds {recall} of the {rows} of {classes}"
    others = f"of the other {rows}"
    if method == "none" or before is None:
        return f"{finds}, with false alarms in {alarms} {others}"
    old_recall, old_alarms = percent(before.recall), percent(before.false_alarms)
    if (recall, alarms) == (old_recall, old_alarms):
        return (
            f"{finds}, with false alarms in {alarms} {others}, both the same as without "
            "over-sampling"
        )
    if recall == old_recall:
        finds += ", the same as without over-sampling"
    else:
        finds += f" instead of {old_recall} without over-sampling"
    if alarms == old_alarms:
        return f"{finds}, with unchanged false alarms in {alarms} {others}"
    return f"{finds}, with false alarms in {alarms} instead of {old_alarms} {others}"


def phrase_of(method):
    """Return the name of a method in sentences."""
    entry = find_method(method)
    return entry.phrase or entry.name


def unit_of(results):
    """Return what a row is, in the plural."""
    return results[0].unit or ("images" if results[0].train_loss is not None else "rows")
