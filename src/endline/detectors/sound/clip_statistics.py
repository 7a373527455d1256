"""Statistics over time of log-mel spectra: what a clip says apart from how loud its bands are.

Each takes clips (batch, bands, frames) and returns vectors (batch, numbers).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

GROUPS = 16  # bands are joined to this many groups before they are compared with each other


def deviation(clips: Tensor) -> Tensor:
    """Standard deviation over time of each band, (batch, bands).

    Example:
        >>> deviation(torch.tensor([[[1.0, 3.0]]])).tolist()
        [[1.0]]
    """
    return clips.std(2, correction=0)


def change(clips: Tensor) -> Tensor:
    """Standard deviation of what each band changes from one frame to the next, (batch, bands); at least 2 frames.

    A slow drift of the background does not move it, clicks and roughness do.

    Example:
        >>> change(torch.tensor([[[1.0, 3.0, 1.0]]])).tolist()
        [[2.0]]
    """
    return clips.diff(dim=2).std(2, correction=0)


def shape(clips: Tensor) -> Tensor:
    """What each band's mean over time is above the band below it, (batch, bands - 1).

    Neither the level of a recording nor a broad colouring counts, lines and their sidebands do.

    Example:
        >>> shape(torch.tensor([[[1.0, 3.0], [4.0, 6.0]]])).tolist()
        [[3.0]]
    """
    return clips.mean(2).diff(dim=1)


def correlation(clips: Tensor) -> Tensor:
    """Correlation over time of each two groups of neighbouring bands, (batch, pairs), in [-1, 1].

    It says which bands sound together; a band that never moves has correlation 0 with all.

    Example:
        >>> correlation(torch.tensor([[[1.0, 3.0, 2.0], [2.0, 6.0, 4.0]]])).round(decimals=3).tolist()
        [[1.0]]
    """
    groups = torch.stack([some.mean(1) for some in clips.tensor_split(min(GROUPS, clips.shape[1]), 1)], 1)
    centred = groups - groups.mean(2, keepdim=True)
    length = centred.square().sum(2, keepdim=True).sqrt()
    along = torch.where(length > 1e-6, centred / length.clamp(min=1e-6), 0.0)
    first, second = torch.triu_indices(groups.shape[1], groups.shape[1], 1, device=clips.device)
    return (along @ along.mT)[:, first, second]


STATISTICS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "deviation": deviation,
    "change": change,
    "shape": shape,
    "correlation": correlation,
}
