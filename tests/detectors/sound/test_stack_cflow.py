"""CFLOW on the stack: its rows and patches, the levels of its likelihoods, its map, the ranking of the rows."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from endline.backbones.networks import Trunk
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.detectors.sound.stack_cflow import StackCFlow, StackCFlowConfig
from endline.detectors.sound.stack_encoders import NetworkMaps, Patches
from endline.detectors.sound.stack_rows import GROUPS, ROWS, row_names, row_numbers
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = StackCFlowConfig(components=8, blocks=2, code=8, vectors=256, epochs=3, batch_size=8, learning_rate=3e-3)
FRAMES = 36


def stacks(count: int, seed: int, frames: int = FRAMES) -> torch.Tensor:
    """Rows of units and levels that differ much, with a common rhythm; the flatness never changes."""
    rng = np.random.default_rng([seed, count])
    rhythm = np.sin(np.arange(frames) / 3 + rng.uniform(0, 6, (count, 1, 1)))
    scale = 10.0 ** (np.arange(ROWS)[:, None] % 5 - 2)
    x = scale * (3 + rhythm + 0.3 * rng.standard_normal((count, ROWS, frames)))
    x[:, row_names().index("flatness")] = 0.25
    return torch.from_numpy(x.astype("f4"))


def feature_set(x: torch.Tensor, key: str = "stacks") -> FeatureSet:
    return FeatureSet({"stack": x.numpy()}, key=key)


def fitted(config: StackCFlowConfig = SMALL, count: int = 24) -> StackCFlow:
    detector = StackCFlow(config)
    detector.fit(feature_set(stacks(count, 0)), seed=0, progress=Progress())
    return detector


@pytest.fixture(scope="module")
def done() -> StackCFlow:
    return fitted()


def test_the_table_of_rows_names_them_all_once():
    names = row_names()
    assert len(names) == len(set(names)) == ROWS == 158
    assert [names[row] for row in (127, 139, 140, 146, 147, 152, 157)] == [
        *("log_mel 128", "chroma 12", "contrast 1", "contrast 7", "tonnetz 1", "tonnetz 6", "zero_crossings"),
    ]
    assert row_numbers(tuple(GROUPS)) == list(range(158))
    assert row_numbers(("flatness", "chroma")) == [*range(128, 140), 156]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rows": ("mfcc",)}, "The stack has no rows 'mfcc': choose of log_mel, chroma, contrast, tonnetz, rms"),
        ({"rows": ()}, "No rows of the stack are chosen: name some of log_mel, chroma"),
        ({"encoder": "vit"}, "stack_cflow has no encoder 'vit': choose one of patches, network."),
        ({"level": "median"}, "stack_cflow has no level 'median': choose one of peak, rows."),
        ({"side": 1}, "stack_cflow has side=1 and scales=3: choose a side of at least 2 rows and frames"),
        ({"scales": 0}, "stack_cflow has side=8 and scales=0: choose a side of at least 2 rows and frames"),
    ],
)
def test_wrong_settings_are_told(changes, sentence):
    with pytest.raises(EndlineError) as caught:
        StackCFlowConfig(**changes)
    assert str(caught.value).startswith(sentence)


def test_a_stack_of_other_rows_is_told():
    with pytest.raises(EndlineError, match="A stack has 158 rows, and these have 128: extract the clips again"):
        StackCFlow(SMALL).fit(feature_set(torch.zeros(3, 128, 20)), seed=0, progress=Progress())


def test_rows_are_standardised_on_training_clips_and_constant_ones_are_0():
    patches, train = Patches(row_numbers(tuple(GROUPS)), FRAMES, 8, 3), stacks(10, 0)
    patches.fit(feature_set(train))
    x = patches.standardised(train)
    deviation, mean = torch.std_mean(x.double(), (0, 2), correction=0)
    flat = row_names().index("flatness")
    varies = torch.arange(ROWS) != flat
    torch.testing.assert_close(mean, torch.zeros(ROWS).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(deviation[varies], torch.ones(ROWS - 1).double(), rtol=1e-4, atol=1e-4)
    train[:, flat] = 9.0
    assert not patches.standardised(train)[:, flat].any()


def test_patches_by_hand():
    x = torch.arange(2 * 5 * 7, dtype=torch.float32).view(2, 5, 7)
    maps = Patches(range(5), 7, side=2, scales=2).cut(x)
    padded = np.zeros((2, 8, 8), "f4")
    padded[:, :5, :7] = x
    for row in range(3):
        for column in range(4):
            patch = padded[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(2, 4)
            np.testing.assert_array_equal(maps["scale_0"][:, :, row, column], patch)
    halved = padded.reshape(2, 4, 2, 4, 2).mean((2, 4))
    for row in range(2):
        for column in range(2):
            patch = halved[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(2, 4)
            np.testing.assert_array_equal(maps["scale_1"][:, :, row, column], patch)


def test_the_network_sees_the_standardised_stack_as_a_picture():
    encoder = NetworkMaps(row_numbers(("chroma", "rms")), FRAMES, "efficientnet_lite0").train()
    x = torch.randn(2, 13, FRAMES, generator=torch.Generator().manual_seed(0))
    picture = torch.full((2, 1, 32, 64), 0.5)
    picture[:, 0, :13, :FRAMES] += x / 8
    maps = encoder.cut(x)
    for own, wanted in zip(maps.values(), encoder.trunk.eval()(picture).values(), strict=True):
        assert torch.equal(own, wanted)
    assert {name: tuple(each.shape[1:]) for name, each in maps.items()} == encoder.shapes


def test_with_the_network_it_ranks_and_its_weights_stay(tmp_path):
    config = replace(SMALL, encoder="network", epochs=0, min_steps=0)
    detector = StackCFlow(config)
    detector.fit(feature_set(stacks(4, 0)), seed=0, progress=Progress())
    state, fresh = detector.model.encoder.trunk.state_dict(), Trunk("efficientnet_lite0").state_dict()
    assert all(torch.equal(state[name], fresh[name]) for name in fresh)
    broken = stacks(2, 1)
    broken[:, 48:80, 8:28] += 5 * (10.0 ** (torch.arange(ROWS)[:, None] % 5 - 2))[48:80]
    normal, found = detector.score({"stack": stacks(3, 2)}), detector.score({"stack": broken})
    assert found.map.shape == (2, ROWS, FRAMES)
    assert found.score.min() > normal.score.max()
    assert detector.importances({"stack": broken}).shape == (2, ROWS)
    detector.save(tmp_path)
    assert torch.equal(load_detector(tmp_path).score({"stack": broken}).score, found.score)


def test_levels_of_rows_are_mean_and_deviation_of_training(done):
    with torch.no_grad():
        above = done.model.above(done.model.log_likelihoods(stacks(24, 0)))
    for each in above:
        deviation, mean = torch.std_mean(each.double(), (0, 2), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=2e-3)
        torch.testing.assert_close(deviation, torch.ones_like(deviation), rtol=1e-2, atol=1e-2)


def test_the_peak_level_is_the_largest_of_training():
    detector = fitted(replace(SMALL, level="peak", epochs=1), count=8)
    with torch.no_grad():
        above = detector.model.above(detector.model.log_likelihoods(stacks(8, 0)))
    assert [float(each.amax()) for each in above] == pytest.approx([0, 0, 0], abs=1e-4)


def test_training_makes_normal_clips_likelier():
    longer = StackCFlow(replace(SMALL, epochs=20, learning_rate=1e-2))
    losses = longer.fit(feature_set(stacks(24, 0)), seed=0, progress=Progress()).losses
    assert losses[-1] < losses[0] - 0.1


def test_map_and_score_point_at_a_moment_in_some_bands(done):
    broken = stacks(4, 1)
    scale = 10.0 ** (torch.arange(ROWS)[:, None] % 5 - 2)
    broken[:, 48:56, 16:24] += 4 * scale[48:56]
    normal, found = done.score({"stack": stacks(40, 2)}), done.score({"stack": broken})
    assert found.map.shape == (4, ROWS, FRAMES)
    assert found.score.min() > normal.score.max()
    assert torch.equal(found.score, found.map.flatten(1).amax(1))
    for each in found.map:
        row, frame = divmod(int(each.argmax()), FRAMES)
        assert 48 <= row < 56
        assert 16 <= frame < 24


def test_rows_that_are_not_read_change_nothing_and_are_0_in_the_map():
    detector = fitted(replace(SMALL, rows=("chroma", "rms"), epochs=1), count=8)
    x = stacks(3, 1)
    other = x.clone()
    other[:, :128] += 50.0
    first, second = detector.score({"stack": x}), detector.score({"stack": other})
    assert torch.equal(first.score, second.score)
    read = torch.zeros(ROWS, dtype=torch.bool)
    read[row_numbers(("chroma", "rms"))] = True
    assert not first.map[:, ~read].any()
    assert first.map[:, read].any(2).all()
    importance = detector.importances({"stack": x})
    assert not importance[:, ~read].any()
    assert importance[:, read].all()


def test_importances_of_the_untrained_flow_is_twice_its_quadratic_form():
    detector = StackCFlow(replace(SMALL, whiten=False, epochs=0, min_steps=0))
    detector.fit(feature_set(stacks(8, 0)), seed=0, progress=Progress())
    x = stacks(3, 1)
    with torch.no_grad():
        likelihoods = detector.model.log_likelihoods(x)
    constant = -0.5 * math.log(2 * math.pi)
    forms = torch.stack([(constant - each).flatten(1).mean(1) for each in likelihoods]).mean(0)
    torch.testing.assert_close(detector.importances({"stack": x}).sum(1), 2 * forms, rtol=1e-4, atol=1e-5)


def test_importances_sums_to_the_slope_away_from_the_means(done):
    x = stacks(2, 1)
    rows = done.model.encoder.standardised(x)

    def unlikely(factor: float) -> torch.Tensor:
        with torch.no_grad():
            likelihoods = done.model.decoders.log_likelihoods(done.model.encoder.cut(factor * rows))
        return torch.stack([-each.double().flatten(1).mean(1) for each in likelihoods]).mean(0)

    slope = (unlikely(1.01) - unlikely(0.99)) / 0.02
    torch.testing.assert_close(done.importances({"stack": x}).sum(1).double(), slope, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("name", ["log_mel 60", "contrast 3", "centroid"])
def test_the_row_that_is_broken_is_the_most_important(done, name):
    broken, row = stacks(5, 1), row_names().index(name)
    broken[:, row] += 5 * 10.0 ** (row % 5 - 2)  # the deviation of a row is below its scale
    assert done.importances({"stack": broken}).argmax(1).tolist() == [row] * 5


def test_published_settings(published):
    config = published("stack_cflow").config
    assert (config.blocks, config.code, config.alpha, config.vectors) == (8, 128, 1.9, 256)
    assert (config.whiten, config.level, config.rows, config.schedule) == (False, "peak", tuple(GROUPS), "cosine")
    assert config.encoder == "network"
