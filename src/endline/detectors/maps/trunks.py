"""What detectors share that go back to the image through a backbone, or train its network themselves."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from endline.backbones.networks import Backbone, Trunk, load_backbone
from endline.backbones.pyramids import PyramidSettings
from endline.detectors.base import Detector


def pyramid_of(detector: Detector[Any]) -> PyramidSettings:
    """How maps and views were made of the training images; by the embedded backbone where `fit` got none.

    Example:
        >>> from endline.detectors.maps.stfpm import STFPM, STFPMConfig
        >>> pyramid_of(STFPM(STFPMConfig())).backbone
        'efficientnet_lite0'
    """
    return detector.pyramid or PyramidSettings(input_type=detector.input_type)


def backbone_of(detector: Detector[Any]) -> Backbone:
    """The frozen backbone of the detector's pyramid, on the detector's device, in float32 as scores are.

    Raises:
        EndlineError: when its weights are missing.

    Example:
        >>> from endline.detectors.maps.stfpm import STFPM, STFPMConfig
        >>> backbone_of(STFPM(STFPMConfig())).name
        'efficientnet_lite0'
    """
    pyramid = pyramid_of(detector)
    return load_backbone(pyramid.backbone, pyramid.weights, replace(detector.compute, precision="float32"))


def parameters_below(trunk: Trunk, stride: int) -> set[nn.Parameter]:
    """Those trainable parameters that the map of a stride depends on, and no others."""
    parameters = [each for each in trunk.parameters() if each.requires_grad]
    training = trunk.training
    maps = trunk.eval()(torch.zeros(1, 3, 64, 64))  # in evaluation nothing is drawn, and no statistics change
    trunk.train(training)
    slopes = torch.autograd.grad(maps[stride].sum(), parameters, allow_unused=True)
    return {each for each, slope in zip(parameters, slopes, strict=True) if slope is not None}
