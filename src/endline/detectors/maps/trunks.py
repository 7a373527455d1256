"""What detectors share that train a backbone's network themselves."""

import torch
from torch import nn

from endline.backbones.networks import Trunk


def parameters_below(trunk: Trunk, stride: int) -> set[nn.Parameter]:
    """Those trainable parameters that the map of a stride depends on, and no others."""
    parameters = [each for each in trunk.parameters() if each.requires_grad]
    training = trunk.training
    maps = trunk.eval()(torch.zeros(1, 3, 64, 64))  # in evaluation nothing is drawn, and no statistics change
    trunk.train(training)
    slopes = torch.autograd.grad(maps[stride].sum(), parameters, allow_unused=True)
    return {each for each, slope in zip(parameters, slopes, strict=True) if slope is not None}
