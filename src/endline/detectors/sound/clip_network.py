"""A small network of two branches: the spectrum of a whole clip, and its spectrogram."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.detectors.standardisation import Standardisation
from endline.feature_set import Batch, FeatureSet

BATCH = 32
SPECTRUM_LAYERS = ((64, 8), (16, 4), (8, 4))  # kernel and stride


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm beside a shortcut, of half the resolution where `stride` is 2.

    Args:
        inputs, outputs: channels.
        stride: 1 or 2.

    Example:
        >>> ResidualBlock(4, 8, stride=2)(torch.zeros(2, 4, 8, 10)).shape
        torch.Size([2, 8, 4, 5])
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.leave = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)])
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, outputs, H, W) of maps (batch, inputs, ...)."""
        y = self.enter(functional.relu(self.norms[0](x)))
        joined: Tensor = self.shortcut(x) + self.leave(functional.relu(self.norms[1](y)))
        return joined


class SpectrogramBranch(nn.Module):
    """Residual network on a log-mel spectrogram less its mean over time: what the spectrum says already is left out.

    Args:
        bands: of the spectrogram.
        hidden: channels of the first block; each further one has twice as many.
        embedding: numbers that come out.

    Example:
        >>> SpectrogramBranch(64, hidden=8, embedding=16)(torch.zeros(2, 64, 80)).shape
        torch.Size([2, 16])
    """

    def __init__(self, bands: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, hidden, 7, 2, 3, bias=False)
        widths = [hidden * 2**step for step in range(4)]
        pairs = zip([hidden, *widths], widths, strict=False)
        self.blocks = nn.ModuleList(ResidualBlock(a, b, 1 if step == 0 else 2) for step, (a, b) in enumerate(pairs))
        for _ in range(5):  # the entry, the pooling, and three blocks halve
            bands = -(-bands // 2)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.leave = nn.Linear(bands * widths[-1], embedding, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (batch, embedding) of standardised spectrograms (batch, bands, frames)."""
        y = self.enter((x - x.mean(2, keepdim=True))[:, None])
        y = functional.max_pool2d(y, 3, 2, 1)
        for block in self.blocks:
            y = block(y)
        embedding: Tensor = self.leave(functional.relu(self.norm(y)).amax(3).flatten(1))
        return embedding


class SpectrumBranch(nn.Module):
    """Three strided convolutions over the bins of a spectrum.

    Args:
        bins: of the spectrum.
        hidden: channels.
        embedding: numbers that come out.

    Example:
        >>> SpectrumBranch(256, hidden=8, embedding=16)(torch.zeros(2, 256)).shape
        torch.Size([2, 16])
    """

    def __init__(self, bins: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        channels = 1
        for kernel, stride in SPECTRUM_LAYERS:
            self.convs.append(nn.Conv1d(channels, hidden, kernel + 1, stride, kernel // 2, bias=False))
            self.norms.append(nn.BatchNorm1d(hidden))
            channels, bins = hidden, -(-bins // stride)
        self.leave = nn.Linear(bins * hidden, embedding, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (batch, embedding) of standardised spectra (batch, bins)."""
        x = x[:, None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.relu(norm(conv(x)))
        embedding: Tensor = self.leave(x.flatten(1))
        return embedding


class ClipNetwork(nn.Module):
    """Spectrum and spectrogram less their means, a branch for each, and their embeddings joined.

    As Wilkinghoff, "Design Choices for Learning Embeddings from Auxiliary Tasks for Domain Generalization in Anomalous
    Sound Detection", ICASSP 2023, with fewer channels of the spectrum. No linear layer has a bias: it could answer
    without looking at the clip.

    Args:
        bands: of the log-mel spectrogram.
        bins: of the spectrum.
        hidden: channels of the first block of the spectrogram; the spectrum has four times as many.
        embedding: numbers of each branch.

    Example:
        >>> network = ClipNetwork(64, 256, hidden=8, embedding=16)
        >>> network({"log_mel": torch.zeros(2, 64, 80), "spectrum": torch.zeros(2, 256)}).shape
        torch.Size([2, 32])
    """

    def __init__(self, bands: int, bins: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.bands, self.bins = Standardisation(bands), Standardisation(bins)
        # Not channels_last: 1.6 times as fast, but torch 2.14's backward corrupts memory there with 4 channels.
        self.spectrogram = SpectrogramBranch(bands, hidden, embedding)
        self.spectrum = SpectrumBranch(bins, 4 * hidden, embedding)

    def fit_standardisation(self, features: FeatureSet) -> None:
        """Take the mean of each band and bin from normal clips, and one deviation of all bands, and of all bins.

        Both are in dB or its like: what varies by little, such as a band of mere noise, keeps its small weight.
        """
        for standardise, name in ((self.bands, "log_mel"), (self.bins, "spectrum")):
            standardise.fit(_with_masks(features, name))
            varying = standardise.gain[standardise.constant == 0]
            if len(varying):
                standardise.gain.fill_(varying.reciprocal().square().mean().rsqrt())

    def forward(self, batch: Batch) -> Tensor:
        """Embeddings (batch, 2 * embedding) of `log_mel` (batch, bands, frames) and `spectrum` (batch, bins)."""
        log_mel, spectrum = batch["log_mel"], batch["spectrum"][:, :, None]
        bands = self.bands(log_mel, torch.ones_like(log_mel[:, :1]))
        bins = self.bins(spectrum, torch.ones_like(spectrum[:, :1]))[:, :, 0]
        return torch.cat([self.spectrum(bins), self.spectrogram(bands)], 1)


def _with_masks(features: FeatureSet, name: str) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in features.batches(BATCH):
        x = batch[name] if batch[name].ndim == 3 else batch[name][:, :, None]
        yield x, torch.ones_like(x[:, :1])
