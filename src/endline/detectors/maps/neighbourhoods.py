"""What detectors on patches share: which scales they take, and the means over neighbouring positions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from endline.detectors.base import Shapes
from endline.errors import EndlineError
from endline.feature_set import Batch


def taken_scales(owner: str, scales: Sequence[int], shapes: Shapes) -> list[str]:
    """Names of the scales that a detector takes, finest first.

    Args:
        owner: name of the detector, for the message.
        scales: numbers of scales, counted from 0.
        shapes: the arrays of the scales, the names' order being finest first.

    Raises:
        EndlineError: when a scale is not there.

    Example:
        >>> taken_scales("patchcore", (1, 0), {"scale_0": (6, 8, 8), "scale_1": (8, 4, 4), "scale_2": (9, 2, 2)})
        ['scale_0', 'scale_1']
    """
    names = sorted(shapes)
    if max(scales) >= len(names):
        raise EndlineError(
            f"{owner} takes the scales {list(scales)} and the features have only {len(names)}: change `scales`, or "
            "choose an input type with more."
        )
    return [names[scale] for scale in sorted(set(scales))]


def locally_averaged(maps: Tensor, *, zero_padding: bool) -> Tensor:
    """Maps (n, C, H, W) averaged over 3 x 3 positions.

    Args:
        maps: the maps.
        zero_padding: whether zeros beyond the border count, as in the published program of PatchCore (Roth et al.
            2022). They shrink what lies at the border to two thirds, in corners to four ninths, so that it counts
            less. Else the positions that there are count.

    Example:
        >>> locally_averaged(torch.ones(1, 1, 3, 3), zero_padding=True)[0, 0, 0]
        tensor([0.4444, 0.6667, 0.4444])
    """
    return functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=zero_padding)


def brought_to(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (n, C, h, w) at another size (H, W), bilinear."""
    if maps.shape[2:] == size:
        return maps
    return functional.interpolate(maps, size=size, mode="bilinear")


def joined_patches(batch: Batch, names: Sequence[str], size: tuple[int, int], *, zero_padding: bool) -> Tensor:
    """Maps averaged over 3 x 3 positions, brought to one size and joined: (batch, positions, channels).

    Args:
        batch: the maps.
        names: of the scales.
        size: height and width of the joined map.
        zero_padding: beyond the border, see `locally_averaged`.

    Example:
        >>> batch = {"scale_0": torch.ones(2, 3, 4, 4), "scale_1": torch.ones(2, 5, 2, 2)}
        >>> joined_patches(batch, ["scale_0", "scale_1"], (4, 4), zero_padding=False).shape
        torch.Size([2, 16, 8])
    """
    raised = [brought_to(locally_averaged(batch[name], zero_padding=zero_padding), size) for name in names]
    return torch.cat(raised, 1).flatten(2).mT
