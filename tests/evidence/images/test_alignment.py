import logging

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.ndimage import affine_transform

from endline.errors import EndlineError
from endline.evidence.images.alignment import Alignment
from endline.evidence.images.alignment_choice import fitted_alignment, likeness
from endline.evidence.images.features import ImagePreparation
from endline.evidence.images.finding_parts import FINDERS, Finder, find_part, otsu

SIZE = 128


def part() -> np.ndarray:
    """An L with a hole, which no turn brings onto itself, (128, 128, 3)."""
    picture = np.zeros((SIZE, SIZE), np.float64)
    picture[40:88, 44:64] = 200
    picture[68:88, 44:92] = 160
    picture[48:54, 50:56] = 90
    return np.repeat(picture[..., None], 3, 2)


def laid(angle: float, down: float, right: float, picture: np.ndarray | None = None) -> np.ndarray:
    """A picture turned about the middle by an angle in radians, and moved, on a grey background, uint8."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (SIZE - 1) / 2)
    offset = middle - turn @ (middle + np.array([down, right]))
    planes = [
        affine_transform(plane, turn, offset, order=1)
        for plane in np.moveaxis(part() if picture is None else picture, 2, 0)
    ]
    return np.rint(np.stack(planes, 2) + 20).astype(np.uint8)


def poses(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [laid(rng.uniform(0, 2 * np.pi), *rng.uniform(-12, 12, 2)) for _ in range(count)]


def bar(head: float, shaft: float = 120.0) -> np.ndarray:
    """A long part whose wide head may be of another grey, (128, 128, 3)."""
    picture = np.zeros((SIZE, SIZE), np.float64)
    picture[58:70, 24:100] = shaft
    picture[46:82, 24:40] = head
    return np.repeat(picture[..., None], 3, 2)


def saved(folder, images: list[np.ndarray]) -> pd.DataFrame:
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return pd.DataFrame({"path": [f"{number}.png" for number in range(len(images))], "split": "train"})


def test_parts_at_any_angle_and_place_come_to_one_pose():
    images = poses(12)
    alignment = Alignment.fit(list(map(find_part, images)))
    aligned = [alignment.aligned(image, (48, 48)) for image in poses(6, seed=1)]
    assert likeness(aligned) > 0.97
    assert likeness([torch.tensor(image / 255).permute(2, 0, 1).float() for image in images]) < 0.8


def test_a_half_turn_is_told_apart():
    picture = np.repeat(np.zeros((SIZE, SIZE, 1)), 3, 2)
    picture[54:74, 30:98] = 120
    picture[54:74, 80:98] = 220  # a bar that is lighter at one end
    alignment = Alignment.fit([find_part(laid(angle, 0, 0, picture)) for angle in (0, 0.4, 2.0, np.pi)])
    one, other = (alignment.aligned(laid(angle, 3, -4, picture), (48, 48)) for angle in (0.2, 0.2 + np.pi))
    assert likeness([one, other]) > 0.97


def test_the_mask_of_a_part_goes_with_it(tmp_path):
    marked = part()
    marked[48:54, 50:56] = 0
    inside = np.zeros((SIZE, SIZE, 3))
    inside[48:54, 50:56] = 255
    images = poses(8)
    photograph, mask = laid(1.0, 5, 5), laid(1.0, 5, 5, inside)[..., 0] > 100
    Image.fromarray(photograph).save(tmp_path / "photograph.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    preparation = ImagePreparation(alignment=Alignment.fit(list(map(find_part, images))))
    made = preparation.mask(tmp_path / "mask.png", (64, 64), tmp_path / "photograph.png")
    straight = preparation.posed(laid(0.0, 0, 0), (64, 64))[0]
    hole = np.argwhere(made).mean(0)
    near = straight[round(hole[0]) - 1 : round(hole[0]) + 2, round(hole[1]) - 1 : round(hole[1]) + 2]
    assert 2 < made.sum() < 80
    assert 0.25 < float(near.mean()) < 0.6  # the hole's grey, not the 200 around it


def test_auto_aligns_where_good_parts_become_more_alike(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert fitted_alignment(saved(tmp_path, poses(10)), tmp_path, "auto", 16, 100) is not None
    assert "they are aligned" in caplog.text


def test_auto_leaves_parts_that_lie_alike(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert fitted_alignment(saved(tmp_path, [laid(0, 0, 0)] * 4), tmp_path, "auto", 16, 100) is None
    assert "taken as they are" in caplog.text


def test_auto_leaves_surfaces_that_fill_the_photograph(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)
    table = saved(tmp_path, list(noise))
    assert fitted_alignment(table, tmp_path, "auto", 16, 100) is None
    with pytest.raises(EndlineError, match=r"In 4 of 4 photographs no part stands out .* choose alignment=as_is"):
        fitted_alignment(table, tmp_path, "aligned", 16, 100)


def test_only_training_photographs_are_looked_at(tmp_path):
    table = saved(tmp_path, poses(6))
    table.loc[3:, "split"] = "test"
    (tmp_path / "4.png").unlink()
    assert fitted_alignment(table, tmp_path, "aligned", 16, 100) == fitted_alignment(
        table[:3], tmp_path, "aligned", 16, 100
    )


def test_an_unknown_choice_is_refused(tmp_path):
    with pytest.raises(EndlineError, match="There is no alignment 'straight': choose one of auto, as_is, aligned"):
        fitted_alignment(saved(tmp_path, poses(1)), tmp_path, "straight", 16, 100)


def test_a_photograph_without_a_part_is_shown_as_it_lies():
    alignment = Alignment.fit(list(map(find_part, poses(6))))
    empty = np.full((SIZE, SIZE, 3), 20, np.uint8)
    assert torch.allclose(alignment.aligned(empty, (16, 16)), torch.tensor(20 / 255), atol=1e-3)


def test_a_new_photograph_without_a_part_is_named(tmp_path, caplog):
    preparation = ImagePreparation(height=16, width=16, alignment=Alignment.fit(list(map(find_part, poses(6)))))
    files = [tmp_path / "empty.png", tmp_path / "part.png"]
    for file, image in zip(files, (np.full((SIZE, SIZE, 3), 20, np.uint8), poses(1)[0]), strict=True):
        Image.fromarray(image).save(file)
    assert preparation.images(files).shape == (2, 3, 16, 16)
    assert [record.message.split(" no part ")[0] for record in caplog.records] == ["In empty.png"]


def test_the_pose_does_not_hang_on_resolution():
    alignment = Alignment.fit(list(map(find_part, poses(8))))
    large = np.asarray(Image.fromarray(laid(0.7, 4, 2)).resize((2 * SIZE, 2 * SIZE)))
    pair = [alignment.aligned(image, (48, 48)) for image in (laid(0.7, 4, 2), large)]
    assert likeness(pair) > 0.99


def test_the_preparation_comes_back_from_plain():
    preparation = ImagePreparation(alignment=Alignment.fit(list(map(find_part, poses(4)))))
    assert ImagePreparation.from_plain(preparation.plain()) == preparation


@pytest.mark.parametrize("image", [np.zeros((40, 60, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)])
def test_no_part_is_found_where_there_is_none(image):
    assert find_part(image) is None


def test_otsu_parts_two_heaps():
    threshold, share = otsu(np.concatenate([np.full(90, 1.0), np.full(10, 9.0)]))
    assert 1 < threshold < 9
    assert share > 0.99


def test_a_long_part_is_shown_in_its_own_shape():
    turns = np.random.default_rng(0).uniform(0, 2 * np.pi, 8)
    alignment = Alignment.fit([find_part(laid(turn, 0, 0, bar(160))) for turn in turns])
    shown = alignment.aligned(laid(0.5, 6, -3, bar(160)), alignment.size(96))[0] * 255 > 60
    assert max(alignment.ratio, 1 / alignment.ratio) > 1.4
    assert 0.2 < shown.float().mean() < 0.5  # of a square around the circle it would be 0.14
    edges = torch.cat([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    assert not edges.any()  # nothing of it is cut off


def test_parts_of_several_greys_are_found_as_a_whole(tmp_path, caplog):
    rng = np.random.default_rng(0)
    images = [laid(turn, 0, 0, bar(220, (60.0, 200.0)[dark])) for dark, turn in enumerate(rng.uniform(0, 6, 2))]
    images += [laid(turn, 0, 0, bar(220, rng.choice((60.0, 200.0)))) for turn in rng.uniform(0, 6, 10)]
    radii = {finder: np.std([find_part(image, finder).radius for image in images]) for finder in FINDERS}
    assert radii[Finder("root")] < 0.03 < radii[Finder("otsu")]  # where the dark shaft is taken for background
    alignment = fitted_alignment(saved(tmp_path, images), tmp_path, "aligned", 16, 100)
    assert alignment.finder.threshold == "root"
    heads = [alignment.aligned(image, alignment.size(48)) for image in images]
    places = [np.argwhere(head[0].numpy() > 0.9).mean(0) for head in heads]
    assert np.ptp(places, axis=0).max() < 2.5  # pixels: none is upside down


def test_a_pose_is_refined_by_the_look():
    images = poses(12)
    parts = list(map(find_part, images))
    coarse = Alignment.fit(parts)
    fine = coarse.sharpened(parts)
    tested = poses(6, seed=1)
    rough, sharp = (likeness([fit.aligned(image, (48, 48)) for image in tested]) for fit in (coarse, fine))
    assert sharp > rough
    assert sharp > 0.99


def test_a_part_with_a_piece_missing_comes_to_the_same_place():
    parts = [find_part(image) for image in poses(12)]
    broken = part()
    broken[68:88, 76:92] = 0  # which moves its middle
    whole, less = laid(0.8, 2, 3), laid(0.8, 2, 3, broken)
    coarse = Alignment.fit(parts)
    strays = []
    for fit in (coarse, coarse.sharpened(parts)):
        one, other = (fit.aligned(image, (64, 64))[0] for image in (whole, less))
        strays.append(float((one - other).abs().gt(0.2).float().mean()))
    assert strays[1] < strays[0] / 1.5  # what differs is the piece, not every edge


def test_a_model_from_before_shows_the_square_around_the_circle():
    fit = Alignment.fit(list(map(find_part, poses(6))))
    before = Alignment.from_plain({"radius": fit.radius, "reference": [list(row) for row in fit.reference]})
    assert (before.reach, before.template, before.finder, before.ratio) == (None, None, Finder(), 1.0)
    assert before.size(40) == (40, 40)
    shown = before.aligned(laid(0.3, 0, 0), (40, 40))
    assert torch.allclose(shown[:, 0, 0], torch.tensor(20 / 255), atol=1e-3)  # a corner lies outside of the circle
    assert 0.1 < float((shown[0] > 0.3).float().mean()) < 0.3


def beside(image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """A photograph with a second thing in it."""
    image = np.pad(image, ((0, 0), (0, SIZE), (0, 0)), mode="edge")
    image[rows, columns] = 200
    return image


@pytest.mark.parametrize(
    ("rows", "columns", "named"),
    [
        (slice(30, 60), slice(200, 230), True),  # a second part
        (slice(30, 40), slice(200, 215), True),  # a screw that was left there
        (slice(30, 33), slice(200, 203), False),  # dust
        (slice(0, 0), slice(0, 0), False),
    ],
)
def test_what_lies_beside_a_part_and_is_not_shown_is_told(tmp_path, caplog, rows, columns, named):
    alone = [beside(image, slice(0, 0), slice(0, 0)) for image in poses(8)]
    alignment = fitted_alignment(saved(tmp_path, alone), tmp_path, "aligned", 16, 100)
    Image.fromarray(beside(poses(1, seed=3)[0], rows, columns)).save(tmp_path / "new.png")
    caplog.clear()
    ImagePreparation(height=16, width=16, alignment=alignment).images([tmp_path / "new.png"])
    assert [record.message.split(",")[0] for record in caplog.records] == (
        ["In new.png something lies beside the part"] if named else []
    )


def test_training_photographs_of_several_parts_are_told_once(tmp_path, caplog):
    pairs = [beside(image, slice(40, 70), slice(190, 220)) for image in poses(8)]
    alignment = fitted_alignment(saved(tmp_path, pairs), tmp_path, "aligned", 16, 100)
    assert "choose alignment=as_is" in caplog.text
    caplog.clear()
    Image.fromarray(pairs[0]).save(tmp_path / "new.png")
    ImagePreparation(height=16, width=16, alignment=alignment).images([tmp_path / "new.png"])
    assert not caplog.records


def test_an_alignment_of_before_does_not_look_beside():
    alignment = Alignment.fit(list(map(find_part, poses(6))))
    assert alignment.beside is None
    assert not alignment.hides(find_part(beside(poses(1)[0], slice(30, 60), slice(200, 230))))
