"""What is recorded of a run: names that MLflow takes, whatever a fault is called."""

import pytest
from mlflow.utils.validation import _validate_metric_name

from endline.hooks import _metric_name

NAMES = ["a//b", "a/b", "/etc", "../up", "a/./b", "a/", "a\x00b", "a\nb\tc", "Geräusch", "<b>", "n" * 300]


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_has_a_metric_that_mlflow_takes(name):
    _validate_metric_name(_metric_name(f"auroc.{name}"))
    _validate_metric_name(_metric_name(name))


def test_usual_names_stay_as_they_are():
    names = ["auroc.7", "loss.fold.0", "recall.tooth scratch", "auroc.a/b"]
    assert [_metric_name(name) for name in names] == names
    assert _metric_name("auroc.a//b") == "auroc.a__b"
