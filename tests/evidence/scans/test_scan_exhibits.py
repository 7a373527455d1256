"""Exhibits of scans: every half of a pair alone, with and without map, mask and a normal scan to compare with."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from endline.evidence.scans.exhibits import ScanPair, pixel_pitch, scan_exhibit, scan_exhibits
from endline.evidence.scans.scan import Scan
from endline.evidence.station import Shown
from endline.feature_set import FeatureSet
from endline.reporting.report import render_report

VERDICT = {
    "sample_id": "a",
    "why": "missed",
    "score": 1.0,
    "p_value": 0.1,
    "flagged": False,
    "label": 1,
    "kind": "dent",
}
MAP = np.linspace(0, 1, 36, dtype=np.float32).reshape(6, 6)
MASK = np.zeros((40, 60), np.bool_)
MASK[10:20, 10:20] = True
RELIEF = ["relief; slate: not measured", "anomaly map over the relief"]
LAMPS = "low lamp above, right, below, left"


def photograph() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def scan() -> Scan:
    depth = 400 - np.hypot(*np.mgrid[-20:20, -30:30]).astype(np.float32) / 4
    depth[3, 4] = np.nan
    return Scan(depth, pitch=0.5)


def captions(pair: ScanPair, anomaly_map: np.ndarray | None = MAP) -> list[str]:
    shown = scan_exhibit(VERDICT, pair, anomaly_map, limits=(0.0, 1.0), hottest=(0.5, 0.5))
    assert all(png[1:4] == b"PNG" for _, png in shown.figures)
    return [caption for caption, _ in shown.figures]


def test_both_halves_are_shown_with_the_map_the_mask_and_the_profile() -> None:
    profile = "profile from left to right through the largest value of the map"
    ring = "anomaly map; ring: its largest value"
    whole = captions(ScanPair(photograph(), scan(), MASK))
    assert whole == ["photograph", ring, *RELIEF, "mask: the defect as labelled", LAMPS, profile]
    assert captions(ScanPair(photograph(), scan()), None) == ["photograph", RELIEF[0], LAMPS, profile]


def test_either_half_stands_alone_and_says_so() -> None:
    alone = scan_exhibit(VERDICT, ScanPair(photograph(), None, MASK), MAP)
    assert [caption for caption, _ in alone.figures] == ["photograph", "anomaly map", "mask: the defect as labelled"]
    assert alone.note == "A photograph alone: there is no scan of this item."
    assert alone.turning is None
    alone = scan_exhibit(VERDICT, ScanPair(None, scan(), MASK), MAP)
    assert [caption for caption, _ in alone.figures][:3] == [*RELIEF, "mask: the defect as labelled"]
    assert alone.note == "A scan alone: there is no photograph of this item."
    assert alone.turning is not None


def test_the_ring_is_named_with_the_first_map_that_has_one() -> None:
    shown = scan_exhibit(VERDICT, ScanPair(None, scan()), MAP, hottest=(0.5, 0.5))
    assert shown.figures[1][0] == "anomaly map over the relief; ring: its largest value"


def test_the_surface_that_turns_has_the_colours_of_the_photograph_and_the_map() -> None:
    plain = scan_exhibit(VERDICT, ScanPair(photograph(), scan()), None).turning
    mapped = scan_exhibit(VERDICT, ScanPair(photograph(), scan()), MAP, limits=(0.0, 1.0)).turning
    assert plain is not None
    assert mapped is not None
    np.testing.assert_array_equal(plain.colours, photograph())
    np.testing.assert_array_equal(plain.heights, mapped.heights)
    assert plain.heights[3, 4] == 0
    assert np.abs(plain.colours[0, 0].astype(int) - mapped.colours[0, 0]).max() <= 1  # transparent where nothing is
    assert (plain.colours[-1] != mapped.colours[-1]).any()


@pytest.mark.parametrize("depth", [np.full((8, 8), np.nan, np.float32), np.full((8, 8), 400.0, np.float32)])
def test_scans_without_a_measured_pixel_or_relief_are_drawn(depth: np.ndarray) -> None:
    shown = scan_exhibit(VERDICT, ScanPair(None, Scan(depth)), MAP, limits=(0.0, 1.0), hottest=(0.9, 0.9))
    assert len(shown.figures) == (4 if np.isfinite(depth).any() else 3)  # no profile of nothing
    assert (shown.turning is None) == (not np.isfinite(depth).any())


def test_the_pitch_is_the_scans_or_its_positions() -> None:
    depth = np.full((4, 6), 400.0, np.float32)
    x = np.tile(np.arange(6, dtype=np.float32) * 0.3, (4, 1))
    x[1], depth[1] = 0.0, np.nan  # positions of missing pixels mean nothing
    assert pixel_pitch(Scan(depth, x=x, y=x)) == pytest.approx(0.3)
    assert pixel_pitch(Scan(depth, x=x, y=x, pitch=0.7)) == 0.7
    assert pixel_pitch(Scan(depth)) is None


def shown_run(arrays: bool = True, maps: bool = True) -> Shown:
    depth = np.zeros((3, 1, 24, 24), np.float32)
    depth[1] += 0.4
    depth[2, 0, 10:15, 10:15] = 2.0  # a dent of 2 mm
    inside = np.zeros_like(depth)
    inside[:, :, 3:21, 3:21] = 1
    features = {"depth": depth, "depth_mask": inside} if arrays else {"scale_0": depth}
    samples = pd.DataFrame({"sample_id": ["n0", "n1", "a"], "split": ["train", "train", "test"]})
    scored = samples[2:].reset_index(drop=True).assign(**{key: VERDICT[key] for key in VERDICT if key != "sample_id"})
    values = np.zeros((1, 6, 6) if maps else (1, 0, 0), np.float32)
    if maps:
        values[0, 3, 3], values[0, :, 0] = 5.0, 0.1
    where = pd.DataFrame({"sample_id": ["a"], "part": ["all"], "row": [0.5], "column": [0.5], "value": [5.0]})
    return Shown(
        scored, samples, FeatureSet(features), scored, FeatureSet({"map": values}), Path(), where if maps else where[:0]
    )


def test_a_run_compares_with_the_nearest_normal_scan_in_mm() -> None:
    (shown,) = scan_exhibits(shown_run(), lambda row: ScanPair(photograph(), scan(), MASK))
    assert shown.table == (
        ("deviation from the nearest normal scan, n0", "mm"),
        ("at the ring", "−2.00"),
        ("farthest towards the sensor", "0.00"),
        ("farthest away from it", "−2.00"),
        ("mean size over the part", "0.13"),
        ("share of the part beyond 0.5 mm", "6.5 %"),
    )
    assert shown.figures[3][0] == "anomaly map over the relief"


def test_a_run_without_depth_arrays_or_maps_has_no_table_or_map() -> None:
    (shown,) = scan_exhibits(shown_run(arrays=False, maps=False), lambda row: ScanPair(photograph(), scan()))
    assert shown.table == ()
    assert [caption for caption, _ in shown.figures][:2] == ["photograph", RELIEF[0]]
    assert shown.figures[-1][0] == "profile from left to right through the middle"


def test_the_page_holds_table_and_surface_and_needs_nothing_from_outside() -> None:
    shown = scan_exhibits(shown_run(), lambda row: ScanPair(photograph(), scan(), MASK))
    empty = pd.DataFrame()

    def page(exhibits: list) -> str:  # type: ignore[type-arg]
        return render_report(
            title="Parts", station="surface_scan", metrics={"auroc": None}, scores=shown_run().shortlist,
            intervals=empty, figures={}, exhibits=exhibits, rejected=empty, settings={}, provenance={}, simulated=True,
        )  # fmt: skip

    html = page(shown)
    assert '<canvas width="1000" height="640" role="img" aria-label="surface of a" data-rows="40"' in html
    assert '<td>at the ring</td><td class="number">−2.00</td>' in html
    assert 'querySelectorAll(".turning canvas")' in html
    assert "http" not in html.split("<script>")[1]
    without = page([])
    assert "canvas" not in without.split("<body>")[1]
