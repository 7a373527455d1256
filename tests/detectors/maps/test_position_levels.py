"""Levels of positions: by hand where all are alike, at the border, in the background, with one sample."""

import pytest
import torch

from endline.detectors.maps.position_levels import PRIOR, PositionLevels

SIDE = 5


def fitted(maps: torch.Tensor, inside: torch.Tensor | None = None) -> PositionLevels:
    levels = PositionLevels(SIDE, SIDE)
    levels.fit(maps, torch.ones_like(maps) > 0 if inside is None else inside)
    return levels


def test_where_all_positions_are_alike_it_is_mean_and_deviation():
    values = torch.tensor([1.0, 2.0, 6.0])
    levels = fitted(values[:, None, None].expand(3, SIDE, SIDE))
    torch.testing.assert_close(levels.level, torch.full((SIDE, SIDE), 3.0))
    # The sum of squares and half a variance, over three samples and a half: the variance itself.
    torch.testing.assert_close(levels.spread, torch.full((SIDE, SIDE), float(values.std(correction=0))))


def test_a_position_that_is_always_high_is_nothing_special():
    rng = torch.Generator().manual_seed(0)
    ridge = torch.zeros(SIDE, SIDE)
    ridge[2] = 50
    noise = torch.randn(200, SIDE, SIDE, generator=rng)
    levels = fitted(noise + ridge)
    usual, odd = levels(ridge[None])[0], levels((ridge + 50 * torch.eye(SIDE))[None])[0]
    assert usual.abs().max() < 2
    assert odd.flatten().argmax() in range(0, SIDE * SIDE, SIDE + 1)


def test_a_sample_more_weighs_less_than_the_prior_only_where_there_are_few():
    maps = torch.zeros(1, SIDE, SIDE)
    maps[0, 0, 0] = 1.0
    levels = fitted(maps)
    whole = (maps[0] - levels.level).square().mean()
    far = levels.spread[SIDE - 1, SIDE - 1]
    torch.testing.assert_close(far, (PRIOR * whole / (1 + PRIOR)).sqrt(), rtol=1e-2, atol=1e-4)


def test_the_background_does_not_count():
    rng = torch.Generator().manual_seed(1)
    maps, inside = torch.randn(20, SIDE, SIDE, generator=rng), torch.ones(20, SIDE, SIDE) > 0
    inside[:, :, 3:] = False
    other = maps.clone()
    other[:, :, 3:] = 1e6
    first, second = fitted(maps, inside), fitted(other, inside)
    torch.testing.assert_close(first.level[:, :3], second.level[:, :3])
    torch.testing.assert_close(first.spread[:, :3], second.spread[:, :3])
    assert first.spread.isfinite().all()
    assert (first.spread > 0).all()


def test_maps_that_never_vary_leave_it_finite():
    levels = fitted(torch.full((4, SIDE, SIDE), 2.0))
    assert levels(torch.full((1, SIDE, SIDE), 2.5)).isfinite().all()


@pytest.mark.parametrize("row", [0, 2, SIDE - 1])
def test_a_border_position_sees_what_neighbours_it_has(row):
    """Smoothing neither lowers the border nor takes it for zeros."""
    maps = torch.full((2, SIDE, SIDE), 4.0)
    assert fitted(maps).level[row].tolist() == pytest.approx([4.0] * SIDE)
