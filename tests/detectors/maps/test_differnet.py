"""DifferNet: loss, score and draws by hand; published sizes; the map; refusals."""

import math

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from torch import nn

import endline.detectors.maps.differnet as module
from endline.backbones.networks import load_backbone
from endline.backbones.pyramids import PyramidSettings
from endline.backbones.views import pooled_views
from endline.detectors.maps.differnet import DifferNet, DifferNetConfig
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"hidden": 16, "blocks": 2, "components": 8, "epochs": 2}


class Doubling(nn.Module):
    """A flow whose latents are twice the data; it remembers the data."""

    mean_latent = None

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, vectors):
        self.seen.append(vectors)
        log_det = torch.full((len(vectors),), vectors.shape[1] * math.log(2.0), dtype=vectors.dtype)
        return 2 * vectors, log_det


def by_hand(**changes) -> tuple[DifferNet, torch.Tensor]:
    detector = DifferNet(DifferNetConfig(map_views=0, **changes))
    detector._prepare({"views": (4, 6)}, 3, seed=0)
    detector.model = Doubling()
    return detector, torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_loss_is_the_negative_log_likelihood_a_dimension():
    detector, views = by_hand(views_per_step=4)  # all views: whatever is drawn, the mean is the same
    expected = 0.5 * (2 * views).square().mean() - math.log(2.0)
    torch.testing.assert_close(detector.loss({"views": views}), expected)


@pytest.mark.parametrize("score", ["latent", "likelihood"])
def test_score_is_the_mean_over_all_views(score):
    detector, views = by_hand(score=score)
    squares = (2 * views).square().mean((1, 2))
    expected = squares if score == "latent" else squares / 2 - math.log(2.0)
    scored = detector.score({"views": views})
    torch.testing.assert_close(scored.score, expected.float())
    assert scored.map is None


@pytest.mark.parametrize(
    ("score_views", "taken"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])]
)
def test_the_views_that_are_scored_are_evenly_spaced(score_views, taken):
    detector, views = by_hand(score_views=score_views)
    scored = detector.score({"views": views}).score
    torch.testing.assert_close(scored, (2 * views[:, taken]).square().mean((1, 2)).float())


def test_a_negative_number_of_scored_views_is_refused():
    with pytest.raises(EndlineError, match="score_views=-1"):
        DifferNetConfig(score_views=-1)


def test_a_step_draws_distinct_views_of_each_sample_anew():
    detector, _ = by_hand(views_per_step=2)
    views = torch.arange(12.0).view(3, 4, 1).expand(3, 4, 6)  # tells sample and view
    torch.manual_seed(0)
    for _ in range(40):
        detector.loss({"views": views})
    drawn = torch.stack([seen[:, 0].view(3, 2) for seen in detector.model.seen])  # (steps, samples, 2)
    assert torch.equal(drawn.div(4, rounding_mode="floor"), torch.arange(3.0)[None, :, None].expand(40, 3, 2))
    assert (drawn[..., 0] != drawn[..., 1]).all()
    assert set(drawn.flatten().tolist()) == set(range(12))


def test_fewer_views_than_a_step_wants_are_all_taken():
    detector, views = by_hand(views_per_step=9)
    detector.loss({"views": views})
    assert len(detector.model.seen[0]) == 12


def test_the_published_subnet_has_three_hidden_layers():
    """Rudolph 2024, section 4.3.1: 768 features, 384-2048-2048-2048-768."""
    config = DifferNetConfig(whiten=False, hidden=2048, map_views=0, blocks=1)
    flow = DifferNet(config)._build({"views": (64, 768), "image": (3, 448, 448)}, 10).flow
    for subnet in (flow.blocks[0].second_to_first, flow.blocks[0].first_to_second):
        sizes = [layer.in_features for layer in subnet.layers if isinstance(layer, nn.Linear)]
        assert [*sizes, subnet.layers[-1].out_features] == [384, 2048, 2048, 2048, 768]
        assert sum(isinstance(layer, nn.ReLU) for layer in subnet.layers) == 3
    assert flow.blocks[0].gamma is None


def test_the_whitening_reads_a_bounded_number_of_vectors(monkeypatch):
    monkeypatch.setattr(module, "WHITENED", 30)
    rng = np.random.default_rng(0)
    views = rng.standard_normal((50, 4, 6)).astype("f4") * [1, 1, 1, 1, 1, 20]
    train = FeatureSet({"views": views.astype("f4"), "image": np.zeros((50, 1), "f4")}, key="many")
    detector = DifferNet(DifferNetConfig(map_views=0, **{**SMALL, "components": 0}))
    detector.fit(train, seed=0, progress=Progress())
    assert detector.model.whitening.gains.shape == (6,)
    white = detector.model.whitening(torch.from_numpy(views).float().flatten(0, 1))
    assert 0.5 < float(white[:, 5].std()) < 2.0


def test_mahalanobis_is_the_distance_of_the_mean_latents_to_those_of_the_training_samples():
    train, tested = (
        FeatureSet({"views": np.random.default_rng(seed).standard_normal((40, 4, 6)).astype("f4")}, key=f"{seed}")
        for seed in (0, 1)
    )
    detector = DifferNet(DifferNetConfig(map_views=0, score="mahalanobis", **SMALL))
    detector.fit(train, seed=0, progress=Progress())

    def mean_latents(views: FeatureSet) -> np.ndarray:
        z = detector.model(views.read()["views"].flatten(0, 1))[0]
        return z.detach().double().view(40, 4, 6).mean(1).numpy()

    expected = LedoitWolf().fit(mean_latents(train)).mahalanobis(mean_latents(tested)) / 6
    np.testing.assert_allclose(detector.score(tested.read()).score, expected, rtol=2e-4)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Smooth images with a little noise, (24, 3, 128, 128)."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.linspace(0.4, 0.6, 128).expand(24, 3, 128, 128)
    return columns + 0.02 * torch.randn(24, 1, 128, 128, generator=generator)


@pytest.fixture(scope="module")
def features(images) -> FeatureSet:
    views = pooled_views(images, load_backbone("efficientnet_lite0"), "cross_scale", 4)
    return FeatureSet({"views": views.numpy(), "image": images.numpy()}, key="smooth")


@pytest.fixture(scope="module")
def fitted(features) -> DifferNet:
    detector = DifferNet(DifferNetConfig(**SMALL))
    detector.fit(features, seed=0, progress=Progress())
    return detector


@pytest.fixture(scope="module")
def spotted(images) -> dict[str, torch.Tensor]:
    """Two images with a stain around row 88, column 40, and their views."""
    stained = images[:2].clone()
    stained[:, :, 80:96, 32:48] = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return {
        "image": stained,
        "views": pooled_views(stained, load_backbone("efficientnet_lite0"), "cross_scale", 4),
    }


def test_the_map_points_at_the_planted_spot(fitted, features, spotted):
    scored = fitted.score(spotted)
    assert scored.score.min() > fitted.score(features.read()).score.max()
    assert scored.map.shape == (2, 128, 128)
    around = scored.map[:, 72:104, 24:56].mean((1, 2))
    assert (around > 1.5 * scored.map.mean((1, 2))).all()


def test_the_saved_detector_gives_the_same_map(fitted, spotted, tmp_path):
    fitted.save(tmp_path)
    assert torch.equal(load_detector(tmp_path).score(spotted).map, fitted.score(spotted).map)
    assert not [name for name in fitted.model.state_dict() if "backbone" in name]


def test_views_of_another_backbone_are_told(features):
    detector = DifferNet(DifferNetConfig(input_type="hybrid", **SMALL))
    with pytest.raises(EndlineError) as caught:
        detector.fit(features, seed=0, progress=Progress())
    assert str(caught.value) == (
        "The views have 960 features, and efficientnet_lite0 with input_type=hybrid makes 864: fit with the pyramid "
        "that the views were made with, or set map_views to 0."
    )


def test_a_backbone_without_weights_is_told_before_the_fit(features):
    detector = DifferNet(DifferNetConfig(**SMALL))
    with pytest.raises(EndlineError, match="The backbone alexnet comes without weights"):
        detector.fit(features, seed=0, progress=Progress(), pyramid=PyramidSettings("alexnet"))


def test_the_map_is_drawn_by_the_backbone_that_made_the_views(images):
    """Lite0 and Lite1 give features of the same length: only the pyramid tells them apart."""
    pyramid = PyramidSettings("efficientnet_lite1", input_type="cross_scale")
    views = pooled_views(images, load_backbone("efficientnet_lite1"), "cross_scale", 4)
    features = FeatureSet({"views": views.numpy(), "image": images.numpy()}, key="lite1")
    detectors = {}
    for given in (pyramid, PyramidSettings("efficientnet_lite0", input_type="cross_scale")):
        detectors[given.backbone] = detector = DifferNet(DifferNetConfig(**SMALL))
        detector.fit(features, seed=0, progress=Progress(), pyramid=given)
        assert detector.backbone.name == given.backbone
    lite1, lite0 = (detectors[name].score(features.read([0])) for name in ("efficientnet_lite1", "efficientnet_lite0"))
    assert torch.equal(lite1.score, lite0.score)
    assert not torch.allclose(lite1.map, lite0.map)


def test_the_pyramid_is_saved(images, tmp_path):
    pyramid = PyramidSettings("efficientnet_lite1", input_type="cross_scale")
    views = pooled_views(images[:4], load_backbone("efficientnet_lite1"), "cross_scale", 2)
    features = FeatureSet({"views": views.numpy(), "image": images[:4].numpy()}, key="few")
    detector = DifferNet(DifferNetConfig(**SMALL))
    detector.fit(features, seed=0, progress=Progress(), pyramid=pyramid)
    detector.save(tmp_path)
    loaded = load_detector(tmp_path)
    assert loaded.pyramid == pyramid
    assert torch.equal(loaded.score(features.read([0])).map, detector.score(features.read([0])).map)


def test_without_a_map_no_images_are_read():
    assert DifferNet(DifferNetConfig(map_views=0)).required == ("views",)
    assert DifferNet(DifferNetConfig(map_views=2)).required == ("views", "image")


def test_an_unknown_score_is_told():
    with pytest.raises(
        EndlineError, match=r"^differnet has no score 'mean': choose one of latent, likelihood, mahalanobis\.$"
    ):
        DifferNetConfig(score="mean")
