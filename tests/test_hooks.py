"""What the hooks make of a run's figures."""

import pytest
from mlflow.utils.validation import _validate_metric

from endline.hooks import _numbers


@pytest.mark.parametrize(
    "kind",
    [
        "a//b",
        "/a",
        "..",
        "../x",
        "a/../b",
        "a\nb",
        "scratch?",
        "x" * 400,
        "Kratzer ä",
        "+",
        "a\x00b",
        "<b>",
        "/etc",
        "a/",
    ],
)
def test_mlflow_takes_the_figures_of_any_kind_of_fault(kind):
    numbers = _numbers({"auroc": 0.9, "auroc_by_kind": {kind: {"auroc": 0.5, "low": 0.25}}})
    assert list(numbers.values())[:2] == [0.9, 0.5]
    for name, value in numbers.items():
        _validate_metric(name, value, 0, 0)


def test_kinds_that_differ_by_a_sign_alone_keep_their_figures_apart():
    assert _numbers({"kinds": {"1*": 0.5, "1?": 0.25, "1": 0.75}}) == {
        "kinds.1_": 0.5,
        "kinds.1__": 0.25,
        "kinds.1": 0.75,
    }
