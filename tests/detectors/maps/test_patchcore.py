"""PatchCore: patches, coreset, nearest patch, weight and map."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from endline.detectors.maps import patchcore
from endline.detectors.maps.patchcore import Patchcore, PatchcoreConfig, k_centre
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SHAPES = {"scale_0": (3, 6, 8), "scale_1": (4, 3, 4), "scale_2": (4, 2, 2)}


def maps(count: int, seed: int, offset: float = 0.0) -> FeatureSet:
    rng = np.random.default_rng(seed)
    arrays = {name: rng.standard_normal((count, *shape)) + offset for name, shape in SHAPES.items()}
    return FeatureSet({name: array.astype("f4") for name, array in arrays.items()})


def fitted(train: FeatureSet, seed: int = 0, **settings) -> Patchcore:
    detector = Patchcore(PatchcoreConfig(**settings))
    detector.fit(train, seed=seed, progress=Progress())
    return detector


def greedy(points: torch.Tensor, count: int, first: int) -> list[int]:
    """The same choice, one after the other."""
    rows = [first]
    while len(rows) < count:
        rows.append(int(torch.cdist(points, points[rows]).amin(1).argmax()))
    return rows


def test_k_centre_by_hand():
    points = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    assert k_centre(points, 4, first=0).tolist() == [0, 3, 2, 1]


@pytest.mark.parametrize("farthest", [1, 2, 64])
@pytest.mark.parametrize("kind", ["cloud", "clusters"])
def test_k_centre_is_the_greedy_choice(monkeypatch, farthest, kind):
    monkeypatch.setattr(patchcore, "FARTHEST", farthest)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((400, 5))
    if kind == "clusters":
        points = 0.1 * points + 5 * rng.standard_normal((8, 5))[rng.integers(8, size=400)]
    points = torch.from_numpy(points)
    assert k_centre(points, 150, first=7).tolist() == greedy(points, 150, first=7)


def test_k_centre_takes_no_point_twice_however_equal_they_are():
    points = torch.cat([torch.zeros(50, 3), torch.ones(50, 3)])
    assert k_centre(points, 100, first=4).sort().values.tolist() == list(range(100))
    assert k_centre(points, 2, first=4)[1] >= 50


@pytest.mark.parametrize("zero_padding", [False, True])
def test_patches_are_3_by_3_means_brought_to_the_finest_scale_with_groups_of_channels_averaged(zero_padding):
    batch = maps(2, 0).read()
    model = Patchcore(PatchcoreConfig(dimensions=6, zero_padding=zero_padding))._build(SHAPES, samples=2)
    patches = model.patches(batch).reshape(2, 6, 8, 6)
    inside = batch["scale_0"][1, :, 2:5, 3:6].mean((1, 2))
    torch.testing.assert_close(patches[1, 3, 4, :3], inside)
    corner = batch["scale_0"][0, :, :2, :2].sum((1, 2)) / (9 if zero_padding else 4)
    torch.testing.assert_close(patches[0, 0, 0, :3], corner)
    coarse = torch.nn.functional.avg_pool2d(batch["scale_1"], 3, 1, 1, count_include_pad=zero_padding)
    groups = torch.stack([coarse[:, :2].mean(1), coarse[:, 1:3].mean(1), coarse[:, 2:].mean(1)], 1)
    raised = interpolate(groups, size=(6, 8), mode="bilinear")
    torch.testing.assert_close(patches[..., 3:], raised.permute(0, 2, 3, 1))


def test_only_the_chosen_scales_are_read():
    detector = fitted(maps(4, 0), scales=(0, 2))
    batch = maps(3, 1).read()
    before = detector.score(batch).score
    batch["scale_1"] += 1
    assert torch.equal(detector.score(batch).score, before)
    batch["scale_2"] += 1
    assert not torch.equal(detector.score(batch).score, before)


def test_score_by_hand():
    """Bank 0, 3, 4 on a line and 12 far away; the patch 5 is 1 from 4, whose neighbours are 4, 3 and 0."""

    def line(values) -> FeatureSet:
        return FeatureSet({"scale_0": np.array(values, "f4").reshape(-1, 1, 1, 1)})

    settings = {"scales": (0,), "coreset": 1.0, "blur": 0.0}
    scored = fitted(line([0, 3, 4, 12]), neighbours=3, **settings).score(line([5]).read())
    assert scored.map.item() == pytest.approx(1)
    assert scored.score.item() == pytest.approx(1 - np.exp(1) / (np.exp(1) + np.exp(2) + np.exp(5)))
    alone = fitted(line([0, 3, 4, 12]), neighbours=1, **settings).score(line([5]).read())
    assert alone.score.item() == pytest.approx(1)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_distances_are_those_to_the_nearest_normal_patch(monkeypatch, offset):
    train, test = maps(5, 0, offset), maps(3, 1, offset).read()
    detector = fitted(train, coreset=1.0, blur=0.0)
    known, new = (detector.model.patches(batch).double() for batch in (train.read(), test))
    expected = torch.cdist(new, known).amin(1).reshape(3, 6, 8)
    torch.testing.assert_close(detector.score(test).map.double(), expected, rtol=1e-3, atol=0)
    whole = detector.score(test).map
    monkeypatch.setattr(patchcore, "CHUNK", 7 * len(known))
    torch.testing.assert_close(detector.score(test).map, whole)


def test_the_bank_is_a_share_of_a_pool_of_training_patches():
    train = maps(20, 0)
    detector = fitted(train, pool=100, coreset=0.2)
    bank = detector.model.bank + detector.model.mean
    assert bank.shape == (20, 7)
    distances, rows = torch.cdist(bank.double(), detector.model.patches(train.read()).double()).min(1)
    assert distances.max() < 1e-5
    assert len(set((rows // 48).tolist())) > 10  # drawn from all samples
    assert len(rows.unique()) == 20


def test_with_all_patches_in_the_bank_the_training_samples_score_zero():
    train = maps(20, 0)
    assert fitted(train, coreset=1.0).score(train.read()).score.max() < 1e-5


def test_high_dimensions_are_projected_before_the_choice():
    rng = np.random.default_rng(0)
    train = FeatureSet({"scale_0": rng.standard_normal((10, 300, 4, 4)).astype("f4")})
    detector = fitted(train, scales=(0,), coreset=0.5)
    assert detector.model.bank.shape == (80, 300)
    assert torch.equal(fitted(train, scales=(0,), coreset=0.5).model.bank, detector.model.bank)
    assert not torch.equal(fitted(train, seed=1, scales=(0,), coreset=0.5).model.bank, detector.model.bank)


def test_the_map_points_at_the_planted_spot():
    batch = maps(5, 1).read()
    batch["scale_0"][:, :, 3, 5] += 50
    scored = fitted(maps(40, 0)).score(batch)
    assert scored.map.shape == (5, 6, 8)
    rows, columns = scored.map.flatten(1).argmax(1) // 8, scored.map.flatten(1).argmax(1) % 8
    assert (rows - 3).abs().max() <= 1  # the 3 x 3 mean shows it in the neighbours too
    assert (columns - 5).abs().max() <= 1


def test_the_blur_spreads_a_spot_and_keeps_what_is_constant():
    spot = torch.zeros(1, 9, 11)
    spot[0, 4, 5] = 1
    spread = patchcore._blurred(spot, 0.5)
    assert spread.sum().item() == pytest.approx(1)
    assert (spread[0, 4, 6] / spread[0, 4, 5]).item() == pytest.approx(np.exp(-2))
    torch.testing.assert_close(patchcore._blurred(torch.full((2, 1, 3), 7.0), 0.5), torch.full((2, 1, 3), 7.0))


def test_published_size():
    shapes = {"scale_0": (512, 28, 28), "scale_1": (1024, 14, 14), "scale_2": (2048, 7, 7)}  # WideResNet50, 224 pixels
    model = Patchcore(PatchcoreConfig(pool=200_000, coreset=0.01))._build(shapes, samples=209)
    assert model.counts == [512, 512]
    assert model.bank.shape == (round(0.01 * 209 * 28 * 28), 1024)


def test_a_scale_that_is_not_there_is_told():
    with pytest.raises(EndlineError) as caught:
        Patchcore(PatchcoreConfig(scales=(1, 3)))._build(SHAPES, samples=5)
    assert str(caught.value) == (
        "patchcore takes the scales [1, 3] and the features have only 3: change `scales`, or choose an input type "
        "with more."
    )


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"scales": ()}, "scales=[] and dimensions=1024"),
        ({"scales": (-1, 0)}, "scales=[-1, 0] and dimensions=1024"),
        ({"dimensions": 1}, "scales=[0, 1] and dimensions=1"),
    ],
)
def test_scales_out_of_range_are_told(settings, found):
    with pytest.raises(EndlineError) as caught:
        PatchcoreConfig(**settings)
    assert str(caught.value) == (
        f"patchcore has {found}: choose at least one scale, counted from 0, and a dimension for each."
    )


@pytest.mark.parametrize("change", [{"pool": 0}, {"coreset": 0.0}, {"coreset": 1.1}, {"neighbours": 0}, {"blur": -1.0}])
def test_settings_out_of_range_are_told(change):
    with pytest.raises(EndlineError) as caught:
        PatchcoreConfig(**change)
    found = {"pool": 40_000, "coreset": 0.1, "neighbours": 9, "blur": 0.5} | change
    assert str(caught.value) == (
        f"patchcore has pool={found['pool']}, coreset={found['coreset']}, neighbours={found['neighbours']} and "
        f"blur={found['blur']}: choose pool and neighbours from 1, coreset above 0 and at most 1, blur from 0."
    )


def test_a_model_saved_before_there_was_zero_padding_judges_as_it_did(tmp_path):
    batch = maps(3, 1).read()
    detector = fitted(maps(5, 0), zero_padding=False)
    detector.save(tmp_path)
    file = tmp_path / "config.json"
    about = json.loads(file.read_text())
    del about["config"]["zero_padding"]
    file.write_text(json.dumps(about))
    scored = load_detector(tmp_path).score(batch)
    assert torch.equal(scored.score, detector.score(batch).score)
    assert not torch.equal(scored.score, fitted(maps(5, 0), zero_padding=True).score(batch).score)
