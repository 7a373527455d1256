"""Weights of backbones: where they come from, their digest, and how they get into a network."""

import hashlib
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from endline.backbones.architectures import Architecture, architecture_of
from endline.errors import EndlineError

Weights = dict[str, Tensor]
HEADS = ("fc.", "classifier.", "_fc.")  # their size follows the number of classes, and no feature map needs them


def weights_of(name: str, weights: str | None) -> Weights:
    """State dict of a backbone's weights.

    Args:
        name: key of ARCHITECTURES.
        weights: path of a state dict (.pth, .pt or .safetensors), or name of torchvision weights such as
            `ResNet18_Weights.IMAGENET1K_V1`, which are downloaded; None for those that come with the project.

    Raises:
        EndlineError: for an unknown backbone, one that comes without weights, and weights that cannot be read.

    Example:
        >>> len(weights_digest(weights_of("efficientnet_lite0", None)))
        64
    """
    source = architecture_of(name).packaged_weights() if weights is None else weights
    if source is None:
        raise EndlineError(
            f"The backbone {name} comes without weights: give `weights` the path of a state dict (.pth or "
            ".safetensors), or where there is a network the name of torchvision weights (for example "
            "ResNet18_Weights.IMAGENET1K_V1), or take the embedded default backbone efficientnet_lite0."
        )
    return _read_file(Path(source)) if Path(source).is_file() else _download(source)


def weights_digest(weights: Weights) -> str:
    """SHA-256 of names and values, 64 hexadecimal digits, independent of the file's format and order.

    Example:
        >>> weights_digest({"a": torch.zeros(1)}) == weights_digest({"a": torch.ones(1)})
        False
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def network_with(architecture: Architecture, weights: Weights, source: str | None) -> nn.Module:
    """The architecture's whole network with these weights; only those of its classifier may be missing.

    Args:
        architecture: how the network is built.
        weights: state dict.
        source: where the weights came from, for the message.

    Raises:
        EndlineError: when the weights do not fit.
    """
    with torch.device("meta"):  # no random initialisation, which takes seconds for a large network
        network = architecture.build()
    try:
        _assign(network, weights)
    except RuntimeError as error:
        raise EndlineError(
            f"The weights {source} do not fit the backbone {architecture.name}: give weights of that architecture "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error
    return network


def _assign(network: nn.Module, weights: Weights) -> None:
    if not isinstance(weights, dict):
        raise RuntimeError("not a state dict")
    kept = {key: value for key, value in weights.items() if not key.startswith(HEADS)}
    missing, unexpected = network.load_state_dict(kept, strict=False, assign=True)
    if unexpected or [key for key in missing if not key.startswith(HEADS)]:
        raise RuntimeError(f"{len(missing)} entries missing, {len(unexpected)} unknown")


def _read_file(path: Path) -> Weights:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state: Weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise EndlineError(
            f"The weights {path} cannot be read: save a plain state dict as .pth or .safetensors."
        ) from error
    return state


def _download(name: str) -> Weights:
    """Torchvision's weights of that name."""
    import torchvision.models  # only here and where a network of torchvision is built: its import takes seconds

    try:
        named = torchvision.models.get_weight(name)
    except ValueError as error:
        raise EndlineError(
            f"No weights {name}: give the path of a state dict, or a name of torchvision's weights."
        ) from error
    try:
        downloaded: Weights = named.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise EndlineError(
            f"The weights {name} could not be downloaded: give `weights` the path of a state dict (.pth "
            "or .safetensors), or take the embedded default backbone efficientnet_lite0."
        ) from error
    return downloaded
