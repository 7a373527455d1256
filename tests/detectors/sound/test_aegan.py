"""AEGAN: turns of the adversaries, variants, where the map points, bad settings."""

import numpy as np
import pytest
import torch

from endline.detectors.fitting import Training, known_rows
from endline.detectors.progress import Progress
from endline.detectors.sound.aegan import AEGAN, SCORES, AEGANConfig
from endline.detectors.sound.gan_scores import VARIANTS
from endline.detectors.sound.window_gan import ARRAY
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"window": 32, "hop": 24, "hidden": 4, "epochs": 15, "batch_size": 12, "learning_rate": 4e-3}
TONES = [4, 12, 20, 28]


def clips(count: int, seed: int = 0, levels=None, bands: int = 32, frames: int = 56) -> FeatureSet:
    """Noise, and four tones at any level from 0 to 30 dB above it, or at these."""
    rng = np.random.default_rng([seed, count])
    values = -60 + rng.standard_normal((count, bands, frames))
    drawn = rng.uniform(0, 30, (count, 4, 1))
    values[:, TONES] += drawn if levels is None else np.array(levels)[:, None]
    return FeatureSet({ARRAY: values.astype("f4")}, key=f"hum {count} {seed}")


def fitted(train: FeatureSet, **settings) -> AEGAN:
    detector = AEGAN(AEGANConfig(**{**SMALL, **settings}))
    detector.fit(train, seed=0, progress=Progress())
    return detector


@pytest.fixture(scope="module")
def trained():
    return fitted(clips(24))


@pytest.fixture
def quick():
    return fitted(clips(4), epochs=1, hidden=2)


def with_tone(features: FeatureSet) -> dict[str, torch.Tensor]:
    batch = features.read()
    batch[ARRAY][:, 22] += 30
    return batch


def test_a_tone_that_no_training_clip_has_scores_higher(trained):
    assert trained.score(with_tone(clips(6, seed=1))).score.min() > trained.score(clips(6, seed=1).read()).score.max()


@pytest.mark.parametrize("louder", [0, 1, 3])
def test_the_map_is_largest_where_a_tone_was_added(trained, louder):
    levels = [30 if tone == louder else 15 for tone in range(4)]  # dB; the mean of the training clips is 15
    by_band = trained.score(clips(6, 1, levels).read()).map.mean(2)
    assert by_band.argmax(1).tolist() == [TONES[louder]] * 6


def test_the_map_is_the_distance_of_reconstruction_and_mean_spectrogram_in_decibels(trained):
    batch = clips(3, seed=2).read()
    model = trained.model
    x = model.scaling(batch[ARRAY])
    total, covered = torch.zeros_like(x), torch.zeros(56)
    with torch.no_grad():
        for start in (0, 24):
            total[..., start : start + 32] += model.generator(x[:, None, :, start : start + 32])[:, 0]
            covered[start : start + 32] += 1
    mean = clips(24).read()[ARRAY].mean(0)
    rebuilt = total / covered * model.scaling.decibels + (model.scaling.lowest + model.scaling.highest) / 2
    torch.testing.assert_close(trained.score(batch).map, (rebuilt - mean).abs(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("score", SCORES)
def test_every_score_can_be_chosen(trained, score):
    chosen = AEGAN(AEGANConfig(**{**SMALL, "score": score}))
    chosen._prepare({ARRAY: (32, 56)}, 24, seed=0)
    chosen.model.load_state_dict(trained.model.state_dict())
    batch = clips(5, seed=3).read()
    variants = trained.variants(batch)
    assert list(variants) == list(VARIANTS)
    expected = trained.model.ranks(variants) if score == "rank_average" else variants[score]
    got = chosen.score(batch).score
    outside = trained._beyond(batch)
    torch.testing.assert_close(got, (expected + outside * (1 + expected.abs())).float())
    assert (outside < 0.01).all()


def test_ranks_are_among_the_training_clips(trained):
    known = trained.model.ranks.known
    assert known.shape == (19, 24)
    variants = trained.variants(clips(24).read())
    for name in ("spectrogram_l1_sum", "latent_cosine_max"):
        torch.testing.assert_close(known[VARIANTS.index(name)], variants[name].double().sort().values)
    normal = trained.model.ranks(trained.variants(clips(40, seed=5).read()))
    assert 0.3 < normal.mean() < 0.9


def test_what_lies_outside_the_training_range_raises_the_score(quick):
    batch = clips(2, seed=6).read()
    louder = {ARRAY: batch[ARRAY] + 100}
    assert quick._beyond(batch).max() < 0.05
    assert quick._beyond(louder).tolist() == [1.0, 1.0]
    assert quick.score(louder).score.min() > quick.score(batch).score.max()


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("matched", ["mean", "mean_and_deviation"])
def test_each_loss_reaches_all_of_its_own_network(norm, matched):
    detector = fitted(clips(4), epochs=1, hidden=2, norm=norm, matched=matched)
    batch = {ARRAY: clips(4).read()[ARRAY][..., :32]}
    for loss, network in (
        (detector.discriminator_loss, detector.model.discriminator),
        (detector.generator_loss, detector.model.generator),
    ):
        detector.model.zero_grad()
        loss(batch).backward()
        without = [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()]
        # A constant cancels out of the Wasserstein distance.
        assert without == (["realness.bias"] if network is detector.model.discriminator else [])
    detector.model.zero_grad()
    detector.discriminator_loss(batch).backward()
    assert all(each.grad is None for each in detector.model.generator.parameters())


def test_losses_are_their_definitions():
    batch = {ARRAY: clips(4).read()[ARRAY][..., :32]}
    quick = fitted(clips(4), epochs=1, hidden=2, penalty=0.0)
    real = quick.model.windows(batch[ARRAY])
    with torch.no_grad():
        realness = [quick.model.discriminator(each)[0].mean() for each in (quick.model.generator(real), real)]
        mse = (quick.model.generator(real) - real).square().mean()
        means = [quick.model.discriminator.embedding(each).mean(0) for each in (quick.model.generator(real), real)]
    torch.testing.assert_close(quick.discriminator_loss(batch), realness[0] - realness[1])
    matching = (means[0] - means[1]).square().mean()
    torch.testing.assert_close(quick.generator_loss(batch), mse + 0.1 * matching)


def test_the_adversaries_take_turns_and_leave_each_other_alone():
    """After each turn the one network has changed and the other has not."""
    detector = AEGAN(AEGANConfig(**{**SMALL, "epochs": 1}))
    detector._prepare({ARRAY: (32, 56)}, 4, seed=0)
    model, seen = detector.model, []

    def state():
        return [
            torch.cat([p.detach().flatten() for p in net.parameters()])
            for net in (model.discriminator, model.generator)
        ]

    for name in ("discriminator_loss", "generator_loss"):
        plain = getattr(detector, name)

        def watched(batch, name=name, plain=plain):
            seen.append((name, *state()))
            return plain(batch)

        setattr(detector, name, watched)
    features = clips(4)
    detector._learn(Training(features, known_rows(None, 4), 0, Progress()))
    assert [each[0] for each in seen] == ["discriminator_loss", "generator_loss"]
    (_, judge, maker), (_, later_judge, same_maker) = seen
    last_judge, last_maker = state()
    assert not torch.equal(later_judge, judge)
    assert torch.equal(same_maker, maker)
    assert torch.equal(last_judge, later_judge)
    assert not torch.equal(last_maker, maker)


def test_norm_statistics_are_of_clips_and_change_with_them(trained):
    batch = clips(5, seed=7).read()
    statistics = trained.embeddings(batch)
    assert statistics.shape == (5, 8)  # three strided layers and the embedding
    assert not torch.allclose(statistics, trained.embeddings(with_tone(clips(5, seed=7))))
    torch.testing.assert_close(trained.embeddings({ARRAY: batch[ARRAY][:2]}), statistics[:2], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("frames", [20, 32, 33, 90])
@pytest.mark.parametrize("bands", [32, 64])
def test_clips_of_any_length(bands, frames):
    detector = fitted(clips(3, bands=bands, frames=frames), epochs=1, hidden=2)
    scored = detector.score(clips(2, seed=1, bands=bands, frames=frames).read())
    assert scored.map.shape == (2, bands, frames)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"score": "best"}, "aegan has no score 'best': choose one of spectrogram_l2_sum"),
        ({"matched": "median"}, "aegan has no matched 'median': choose one of mean, mean_and_deviation"),
        ({"neighbours": 0}, "aegan has neighbours=0 and lof_neighbours=4: choose at least 1"),
        ({"hop": 0}, "hop=0 and hidden=4: choose at least 1"),
        ({"hop": 33}, "hop=33 is more than window=32: choose a smaller hop, for the frames between two windows"),
    ],
)
def test_bad_settings_are_told(settings, sentence):
    with pytest.raises(EndlineError, match=sentence):
        AEGANConfig(**{**SMALL, **settings})


def test_bands_that_cannot_be_halved_are_told():
    with pytest.raises(EndlineError, match=r"of 40 x 32 cannot be halved.* choose multiples of 32"):
        fitted(clips(3, bands=40))


def test_published_settings(published):
    config = published("aegan").config
    assert (config.hop, config.window, config.hidden, config.norm) == (1, 128, 32, "layer")
    assert (config.penalty, config.epochs, config.batch_size, config.learning_rate) == (10.0, 60, 512, 2e-4)
