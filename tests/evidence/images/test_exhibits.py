"""What a report shows of a photograph."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from endline.evaluation.attribution import hottest
from endline.evidence.images.exhibits import image_exhibits
from endline.evidence.images.features import ImagePreparation
from endline.feature_set import FeatureSet

RING, PLAIN = "anomaly map; ring: its largest value", "anomaly map"


def captions(folder: Path, anomaly_maps: np.ndarray) -> list[str]:
    """Caption of the map of each photograph."""
    names = [f"{number}.png" for number in range(len(anomaly_maps))]
    for name in names:
        Image.new("RGB", (32, 32), (90, 90, 90)).save(folder / name)
    rows = pd.DataFrame({"sample_id": names, "path": names, "mask_path": None, "label": 0, "kind": "normal"})
    rows = rows.assign(score=0.0, p_value=0.5, flagged=False, why="unremarkable", part=None, domain=None)
    maps = FeatureSet({"map": anomaly_maps.astype("f4")})
    shown = image_exhibits(rows, rows, maps, hottest(maps, rows), folder, ImagePreparation(32, 32))
    return [figure[0] for exhibit in shown for figure in exhibit.figures if PLAIN in figure[0]]


def test_a_ring_marks_what_stands_out_and_nothing_on_a_calm_map(tmp_path):
    anomaly_maps = np.zeros((2, 8, 8))
    anomaly_maps[0, 2, 3] = 5.0
    anomaly_maps[1, 4, 4] = 0.5
    assert captions(tmp_path, anomaly_maps) == [RING, PLAIN]
