"""Detectors on scans: what they make of depths by hand, what they find, settings that cannot be."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from endline.detectors.progress import Progress
from endline.detectors.scans.depth_gaussian import DepthGaussian, DepthGaussianConfig, cell_statistics
from endline.detectors.scans.fpfh_patchcore import FPFHPatchcore, FPFHPatchcoreConfig
from endline.detectors.scans.surface_autoencoder import SurfaceAutoencoder, SurfaceNetworkConfig
from endline.detectors.scans.surface_gan import SurfaceGAN, SurfaceGANConfig
from endline.detectors.scans.surface_variation import SurfaceVariation, SurfaceVariationConfig
from endline.detectors.scans.surfaces import Surfaces, SurfaceSettings, occupancy
from endline.detectors.statistics import top_mean
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SPOT = (slice(36, 44), slice(20, 28))  # of 64 x 64 pixels


def domes(count: int, seed: int = 0, dent: float = 0.0) -> FeatureSet:
    """Round parts of varying height, with noise; some with a dent at `SPOT`."""
    rng = np.random.default_rng([seed, count])
    rows, columns = np.mgrid[:64, :64] - 31.5
    inside = rows**2 + columns**2 < 28**2
    height = 5 + 0.3 * rng.standard_normal((count, 1, 1, 1))
    depth = height * ((rows**2 + columns**2) / 28**2 - 0.5) + 0.02 * rng.standard_normal((count, 1, 64, 64))
    depth[:, 0, *SPOT] += dent
    mask = np.broadcast_to(inside, depth.shape).astype("f4")
    return FeatureSet({"depth": (depth * mask).astype("f4"), "depth_mask": mask}, key=f"domes {count} {seed} {dent}")


NETWORK = {"side": 32, "hidden": 4, "epochs": 50, "batch_size": 8, "learning_rate": 5e-3}
VOXEL = {"representation": "voxel", "layers": 16}
DETECTORS = {
    "depth_gaussian": lambda: DepthGaussian(DepthGaussianConfig()),
    "depth_variation": lambda: SurfaceVariation(SurfaceVariationConfig(side=32)),
    "voxel_variation": lambda: SurfaceVariation(SurfaceVariationConfig(side=32, **VOXEL)),
    "depth_autoencoder": lambda: SurfaceAutoencoder(SurfaceNetworkConfig(**NETWORK)),
    "voxel_autoencoder": lambda: SurfaceAutoencoder(SurfaceNetworkConfig(**NETWORK, **VOXEL)),
}


@pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)
def test_a_dent_scores_higher_and_the_map_points_at_it(make):
    detector = make()
    detector.fit(domes(16), seed=0, progress=Progress())
    good, dented = (detector.score(domes(8, 1, dent).read()) for dent in (0.0, 2.5))  # the same parts
    assert (dented.score > good.score).float().mean() > 0.8
    risen = dented.map.mean(0) - good.map.mean(0)
    row, column = np.array(np.unravel_index(int(risen.argmax()), risen.shape)) * 64 // len(risen)
    assert SPOT[0].start - 8 <= row < SPOT[0].stop
    assert SPOT[1].start - 8 <= column < SPOT[1].stop


def test_statistics_of_cells_by_hand():
    depth = torch.tensor([[1.0, 3.0, 0.0, 9.0], [5.0, 7.0, 0.0, 0.0]]).reshape(1, 1, 2, 4)
    inside = torch.tensor([[1, 1, 0, 1], [1, 1, 0, 0]]).reshape(1, 1, 2, 4) > 0
    mean, deviation, slope, share = cell_statistics(depth, inside, 1)[0, :, 0, 0].tolist()
    assert (mean, share) == pytest.approx((25 / 5, 5 / 8))
    assert deviation == pytest.approx(np.std([1, 3, 9, 5, 7]))
    # 1: 2 to the right and 4 down; 3: 4 down; 5: 2 to the right; 9 and 7 have no neighbour to step to.
    assert slope == pytest.approx((20**0.5 + 4 + 2) / 5)


def test_a_cell_without_foreground_has_zeros():
    depth = torch.full((1, 1, 4, 4), 7.0)
    inside = torch.zeros(1, 1, 4, 4) > 0
    inside[..., :2] = True
    statistics = cell_statistics(depth, inside, 2)
    assert (statistics[0, :, :, 1] == 0).all()
    assert statistics[0, :, 0, 0].tolist() == [7.0, 0.0, 0.0, 1.0]


def test_cells_that_never_varied_do_not_outweigh_all_others():
    features = domes(30)
    detector = DepthGaussian(DepthGaussianConfig())
    detector.fit(features, seed=0, progress=Progress())
    speck = {name: array.clone() for name, array in domes(2, 1).read().items()}
    dented = {name: array.clone() for name, array in speck.items()}
    speck["depth_mask"][1, 0, 0, 0], speck["depth"][1, 0, 0, 0] = 1, 0.05  # a pixel in a corner that is background
    dented["depth"][1, 0, *SPOT] += 2.5
    assert detector.score(speck).score[1] < detector.score(dented).score[1]


def test_pictures_are_scaled_by_the_foreground_of_the_training():
    settings = SurfaceSettings(side=32)
    surfaces = Surfaces(settings)
    depth, mask = torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    mask[..., :16] = 1
    depth[0, ..., :16], depth[1, ..., :16], depth[..., 16:] = -2.0, 6.0, 99.0  # what lies beside counts as 0
    surfaces.fit([{"depth": depth, "depth_mask": mask}])
    pictures = surfaces({"depth": depth, "depth_mask": mask})
    assert pictures[:, 0, 0, 0].tolist() == [-1.0, 1.0]
    assert pictures[:, 0, 0, 31].tolist() == [-0.5, -0.5]
    depth[0, 0, :8, :16] = 6.5
    assert surfaces.outside({"depth": depth, "depth_mask": mask}).tolist() == [0.25, 0.0]


@pytest.mark.parametrize("size", [(64, 96), (48, 48), (20, 32)])
def test_voxels_count_each_point_from_its_layer_on(size):
    rng = torch.Generator().manual_seed(0)
    share, inside = torch.rand(3, 1, *size, generator=rng), torch.rand(3, 1, *size, generator=rng) > 0.3
    settings = SurfaceSettings("voxel", side=32, layers=5)
    grid = occupancy(share, inside, settings)
    assert grid.shape == (3, 5, 32, 32)
    assert grid.min() >= 0
    assert (grid.diff(dim=1) >= 0).all()  # from its surface on a part is filled
    assert grid[:, -1].max() <= 1
    cells = torch.nn.functional.adaptive_avg_pool2d(inside.float(), 32)
    if size == (64, 96):
        torch.testing.assert_close(grid[:, -1], cells[:, 0])
    filled = grid.sum((2, 3)) / grid[:, -1].sum((1, 2))[:, None]
    torch.testing.assert_close(filled.mean(0), torch.arange(1, 6) / 5, atol=0.05, rtol=0)  # depths were uniform


def test_depths_beyond_the_training_lie_in_the_end_layers():
    settings = SurfaceSettings("voxel", side=32, layers=3)
    share = torch.tensor([-5.0, 7.0]).reshape(2, 1, 1, 1).expand(2, 1, 32, 32)
    grid = occupancy(share, torch.ones_like(share) > 0, settings)
    assert grid[0, :, 0, 0].tolist() == [1.0, 1.0, 1.0]
    assert grid[1, :, 0, 0].tolist() == [0.0, 0.0, 1.0]


def test_the_score_is_the_mean_of_the_largest_values_of_one_at_least():
    values = torch.arange(100.0).reshape(1, 10, 10)
    assert top_mean(values, 0.04).item() == pytest.approx(97.5)
    assert top_mean(values, 1e-9).item() == 99.0


def test_variation_by_hand():
    depth = torch.zeros(4, 1, 32, 32)
    depth[:, 0, 5, 5] = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    features = FeatureSet({"depth": depth.numpy(), "depth_mask": np.ones((4, 1, 32, 32), "f4")}, key="hand")
    detector = SurfaceVariation(SurfaceVariationConfig(side=32, floor=1e-6, top_share=1e-6))
    detector.fit(features, seed=0, progress=Progress())
    new = {"depth": depth[:1].clone(), "depth_mask": torch.ones(1, 1, 32, 32)}
    new["depth"][0, 0, 5, 5] = 0.5
    scored = detector.score(new)
    assert scored.map[0, 5, 5].item() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SurfaceSettings("mesh"), "There is no representation 'mesh' of scans: choose one of depth, voxel."),
        (lambda: SurfaceSettings(side=40), "side=40, layers=32 and top_share=0.02: choose a multiple of 32"),
        (lambda: SurfaceSettings(top_share=0.0), "top_share=0.0: choose .* a share above 0 and at most 1"),
        (lambda: SurfaceVariationConfig(floor=0.0), "surface_variation has floor=0.0: choose one above 0"),
        (lambda: SurfaceNetworkConfig(hidden=0), "hidden=0: choose at least 1 channel"),
        (lambda: SurfaceNetworkConfig(schedule="up"), "There is no schedule 'up'"),
        (lambda: SurfaceNetworkConfig(representation="mesh"), "There is no representation 'mesh'"),
        (lambda: SurfaceGANConfig(gan_epochs=0), "surface_gan has gan_epochs=0, .* choose at least 1 epoch"),
        (lambda: DepthGaussianConfig(cells=0), "depth_gaussian has cells=0 and shrinkage=0.1: choose at least 1 cell"),
        (lambda: FPFHPatchcoreConfig(modality="rgb"), "no modality 'rgb': choose one of fpfh, fpfh_colour"),
    ],
)
def test_wrong_settings_are_told(make, sentence):
    with pytest.raises(EndlineError, match=sentence):
        make()


def test_each_says_what_of_photograph_and_scan_it_prefers():
    assert {make().modality for make in DETECTORS.values()} == {"3d"} == {SurfaceGAN(GAN).modality}
    assert FPFHPatchcore(FPFHPatchcoreConfig()).modality == "fpfh"
    assert FPFHPatchcore(FPFHPatchcoreConfig(modality="fpfh_colour")).modality == "fpfh_colour"


GAN = SurfaceGANConfig(side=32, hidden=2, gan_epochs=2, epochs=2, batch_size=8, top_share=1e-6)


def test_the_encoder_learns_while_generator_and_critic_stay():
    states = []
    for epochs in (1, 6):
        detector = SurfaceGAN(replace(GAN, epochs=epochs, learning_rate=5e-3))
        history = detector.fit(domes(16), seed=0, progress=Progress())
        assert len(history.losses) == 2 + epochs
        states.append(detector.model.state_dict())
    assert history.losses[-1] < history.losses[2]
    same = {name.split(".")[0]: [] for name in states[0]}
    for name, tensor in states[0].items():
        same[name.split(".")[0]].append(torch.equal(tensor, states[1][name]))
    assert all(same["generator"])
    assert all(same["critic"])
    assert not all(same["encoder"])


class Flat(nn.Module):
    """A generator that always makes 0."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(latent), 1, 32, 32)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_score_of_a_gan_by_hand(weight):
    detector = SurfaceGAN(replace(GAN, feature_weight=weight))
    detector.fit(domes(8), seed=0, progress=Progress())
    detector.model.generator = Flat()
    batch = domes(3, 1).read()
    pictures = detector.model.surfaces(batch)
    scored = detector.score(batch)
    torch.testing.assert_close(scored.map, pictures.square()[:, 0])
    with torch.no_grad():
        features = detector.model.critic.embedding(torch.cat([pictures, torch.zeros_like(pictures)])).chunk(2)
    expected = pictures.square().flatten(1).amax(1) + weight * (features[0] - features[1]).square().mean(1)
    outside = detector.model.surfaces.outside(batch)
    torch.testing.assert_close(scored.score, expected + outside * (1 + expected), rtol=1e-4, atol=1e-5)
