"""The detector by which the documentation shows how one is added keeps the contract."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml

from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector, load_detector
from endline.feature_set import FeatureSet

PAGE = (Path(__file__).parents[2] / "docs/how_to/detector.md").read_text()
NAME = "endline.detectors.pooled.median_distance"


def test_the_example_of_a_detector_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    module = ModuleType(NAME)
    monkeypatch.setitem(sys.modules, NAME, module)
    exec(compile(code, "detector.md", "exec"), vars(module))
    features = FeatureSet({"scale_0": np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")})
    detector = build_detector("median_distance", yaml.safe_load(block))
    detector.fit(features, seed=0, progress=Progress())
    batch = {"scale_0": torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 2.0)])}
    near, far = detector.score(batch).score
    assert far > near
    detector.save(tmp_path)
    torch.testing.assert_close(load_detector(tmp_path).score(batch).score, torch.stack([near, far]))
