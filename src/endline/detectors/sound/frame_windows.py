"""Windows of neighbouring frames of a clip, and the way back from windows to frames."""

import torch
from torch import Tensor


def all_windows(clips: Tensor, frames: int, hop: int = 1) -> Tensor:
    """All windows of a clip that lie inside it, a view.

    Args:
        clips: (n, bands, T).
        frames: of a window, at most T.
        hop: frames from a window's start to that of the next; fewer frames than this may be left over at the end.

    Returns:
        (n, windows, frames, bands): frame by frame, as the baselines of DCASE lay their vectors out.

    Example:
        >>> all_windows(torch.arange(4.0).view(1, 1, 4), frames=2)[0, :, :, 0].tolist()
        [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]
    """
    return clips.unfold(2, frames, hop).permute(0, 2, 3, 1)


def drawn_windows(clips: Tensor, frames: int, count: int) -> Tensor:
    """Windows (n, count, frames, bands) that start at random frames of clips (n, bands, T), by torch's generator.

    Example:
        >>> drawn_windows(torch.ones(2, 3, 9), frames=5, count=4).shape
        torch.Size([2, 4, 5, 3])
    """
    starts = torch.randint(clips.shape[2] - frames + 1, (len(clips), count, 1), device=clips.device)
    within = starts + torch.arange(frames, device=clips.device)
    clip = torch.arange(len(clips), device=clips.device)[:, None, None]
    return clips.transpose(1, 2)[clip, within]


def frame_map(values: Tensor) -> Tensor:
    """Mean by band and frame of what all windows of hop 1 say of it.

    Args:
        values: (n, windows, frames, bands).

    Returns:
        (n, bands, windows + frames - 1).

    Example:
        >>> windows = all_windows(torch.arange(4.0).view(1, 1, 4), frames=2)
        >>> frame_map(windows).tolist()
        [[[0.0, 1.0, 2.0, 3.0]]]
    """
    count, windows, frames, bands = values.shape
    total = values.new_zeros(count, windows + frames - 1, bands)
    seen = values.new_zeros(windows + frames - 1, 1)
    for offset in range(frames):
        total[:, offset : offset + windows] += values[:, :, offset]
        seen[offset : offset + windows] += 1
    return (total / seen).transpose(1, 2)
