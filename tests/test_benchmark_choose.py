"""benchmarks/choose.py: what it takes from a comparison, and what it reports."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score

pytest.importorskip("pandas")
pytest.importorskip("PIL")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import choose

from imblearn_eos.compare import compare_embeddings, recommend


def make_record(name, chosen, **scores):
    return {"name": name, "chosen": chosen, "scores": scores, "seconds": 1.0}


def test_scores_are_of_all_test_rows_and_of_two_halves_of_them():
    Z, y = make_classification(400, weights=[0.85], random_state=0)
    results = list(compare_embeddings(Z, y, samplers=["smote", "eos"], seeds=1, tune=False))
    found, y_test = choose.summarize(results), results[0].fitted.y_test
    assert found["chosen"] == recommend(results).method
    for name, scores in found["scores"].items():
        labels = results[0].fitted.predictions[name]
        assert scores[0] == pytest.approx(100 * balanced_accuracy_score(y_test, labels))
        # Recall of a class is the mean of its recalls on halves, up to a row that is left over.
        assert np.mean(scores[1:]) == pytest.approx(scores[0], abs=3)
        assert found["validation"].keys() == found["scores"].keys()


def test_best_of_each_is_chosen_on_one_half_and_scored_on_the_other():
    record = make_record("a", "none", none=[70.0, 60.0, 80.0], smote=[75.0, 90.0, 55.0])
    # On the first half SMOTE is best and gets 55 on the second; on the second, none gets 60.
    assert choose._on_halves(record).tolist() == [(80 + 60) / 2, (55 + 60) / 2]


def test_report_names_the_best_single_method_of_those_that_ran_everywhere(capsys):
    records = [
        make_record("a", "none", none=[70.0] * 3, smote=[60.0] * 3, averaged=[99.0] * 3),
        make_record("b", "smote", none=[50.0] * 3, smote=[64.0] * 3),
    ]
    choose.report(records)
    out = capsys.readouterr().out
    assert "2 data sets; the best single method is SMOTE" in out
    lines = {line.split("|")[1].strip(): line for line in out.splitlines() if "|" in line}
    # 70 and 64 are recommended, against 60 and 64 of SMOTE, and 70 and 50 of none.
    assert "67.00" in lines["recommended"]
    assert "62.00" in lines["SMOTE"]
    assert "+5.00" in lines["SMOTE"]
    assert "+7.00" in lines["no over-sampling"]
    assert "averaged" in lines["a"]
