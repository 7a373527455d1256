"""What the flows on feature maps share: whitened scales in front, anomaly maps behind."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.base import Shapes
from endline.detectors.statistics import full_digits
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet
from endline.flows.base import Maps
from endline.flows.whitening import Whitening

BATCH = 64
MEANS = ("likelihood", "log_likelihood")


def scale_names(shapes: Shapes) -> list[str]:
    """Names of the feature maps among the arrays, finest first.

    Example:
        >>> scale_names({"scale_1": (8, 4, 4), "mask": (16, 16), "scale_0": (6, 8, 8)})
        ['scale_0', 'scale_1']
    """
    return sorted(name for name in shapes if name.startswith("scale"))


class Scales(nn.Module):
    """The feature maps of a batch, finest first, each reduced to whitened principal components of its channels.

    Args:
        shapes: shape (channels, height, width) of the maps by name; arrays that are no `scale` are passed over.
        components: whitened components that stay of each scale; 0 = all.
        whiten: False gives the maps as they are.

    Raises:
        EndlineError: when a scale has a single channel, which no coupling can halve.

    Example:
        >>> scales = Scales({"scale_0": (6, 8, 8)}, components=4, whiten=True)
        >>> scales.sizes
        [(4, 8, 8)]
    """

    def __init__(self, shapes: Shapes, components: int, whiten: bool) -> None:
        super().__init__()
        self.names = scale_names(shapes)
        full = [shapes[name] for name in self.names]
        kept = [min(components or size[0], size[0]) if whiten else size[0] for size in full]
        self.sizes = [(count, size[1], size[2]) for count, size in zip(kept, full, strict=True)]
        if min(kept) < 2:
            raise EndlineError(
                f"A flow needs at least 2 channels of each scale and has {', '.join(map(str, kept))}: "
                "choose components=0, which keeps all channels, or at least 2."
            )
        pairs = zip(full, kept, strict=True)
        self.whitening = nn.ModuleList(Whitening(size[0], count) for size, count in pairs if whiten)

    @property
    def channels(self) -> list[int]:
        """Channels that come out, a scale."""
        return [size[0] for size in self.sizes]

    def fit(self, features: FeatureSet) -> None:
        """Fit on normal samples in closed form, batch by batch."""
        self.fit_on(lambda: features.batches(BATCH))

    def fit_on(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Fit on what `batches` gives, which is called for every scale: feature maps, batch by batch."""
        for name, whitening in zip(self.names, self.whitening, strict=False):
            assert isinstance(whitening, Whitening)  # for the type checker: a ModuleList forgets what it holds
            whitening.fit(batch[name] for batch in batches())

    def forward(self, batch: Batch) -> Maps:
        """Maps (batch, channels[i], H_i, W_i), channels last, as convolutions are fastest."""
        maps = [batch[name] for name in self.names]
        if len(self.whitening):
            with full_digits(maps[0]):
                maps = [whiten(x) for whiten, x in zip(self.whitening, maps, strict=True)]
        return tuple(x.contiguous(memory_format=torch.channels_last) for x in maps)


def mean_map(maps: Maps) -> Tensor:
    """Mean of maps (batch, H_i, W_i), brought to the size of the first by bilinear interpolation.

    Example:
        >>> mean_map((torch.zeros(1, 4, 4), torch.ones(1, 2, 2))).unique()
        tensor([0.5000])
    """
    size = maps[0].shape[-2:]
    raised = [functional.interpolate(x[:, None], size=size, mode="bilinear") for x in maps]
    return torch.cat(raised, 1).mean(1)


def likelihood_map(log_likelihoods: Maps, mean_of: str) -> Tensor:
    """Negative logarithm of the mean likelihood of the scales, (batch, H, W) at the size of the first.

    Published is the negative mean itself: the same order of positions, but all far ones tie at 0. The logarithm
    keeps them apart, in float64, which holds likelihoods down to e^-700.

    Args:
        log_likelihoods: (batch, H_i, W_i) a scale, about 0 for what is normal.
        mean_of: `likelihood`, as published, where what is unlikely on one scale alone counts little: the others' mean
            stays; or `log_likelihood`, the geometric mean, where it counts in full.

    Example:
        >>> likelihood_map((torch.tensor([[[-1.0, -8.0]]]),), "likelihood").round()
        tensor([[[1., 8.]]])
    """
    if mean_of == "log_likelihood":
        return -mean_map(log_likelihoods)
    means = mean_map(tuple(x.double().clamp(-700, 700).exp() for x in log_likelihoods))
    return -means.log().float()
