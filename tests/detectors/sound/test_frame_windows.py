"""Windows of frames: their order, where drawn ones lie, and the way back."""

import torch

from endline.detectors.sound.frame_windows import all_windows, drawn_windows, frame_map

CLIPS = torch.arange(2 * 3 * 11.0).view(2, 3, 11)


def test_a_window_is_its_frames_one_after_the_other():
    windows = all_windows(CLIPS, frames=5)
    assert windows.shape == (2, 7, 5, 3)
    for start in range(7):
        assert torch.equal(windows[:, start], CLIPS[:, :, start : start + 5].transpose(1, 2))


def test_with_a_hop_what_is_left_over_is_left_out():
    assert torch.equal(all_windows(CLIPS, 4, hop=3), all_windows(CLIPS, 4)[:, ::3])


def test_drawn_windows_are_windows_of_their_own_clip_and_reach_every_start():
    drawn = drawn_windows(CLIPS, 5, 200)
    every = all_windows(CLIPS, 5)
    for clip in range(2):
        starts = {next(start for start in range(7) if torch.equal(one, every[clip, start])) for one in drawn[clip]}
        assert starts == set(range(7))


def test_the_map_is_the_mean_of_the_windows_that_hold_the_frame():
    values = torch.rand(2, 7, 5, 3, dtype=torch.float64)
    anomaly_map = frame_map(values)
    assert anomaly_map.shape == (2, 3, 11)
    for frame in range(11):
        holding = [values[:, window, frame - window] for window in range(7) if 0 <= frame - window < 5]
        torch.testing.assert_close(anomaly_map[:, :, frame], torch.stack(holding).mean(0))
    torch.testing.assert_close(frame_map(all_windows(CLIPS, 5)), CLIPS)
