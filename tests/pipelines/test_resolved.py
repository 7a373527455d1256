"""What a run's detector decides of the features."""

import pytest

from endline.errors import EndlineError
from endline.pipelines.resolved import resolved

DETECTORS = {
    "plain": {"type": "endline.detectors.pooled.gaussian.Gaussian"},
    "told": {"type": "endline.detectors.maps.ast.AST", "input_type": "hybrid", "scale": 1},
    "turned": {"type": "endline.detectors.maps.differnet.DifferNet"},
}


@pytest.mark.parametrize(
    ("detector", "station", "expected"),
    [
        ("plain", "auto", "hybrid"),  # of the class
        ("told", "auto", "hybrid"),  # of the settings: the class would take single
        ("told", "single", "single"),  # the station's own word counts most
        ("turned", "auto", "cross_scale"),
    ],
)
def test_input_type_is_the_stations_else_the_settings_else_the_classs(
    detector: str, station: str, expected: str
) -> None:
    found = resolved({"input_type": station, "views": 8}, {"detector": detector}, DETECTORS)
    assert found["input_type"] == expected
    assert found["views"] == 8


def test_arrays_are_those_that_the_detector_reads() -> None:
    assert resolved({"input_type": "auto"}, {"detector": "turned"}, DETECTORS)["arrays"] == ["views", "image"]


def test_an_unknown_detector_is_told_before_anything_is_extracted() -> None:
    with pytest.raises(EndlineError, match="no detector 'nobody': choose one of plain, told, turned"):
        resolved({"input_type": "auto"}, {"detector": "nobody"}, DETECTORS)
