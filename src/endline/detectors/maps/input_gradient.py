"""Where a score comes from: its gradient to the input image (DifferNet, Rudolph 2024, section 4.2.4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from endline.backbones.networks import images_per_pass


def input_gradient(score: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (n,) of images (n, C, H, W), and each one's gradient to its image, (n, C, H, W).

    Args:
        score: differentiable scores (m,) of images (m, C, H, W), none of which may depend on another image.
        images: they are taken a few at a time, so that the memory of the backward pass stays bounded.

    Example:
        >>> scores, slopes = input_gradient(lambda x: x.square().sum((1, 2, 3)), torch.ones(2, 3, 4, 4))
        >>> scores.tolist(), slopes.unique().tolist()
        ([48.0, 48.0], [2.0])
    """
    scores, slopes = [], []
    for chunk in torch.split(images.detach(), images_per_pass(images.device)):
        with torch.enable_grad():
            leaf = chunk.clone().requires_grad_()
            values = score(leaf)
            (slope,) = torch.autograd.grad(values.sum(), leaf)
        scores.append(values.detach())
        slopes.append(slope)
    return torch.cat(scores), torch.cat(slopes)


def gradient_map(slopes: Tensor, blur: float) -> Tensor:
    """Blurred gradients (n, C, H, W) in absolute value, summed over the channels, (n, H, W) (equation 4.14).

    Args:
        slopes: gradients to the images.
        blur: standard deviation of the Gaussian in pixels; 0 = none.

    Example:
        >>> gradient_map(-torch.ones(2, 3, 4, 4), blur=0.0).unique()
        tensor([3.])
    """
    if blur > 0:
        from torchvision.transforms.functional import gaussian_blur  # its import takes longer than a verdict

        radius = min(round(3 * blur), *(side - 1 for side in slopes.shape[-2:]))  # the border is mirrored
        slopes = gaussian_blur(slopes, [2 * radius + 1] * 2, [blur, blur])
    return slopes.abs().sum(1)
