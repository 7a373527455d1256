"""Overlapping windows of spectrograms: scaled, cut, and laid together again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from endline.feature_set import Batch, FeatureSet, Rows
from endline.files import content_key

BATCH = 16  # clips that are read at a time
CHUNK = 64  # windows that go through a network at a time


class Scaling(nn.Module):
    """Brings decibels to [-1, 1] by the least and the largest of the training clips; nothing is clamped.

    Example:
        >>> scaling = Scaling()
        >>> scaling.fit([torch.tensor([[-80.0, 0.0]])])
        >>> scaling(torch.tensor([-80.0, -20.0])).tolist(), scaling.decibels.item()
        ([-1.0, 0.5], 40.0)
    """

    lowest: Tensor
    highest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("lowest", torch.tensor(0.0))
        self.register_buffer("highest", torch.tensor(0.0))

    def fit(self, spectrograms: Iterator[Tensor] | Sequence[Tensor]) -> None:
        """Learn the least and the largest number of spectrograms of any shape."""
        bounds = torch.stack([torch.stack(torch.aminmax(each)) for each in spectrograms])
        self.lowest.copy_(bounds[:, 0].min())
        self.highest.copy_(bounds[:, 1].max())

    @property
    def decibels(self) -> Tensor:
        """Decibels that are one unit of the scaled spectrogram; 1 where the training clips are one constant."""
        half = (self.highest - self.lowest) / 2
        return torch.where(half > 0, half, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Scaled spectrograms of any shape."""
        return (x - (self.lowest + self.highest) / 2) / self.decibels


def window_starts(frames: int, window: int, hop: int) -> list[int]:
    """First frames of windows every `hop` frames, and of one that ends with the clip; [0] for a shorter clip.

    Example:
        >>> window_starts(313, 128, 64), window_starts(100, 128, 64)
        ([0, 64, 128, 185], [0])
    """
    last = max(0, frames - window)
    return sorted({*range(0, last + 1, hop), last})


def repeated(x: Tensor, window: int) -> Tensor:
    """Spectrograms (..., frames), repeated until they fill one window where they are shorter.

    Example:
        >>> repeated(torch.tensor([[1, 2, 3]]), 5).tolist()
        [[1, 2, 3, 1, 2]]
    """
    frames = x.shape[-1]
    return x if frames >= window else x[..., torch.arange(window, device=x.device) % frames]


def by_window(x: Tensor, window: int, hop: int, measure: Callable[[Tensor], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What is measured of every window of spectrograms, some windows at a time.

    Args:
        x: (batch, bands, frames).
        window: frames of a window.
        hop: frames between two of them.
        measure: tensors (n, ...) of windows (n, 1, bands, window); one named `picture` is a window (n, 1, bands,
            window) again: its mean over the windows that cover a frame is given, (batch, bands, frames).

    Returns:
        (batch, windows, ...) by name.

    Example:
        >>> x = torch.arange(12.0).view(1, 2, 6)
        >>> got = by_window(x, 4, 1, lambda w: {"picture": w, "sum": w.sum((1, 2, 3))})
        >>> torch.equal(got["picture"], x), got["sum"].shape
        (True, torch.Size([1, 3]))
    """
    count, frames, filled = len(x), x.shape[-1], repeated(x, window)
    starts = window_starts(frames, window, hop)
    step = max(1, CHUNK // count)
    total, covered = torch.zeros_like(filled), torch.zeros_like(filled[0, 0])
    found: dict[str, list[Tensor]] = {}
    for at in range(0, len(starts), step):
        some = starts[at : at + step]
        cut = torch.cat([filled[..., start : start + window] for start in some])
        for name, values in measure(cut[:, None]).items():
            by_start = values.reshape(len(some), count, *values.shape[1:])
            if name != "picture":
                found.setdefault(name, []).append(by_start.transpose(0, 1))
                continue
            for start, picture in zip(some, by_start[:, :, 0], strict=True):
                total[..., start : start + window] += picture
                covered[start : start + window] += 1
    joined = {name: torch.cat(parts, 1) for name, parts in found.items()}
    return joined | ({"picture": (total / covered)[..., :frames]} if covered.any() else {})


class WindowSet(FeatureSet):
    """The windows of an array of clips, each a sample of its own: what networks train on.

    Args:
        clips: feature set whose arrays are spectrograms (clips, bands, frames).
        window: frames of a window.
        hop: frames between two of them.
        rows: windows that this view shows; all by default.

    Example:
        >>> clips = FeatureSet({"log_mel": np.arange(24, dtype="f4").reshape(2, 2, 6)}, key="clips")
        >>> windows = WindowSet(clips, window=4, hop=2)
        >>> len(windows), windows.shapes
        (4, {'log_mel': (2, 4)})
        >>> windows.read([3])["log_mel"].tolist()
        [[[14.0, 15.0, 16.0, 17.0], [20.0, 21.0, 22.0, 23.0]]]
    """

    def __init__(self, clips: FeatureSet, window: int, hop: int, rows: Rows | None = None) -> None:
        (frames,) = {shape[-1] for shape in clips.shapes.values()}
        self.clips, self.window, self.hop = clips, window, hop
        self.starts = np.array(window_starts(frames, window, hop))
        rows = np.arange(len(clips) * len(self.starts)) if rows is None else rows
        key = content_key(clips.fingerprint, window, hop)
        super().__init__(clips._arrays, key=key, rows=rows, device=clips.device)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of a window, by array name."""
        return {name: (*shape[:-1], self.window) for name, shape in self.clips.shapes.items()}

    def read(self, rows: Rows | None = None) -> Batch:
        """Windows (rows, bands, window) as float32 tensors; all of the view by default."""
        numbers = self.rows if rows is None else self.rows[np.asarray(rows, dtype=np.int64)]
        clip, place = np.divmod(numbers, len(self.starts))
        first = torch.from_numpy(self.starts[place]).to(self.device)
        frames = first[:, None] + torch.arange(self.window, device=self.device)
        return {name: _cut(repeated(x, self.window), frames) for name, x in self.clips.read(clip).items()}

    def _view(self, arrays: Mapping[str, Sequence[NDArray[Any]]] | None = None, **changes: Any) -> "WindowSet":
        clips = self.clips._view(arrays, **{name: each for name, each in changes.items() if name == "device"})
        return WindowSet(clips, self.window, self.hop, changes.get("rows", self.rows))


def _cut(x: Tensor, frames: Tensor) -> Tensor:
    """Frames (n, window) of spectrograms (n, bands, frames)."""
    return x.gather(2, frames[:, None].expand(-1, x.shape[1], -1))
