"""The artificial defects of CutPaste: where, how large, of what."""

import pytest
import torch

import endline.detectors.maps.cutpaste_images as module
from endline.detectors.maps.cutpaste_images import cut_paste, cut_paste_scar, paste, recoloured


@pytest.fixture
def unchanged_colours(monkeypatch):
    monkeypatch.setattr(module, "JITTER", 0.0)


def places(count: int, height: int, width: int) -> torch.Tensor:
    """Images whose two channels tell the row and the column, in [0, 1], (count, 2, height, width)."""
    rows, columns = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    return torch.stack([rows, columns]).repeat(count, 1, 1, 1)


def test_a_pasted_rectangle_is_a_shifted_piece_of_the_image(unchanged_colours):
    torch.manual_seed(0)
    before = places(50, 64, 96)
    after = paste(before, torch.full((50,), 10.0), torch.full((50,), 20.0), torch.zeros(50))
    for old, new in zip(before, after, strict=True):
        changed = (old != new).any(0)
        rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
        shift = (new - old)[:, changed]
        assert (shift - shift[:, :1]).abs().max() < 1e-6
        assert int(rows.max() - rows.min()) + 1 == 10
        assert int(columns.max() - columns.min()) + 1 == 20
        assert int(changed.sum()) == 200


def test_a_turned_strip_has_its_size_and_slant(unchanged_colours):
    torch.manual_seed(0)
    before = torch.rand(20, 3, 128, 128)
    after = paste(before, torch.full((20,), 40.0), torch.full((20,), 6.0), torch.full((20,), 30.0))
    whole = 0
    for old, new in zip(before, after, strict=True):
        changed = (old != new).any(0)
        rows, columns = changed.nonzero().float().T
        if min(rows.min(), columns.min()) == 0 or max(rows.max(), columns.max()) == 127:
            continue  # the border may have cut it off
        whole += 1
        assert int(changed.sum()) == pytest.approx(240, abs=15)
        slope = ((rows - rows.mean()) * (columns - columns.mean())).sum() / (rows - rows.mean()).square().sum()
        assert abs(float(slope)) == pytest.approx(0.577, abs=0.1)  # tan 30 degrees
    assert whole > 5


def test_patches_have_the_published_area_and_aspect(unchanged_colours):
    torch.manual_seed(0)
    before = torch.rand(300, 1, 64, 128)
    changed = (cut_paste(before) != before)[:, 0]
    area = changed.flatten(1).float().mean(1)
    assert 0.012 < float(area.min()) < 0.035
    assert 0.12 < float(area.max()) < 0.165
    aspect = changed.any(1).sum(1) / changed.any(2).sum(1)
    assert 0.2 < float(aspect.min()) < 0.45
    assert 2.3 < float(aspect.max()) < 4.5
    assert 0.3 < float((aspect > 1).float().mean()) < 0.7


def test_scars_have_the_published_size_in_proportion(unchanged_colours):
    torch.manual_seed(0)
    sizes = [int((cut_paste_scar(image) != image).any(1).sum()) for image in torch.rand(200, 1, 3, 256, 256)]
    assert max(sizes) <= 16 * 25 * 1.1
    assert 2 * 10 * 0.5 <= min(sizes) < 60
    smaller = [int((cut_paste_scar(image) != image).any(1).sum()) for image in torch.rand(200, 1, 3, 128, 128)]
    assert sum(smaller) == pytest.approx(sum(sizes) / 4, rel=0.25)


def test_colours_change_by_a_tenth_at_most_and_stay_in_range():
    torch.manual_seed(0)
    grey = torch.full((200, 3, 4, 4), 0.5)
    new = recoloured(grey, torch.ones(200, 1, 4, 4))
    assert 0.45 - 1e-5 <= float(new.min()) < 0.46
    assert 0.54 < float(new.max()) <= 0.55 + 1e-5
    assert recoloured(torch.ones(50, 3, 4, 4), torch.ones(50, 1, 4, 4)).max() <= 1


def test_contrast_is_that_of_the_patch(monkeypatch):
    """Brightness and saturation stay, contrast doubles: 0.4 and 0.6 around their mean 0.5 become 0.3 and 0.7."""
    factors = iter([0.0, 1.0, 0.0])
    monkeypatch.setattr(module, "between", lambda bounds, images: torch.full((len(images),), next(factors)))
    image = torch.tensor([0.4, 0.6, 0.9])[None, None, None]
    mask = torch.tensor([True, True, False])[None, None, None]
    torch.testing.assert_close(recoloured(image, mask)[..., :2], torch.tensor([[[[0.3, 0.7]]]]), rtol=0, atol=1e-4)


def test_draws_come_from_the_global_generator_and_the_images_stay():
    images = torch.rand(4, 3, 64, 64)
    kept = images.clone()
    torch.manual_seed(3)
    first = cut_paste(images), cut_paste_scar(images)
    torch.manual_seed(3)
    second = cut_paste(images), cut_paste_scar(images)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], cut_paste(images))
    assert torch.equal(images, kept)
