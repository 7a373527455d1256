"""Windows of spectrograms: where they start, what is averaged, and the set that networks train on."""

import numpy as np
import pytest
import torch

from endline.detectors.sound.spectrogram_windows import (
    CHUNK,
    Scaling,
    WindowSet,
    by_window,
    repeated,
    window_starts,
)
from endline.feature_set import FeatureSet


@pytest.fixture
def clips():
    return FeatureSet({"log_mel": np.random.default_rng(0).standard_normal((5, 3, 11)).astype("f4")}, key="clips")


@pytest.mark.parametrize("hop", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("frames", [4, 5, 11, 30])
def test_windows_cover_every_frame_and_stay_inside(frames, hop):
    starts = window_starts(frames, 4, hop)
    covered = {frame for start in starts for frame in range(start, start + 4)}
    assert covered >= set(range(frames)) if hop <= 4 else {0, frames - 1} <= covered
    assert max(covered) == frames - 1
    assert starts == sorted(set(starts))


def test_a_clip_of_ten_seconds_has_186_windows_at_hop_1():
    assert len(window_starts(313, 128, 1)) == 186


def test_a_short_clip_is_repeated():
    assert repeated(torch.arange(3.0)[None], 7).tolist() == [[0, 1, 2, 0, 1, 2, 0]]


def test_scaling_goes_from_minus_one_to_one_over_the_training_clips():
    scaling, x = Scaling(), torch.tensor([[-70.0, -30.0, 10.0]])
    scaling.fit([x, x / 2])
    assert scaling(x).tolist() == [[-1.0, 0.0, 1.0]]
    assert scaling(torch.tensor(50.0)).item() == 2.0  # beyond the training clips nothing is cut
    assert scaling.decibels.item() == 40.0


def test_scaling_of_a_constant_is_zero():
    scaling = Scaling()
    scaling.fit([torch.full((2, 3), 7.0)])
    assert scaling(torch.tensor([7.0, 8.0])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("window", "hop"), [(4, 1), (4, 3), (11, 5), (16, 2)])
def test_what_is_measured_is_that_of_each_window_alone(clips, window, hop):
    x = clips.read()["log_mel"]
    got = by_window(x, window, hop, lambda w: {"picture": 2 * w, "top": w.amax((1, 2, 3))})
    filled = repeated(x, window)
    starts = window_starts(11, window, hop)
    expected = torch.stack([filled[..., start : start + window].amax((1, 2)) for start in starts], 1)
    assert torch.equal(got["top"], expected)
    torch.testing.assert_close(got["picture"], 2 * x)


def test_pictures_are_averaged_over_the_windows_that_cover_a_frame():
    numbers = iter([1.0, 3.0])
    x = torch.zeros(CHUNK, 1, 6)  # so many clips that each start is a chunk of its own
    got = by_window(x, 4, 2, lambda w: {"picture": torch.full_like(w, next(numbers))})["picture"]
    assert got[0, 0].tolist() == [1, 1, 2, 2, 3, 3]


def test_networks_see_no_more_windows_at_a_time_than_a_chunk():
    sizes = []
    by_window(torch.zeros(3, 2, 200), 4, 1, lambda w: {"x": torch.zeros(len(sizes.append(len(w)) or w))})
    assert max(sizes) <= CHUNK
    assert sum(sizes) == 3 * 197


def test_a_window_set_shows_the_windows_of_all_clips(clips):
    windows = WindowSet(clips, window=4, hop=3)
    x = clips.read()["log_mel"]
    starts = window_starts(11, 4, 3)
    expected = torch.stack([clip[:, start : start + 4] for clip in x for start in starts])
    assert len(windows) == 5 * len(starts)
    assert windows.shapes == {"log_mel": (3, 4)}
    assert torch.equal(windows.read()["log_mel"], expected)
    assert torch.equal(windows.read([7, 2])["log_mel"], expected[[7, 2]])
    assert torch.equal(windows.take([3, 7, 2]).take([1]).read()["log_mel"], expected[[7]])
    joined = torch.cat([batch["log_mel"] for batch in windows.batches(4)])
    assert torch.equal(joined, expected)


def test_a_window_set_of_short_clips_repeats_them(clips):
    windows = WindowSet(clips, window=16, hop=3)
    assert torch.equal(windows.read()["log_mel"], repeated(clips.read()["log_mel"], 16))


def test_window_sets_differ_by_their_clips_and_windows(clips):
    sets = [WindowSet(clips, 4, 1), WindowSet(clips, 4, 2), WindowSet(clips, 5, 1), WindowSet(clips.take([0]), 4, 1)]
    assert len({each.fingerprint for each in sets}) == 4
    assert sets[0].fingerprint == WindowSet(clips, 4, 1).fingerprint
    assert sets[0].to("meta").device.type == "meta"
