import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from endline.evidence.images.posing import FARTHEST, Pose, refined, soft, taken

REACH = (0.4, 0.3, 0.35, 0.45)
RADIUS = 0.5


def texture(seed: int = 0) -> np.ndarray:
    """A smooth picture without symmetry that fades towards the border, (96, 96, 1)."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((96, 96)), 5)
    down, right = np.mgrid[:96, :96] / 95 - 0.5
    return (100 * np.abs(noise) * np.exp(-8 * (down**2 + right**2)))[..., None].astype(np.float32)


def shown(pixels: np.ndarray, pose: Pose) -> np.ndarray:
    return soft(taken(pixels, pose, REACH, (56, 64), np.zeros(1), RADIUS))


@pytest.mark.parametrize("stray", [(0.02, 0.0, 0.0), (0.0, -0.02, 0.0), (0.0, 0.0, 0.08), (-0.015, 0.02, -0.06)])
def test_a_stray_pose_is_brought_back(stray):
    true = Pose(0.5, 0.48, 0.7)
    start = Pose(*(value + error for value, error in zip(true, stray, strict=True)))
    found = refined(texture(), start, REACH, shown(texture(), true), RADIUS)
    assert np.allclose(found, true, atol=2e-3)


def test_brightness_and_haze_do_not_move_a_pose():
    true = Pose(0.5, 0.5, -2.0)
    template = 0.3 * shown(texture(), true) + 4
    assert np.allclose(refined(texture(), Pose(0.51, 0.49, -1.95), REACH, template, RADIUS), true, atol=2e-3)


def test_a_pose_stays_where_nothing_near_is_like_the_template():
    start = Pose(0.5, 0.5, 0.0)
    far = shown(texture(), Pose(0.5 + 2 * FARTHEST * RADIUS, 0.5, 0.0))
    for looks, template in ((texture(), far), (np.zeros((96, 96, 1), np.float32), far)):
        found = refined(looks, start, REACH, template, RADIUS)
        assert np.hypot(found.down - start.down, found.right - start.right) <= FARTHEST * RADIUS
        assert np.isfinite(found).all()


def test_a_round_part_is_moved_and_not_turned():
    down, right = np.mgrid[:96, :96] - 47.5
    disc = np.clip(24 - np.hypot(down, right), 0, 1)[..., None].astype(np.float32)
    noise = 0.02 * np.random.default_rng(0).standard_normal(disc.shape).astype(np.float32)
    true, start = Pose(0.5, 0.5, 0.0), Pose(0.51, 0.485, 0.05)
    found = refined(disc + noise, start, REACH, shown(disc, true), RADIUS)
    assert np.allclose(found[:2], true[:2], atol=2e-3)
    assert found.angle == pytest.approx(start.angle, abs=1e-9)
