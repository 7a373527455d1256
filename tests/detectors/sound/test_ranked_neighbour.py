"""Poolings by rank, the distance that counts, and the map that tells why."""

import numpy as np
import pytest
import torch

from endline.detectors.neighbour_score import NeighbourScore
from endline.detectors.progress import Progress
from endline.detectors.sound.clip_statistics import STATISTICS
from endline.detectors.sound.ranked_neighbour import (
    RankedNeighbour,
    RankedNeighbourConfig,
    pooled_by_rank,
    rank_weights,
)
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def clips(count, seed=0, bands=6, frames=40):
    return np.random.default_rng(seed).standard_normal((count, bands, frames)).astype("f4")


def fitted(train, **settings):
    detector = RankedNeighbour(RankedNeighbourConfig(**settings))
    detector.fit(FeatureSet({"log_mel": train}), seed=0, progress=Progress())
    return detector


def scored(detector, arrays):
    return detector.score({"log_mel": torch.from_numpy(arrays)})


@pytest.mark.parametrize("rank", [1.0, 0.7, 0.0])
def test_pooling_is_that_of_the_formula(rank):
    x = torch.from_numpy(clips(3)).double()
    weights = [rank**k for k in range(x.shape[2])]
    expected = np.array(
        [[sum(w * v for w, v in zip(weights, sorted(band, reverse=True), strict=True)) for band in clip] for clip in x]
    ) / sum(weights)
    np.testing.assert_allclose(pooled_by_rank(x, (rank,))[0], expected, rtol=1e-12)
    laid_on_frames = (x * rank_weights(x, rank)).sum(2)
    np.testing.assert_allclose(laid_on_frames, expected, rtol=1e-12)


def test_mean_and_maximum_are_its_ends():
    x = torch.from_numpy(clips(2))
    mean, largest = pooled_by_rank(x, (1.0, 0.0))
    torch.testing.assert_close(mean, x.mean(2))
    assert torch.equal(largest, x.amax(2))


def test_a_click_and_a_hiss_are_both_seen_where_one_view_counts():
    train, new = clips(40), clips(3, seed=1)
    new[1, 2, 17] += 15  # one moment: the mean hardly moves
    new[2, 4] += 0.8  # every moment: the maximum hardly moves
    scores = scored(fitted(train, telling=1), new).score
    assert scores[1:].min() > scores[0] + 0.5
    assert scored(fitted(train, ranks=(1.0,), statistics=()), new).score[1] < scores[1]


def test_a_few_clips_of_another_condition_weigh_as_much_as_many():
    few, many = clips(4, seed=2) * 3 + 20, clips(60)
    new = np.concatenate([clips(20, seed=3), clips(20, seed=4) * 3 + 20])
    ratio, none = (
        scored(fitted(np.concatenate([many, few]), normalisation=how), new).score.numpy() for how in ("ratio", "none")
    )
    assert ratio[20:].mean() - ratio[:20].mean() < none[20:].mean() - none[:20].mean()


def test_a_band_that_varies_much_does_not_outweigh_the_others():
    train, new = clips(40), clips(2, seed=1)
    for some in (train, new):
        some[:, 0] += 30 * np.random.default_rng(len(some)).standard_normal((len(some), 1)).astype("f4")
    new[1, 4] += 2.0
    scores = scored(fitted(train), new).score
    assert scores[1] > scores[0] + 1


def test_the_score_is_the_mean_of_the_views_that_tell_most():
    train, new = clips(30), clips(5, seed=1)
    settings = {"ranks": (1.0,), "statistics": ("deviation", "change")}
    alone = [
        scored(fitted(train, ranks=(1.0,), statistics=()), new).score,
        *(
            each(STATISTICS[name](torch.from_numpy(new)), RankedNeighbourConfig(**settings))
            for each, name in zip(fitted(train, **settings).model[1:], settings["statistics"], strict=True)
        ),
    ]
    ordered = torch.stack(alone).sort(0, descending=True).values
    for telling in (1, 2, 3):
        score = scored(fitted(train, telling=telling, **settings), new).score
        torch.testing.assert_close(score, ordered[:telling].mean(0))


def test_views_of_a_group_count_by_their_mean_and_groups_by_the_largest():
    train, new = clips(30), clips(5, seed=1)
    views = {"ranks": (1.0, 0.0), "statistics": ("change",)}
    alone = [
        scored(fitted(train, ranks=(1.0,), statistics=()), new).score,
        scored(fitted(train, ranks=(0.0,), statistics=()), new).score,
    ]
    change = fitted(train, **views).model[2](
        STATISTICS["change"](torch.from_numpy(new)), RankedNeighbourConfig(**views)
    )
    together = scored(fitted(train, groups=((1, "change"), (0.0,)), telling=1, **views), new).score
    torch.testing.assert_close(together, torch.maximum((alone[0] + change) / 2, alone[1]))


def test_whitening_takes_what_bands_share_apart():
    rng = np.random.default_rng(2)
    train, new = clips(60), clips(2, seed=1)
    for some in (train, new):  # a level that all bands share varies from clip to clip
        some += 5 * rng.standard_normal((len(some), 1, 1)).astype("f4")
    new[1, 3] += 1.5
    plain, whitened = (scored(fitted(train, ranks=(1.0,), statistics=(), ridge=r), new).score for r in (0.0, 0.1))
    assert whitened[1] - whitened[0] > plain[1] - plain[0] + 1


def test_a_large_ridge_whitens_nothing():
    train, new = clips(30), clips(5, seed=1)
    torch.testing.assert_close(scored(fitted(train, ridge=1e9), new).score, scored(fitted(train), new).score)


def test_whitening_is_that_of_the_formula():
    train, new = clips(20)[:, :, 0], clips(3, seed=1)[:, :, 0]
    known, settings = NeighbourScore(20, 6, whitened=True), RankedNeighbourConfig(normalisation="none", neighbours=1)
    known.learn(torch.from_numpy(train), settings, torch.ones(6), ridge=0.5)
    covariance = np.cov(train.T.astype(float), bias=True)
    precision = np.linalg.inv(covariance + 0.5 * np.trace(covariance) / 6 * np.eye(6)) * 1.5 * np.trace(covariance) / 6
    away = [min((x - y) @ precision @ (x - y) for y in train.astype(float)) for x in new.astype(float)]
    found = known(torch.from_numpy(new), settings) * known.deviation + known.mean
    np.testing.assert_allclose(found, away, rtol=1e-4)


def test_the_map_points_to_band_and_moment():
    new = clips(1, seed=1)
    new[0, 3, 25] += 20
    anomaly_map = scored(fitted(clips(30)), new).map[0].numpy()
    assert anomaly_map.shape == (6, 40)
    assert np.unravel_index(anomaly_map.argmax(), anomaly_map.shape) == (3, 25)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ranks": (1.2,)}, r"ranks=\(1.2,\) must be numbers from 0"),
        ({"ranks": ()}, r"ranks=\(\) must be numbers"),
        ({"statistics": ("median",)}, "has no statistic 'median': choose of deviation, change, shape, correlation"),
        ({"neighbours": 0}, "RankedNeighbour has neighbours=0: choose at least 1"),
        ({"density_neighbours": 0}, "RankedNeighbour has density_neighbours=0: choose at least 1"),
        ({"telling": 0}, "telling=0 must be 1 or more"),
        ({"ridge": -1.0}, "ridge=-1.0 must be 0"),
        ({"ridge": float("inf")}, "ridge=inf must be 0"),
        ({"groups": ((1.0, "shape"), (0.0,))}, "must hold every view once"),
        ({"groups": ((1.0, 0.0, "deviation", "change", "shape", "correlation"), ())}, "must hold every view once"),
        ({"floor": 0.0}, "floor=0.0 must be above 0"),
        ({"normalisation": "root"}, "has no normalisation 'root'"),
    ],
)
def test_settings_that_cannot_be_are_sentences(settings, said):
    with pytest.raises(EndlineError, match=said):
        fitted(clips(5), **settings)
