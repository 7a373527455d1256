"""One training step of the published systems at their published sizes, in seconds, on a CPU or a GPU.

The steps are those of the one training loop with the settings of `conf/paper`, on a random batch of the published
shapes that stays on the device: reading features is not what is measured. Beside it stands the time of the step's
convolutions and dense layers alone, with the same shapes, as torch's own: their ratio compares machines. Beyond 1 it
means that the step is faster than they are: by Winograd's way on a CPU, by a recorded step on a GPU, where small layers
alone wait for Python, as they do in a plain step. Writes
`benchmarks/results/published_steps.csv`. Run on an idle machine:
`.venv/bin/python benchmarks/published_steps.py --device=cpu --precision=float32 [differnet cs_flow ast ...]`.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from endline.compute import Compute
from endline.detectors.base import Detector
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.feature_set import Batch, FeatureSet
from endline.flows.time_series import TimeSubnet
from endline.reporting.provenance import git_commit, machine

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/published_steps.csv"
SAME = ["detector", "step", "device", "precision"]  # of a row that is measured anew
EPOCHS = {"cpu": 4, "cuda": 6}  # the first warms up
STEPS = {"cpu": 1, "cuda": 10}  # of an epoch


@dataclass(frozen=True)
class Case:
    """A published step.

    Attributes:
        detector: its name in the parameters.
        shapes: of one sample's arrays.
        changes: settings beside those of `conf/paper`.
        losses: method of the detector that gives the loss, by the name of what the step trains.
    """

    detector: str
    shapes: dict[str, tuple[int, ...]]
    changes: dict[str, int] = field(default_factory=dict)
    losses: dict[str, str] = field(default_factory=lambda: {"flow": "loss"})


CASES = (
    # 24 photographs with 4 views each are the batch of 96.
    Case("differnet", {"views": (8, 768)}, {"map_views": 0}),
    Case("cs_flow", {"scale_0": (304, 24, 24), "scale_1": (304, 12, 12), "scale_2": (304, 6, 6)}),
    Case("ast", {"scale_0": (304, 24, 24)}, {"batch_size": 8}, {"teacher": "teacher_loss", "student": "loss"}),
    # All vectors of a photograph of 256 x 256 through WideResNet50-2.
    Case("cflow", {"scale_0": (512, 32, 32), "scale_1": (1024, 16, 16), "scale_2": (2048, 8, 8)}),
    Case("mts_flow", {"cycle": (130, 1200), "valid": (1200,)}),
)


@dataclass(frozen=True)
class Layer:
    """A convolution or dense layer as a step uses it: what torch's own needs to repeat it.

    Attributes:
        weight: shape of the weight; of two dimensions for a dense layer.
        bias: whether there is one.
        x: shape of the input.
        input_slope: whether the step computes the gradient to the input.
        slopes: whether it computes gradients at all.
        stride: of a convolution; so are the others.
        padding: zeros on either side; borders that are repeated take no longer.
        dilation: distance of what the kernel sees.
    """

    weight: tuple[int, ...]
    bias: bool
    x: tuple[int, ...]
    input_slope: bool
    slopes: bool
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()


def layer_of(module: nn.Module, x: Tensor) -> Layer:
    """The layer of a module that is given x."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    layer = Layer(
        tuple(weight.shape), module.bias is not None, tuple(x.shape), x.requires_grad, torch.is_grad_enabled()
    )
    if isinstance(module, nn.Linear):
        return layer
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    assert isinstance(module.padding, tuple)
    return replace(layer, stride=module.stride, padding=module.padding, dilation=module.dilation)


def layers_of_time_subnet(subnet: TimeSubnet, x: Tensor) -> list[Layer]:
    """Its layers, which pass tiles to each other on a CPU, as torch's convolutions along time."""
    layers = []
    (batch, _, steps), slope, slopes = x.shape, x.requires_grad, torch.is_grad_enabled()
    for module in (subnet.look, *subnet.between, subnet.leave):
        assert isinstance(module, nn.Conv1d | nn.Linear)
        weight = (*module.weight.shape, 1)[:3]
        dilation = module.dilation if isinstance(module, nn.Conv1d) else (1,)
        padding = (weight[2] // 2 * dilation[0],)
        layers.append(Layer(weight, True, (batch, weight[1], steps), slope, slopes, (1,), padding, dilation))
        slope = slopes
    return layers


def layers_of_step(model: nn.Module, forward: Callable[[], object]) -> list[Layer]:
    """Every convolution and dense layer of one forward pass."""
    layers: list[Layer] = []

    def seen(module: nn.Module, inputs: tuple[Any, ...], _: object) -> None:
        if isinstance(module, TimeSubnet):
            layers.extend(layers_of_time_subnet(module, inputs[0][0]))
        else:
            layers.append(layer_of(module, inputs[0]))

    within = {id(each) for module in model.modules() if isinstance(module, TimeSubnet) for each in module.children()}
    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear, TimeSubnet)
    modules = [module for module in model.modules() if isinstance(module, kinds) and id(module) not in within]
    handles = [module.register_forward_hook(seen) for module in modules]
    forward()
    for handle in handles:
        handle.remove()
    return layers


def seconds_alone(layer: Layer, device: torch.device) -> float:
    """Median time of a layer, forward and what the step needs of backward, as torch's own."""
    weight = torch.randn(layer.weight, device=device, requires_grad=True)
    bias = torch.randn(layer.weight[0], device=device, requires_grad=True) if layer.bias else None
    x = torch.randn(layer.x, device=device)
    if x.ndim == 4:  # as the flows lay them
        x = x.contiguous(memory_format=torch.channels_last)
        weight = weight.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    x.requires_grad_(layer.input_slope)
    dimensions = len(layer.weight) - 2
    convolve = (functional.linear, functional.conv1d, functional.conv2d)[dimensions]
    options = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation} if dimensions else {}
    leaves = [each for each in (x, weight, bias) if each is not None and each.requires_grad]

    def step() -> None:
        with torch.set_grad_enabled(layer.slopes):
            y = convolve(x, weight, bias, **options)
        if layer.slopes:
            torch.autograd.grad(y, leaves, torch.ones_like(y))

    return seconds(step, device, repeats=20 if device.type == "cuda" else 3)


def seconds(action: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median time of an action after two that warm up; on a GPU the mean of `repeats`, which hide the launches."""
    for _ in range(2):
        action()
    wait(device)
    times = [time.perf_counter()]
    for _ in range(repeats):
        action()
        if device.type == "cpu":
            times.append(time.perf_counter())
    wait(device)
    if device.type == "cpu":
        return statistics.median(np.diff(times).tolist())
    return (time.perf_counter() - times[0]) / repeats


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def kept_batches() -> Iterator[None]:
    """Let every batch be read once and stay on its device."""
    kept: dict[object, Batch] = {}
    read = FeatureSet.read

    def once(features: FeatureSet, rows: Any = None) -> Batch:
        key = (str(features.device), str(features.shapes), len(features) if rows is None else len(rows))
        if key not in kept:
            kept[key] = read(features, rows)
        return kept[key]

    with patch.object(FeatureSet, "read", once):
        yield


def samples(case: Case, size: int, count: int) -> FeatureSet:
    """`count` samples of the case, of which `size` differ."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal((size, *shape)).astype(np.float16) for name, shape in case.shapes.items()}
    if "valid" in arrays:
        arrays["valid"][:] = 1
    rows = np.arange(count) % size
    return FeatureSet(arrays, key="benchmark", rows=rows)


def measure(case: Case, compute: Compute) -> list[dict[str, object]]:
    """Rows of a case: a step of each training."""
    device = compute.torch_device
    settings = yaml.safe_load((ROOT / "conf/paper/parameters/detectors.yml").read_text())["detectors"][case.detector]
    epochs = {name: EPOCHS[device.type] for name in ("epochs", "teacher_epochs") if name in settings}
    changed = {case.detector: settings | epochs | case.changes}
    detector = build_detector(case.detector, changed, compute=compute)
    size = int(detector.config.batch_size)
    steps = max(STEPS[device.type], -(-2 // size))  # a fit needs two samples
    features = samples(case, size, size * steps)
    ends: list[list[float]] = []

    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        wait(device)
        if epoch == 1:
            ends.append([])
        ends[-1].append(time.perf_counter())

    with kept_batches():
        detector.fit(features, seed=0, progress=Progress(on_epoch=on_epoch))
    batch = features.take(range(size)).to(device).read()
    rows: list[dict[str, object]] = []
    for (step, loss), times in zip(case.losses.items(), ends, strict=True):
        whole = statistics.median(np.diff(times).tolist()) / steps
        alone = seconds_of_layers(detector, loss, batch, compute)
        rows.append(
            {
                "detector": case.detector,
                "step": step,
                "batch": size * int(getattr(detector.config, "views_per_step", 1)),
                "parameters": sum(each.numel() for each in detector.model.parameters()),
                "seconds_a_step": float(f"{whole:.3g}"),
                "layers_alone_seconds": float(f"{alone:.3g}"),
                "share_of_convolution_peak": round(alone / whole, 2),
                "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
                "precision": compute.precision if device.type == "cuda" else "float32",
                "threads": torch.get_num_threads(),
                "machine": machine(),
                "torch": torch.__version__,
                "commit": git_commit(),
            }
        )
    return rows


def seconds_of_layers(detector: Detector[Any], loss: str, batch: Batch, compute: Compute) -> float:
    """Seconds of the convolutions and dense layers of a step, each alone."""
    detector.model.train().requires_grad_(True)
    with compute.active():
        layers = layers_of_step(detector.model, lambda: getattr(detector, loss)(batch))
        each = {layer: seconds_alone(layer, compute.torch_device) for layer in set(layers)}
    return sum(each[layer] for layer in layers)


def main() -> None:
    """Measure the named cases, all by default, and write them over their rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="detector", help=", ".join(case.detector for case in CASES))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="float32", help="float32, tf32 or bf16, of a GPU")
    parser.add_argument("--results", type=Path, default=RESULTS, help="table that is written")
    chosen = parser.parse_args()
    compute = Compute(chosen.device, chosen.precision)
    wanted = chosen.cases or [case.detector for case in CASES]
    table = pd.DataFrame([row for case in CASES if case.detector in wanted for row in measure(case, compute)])
    print(table.iloc[:, :9].to_string(index=False))
    if chosen.results.exists():
        old = pd.read_csv(chosen.results)
        table = pd.concat([old, table], ignore_index=True).drop_duplicates(SAME, keep="last")
    chosen.results.parent.mkdir(exist_ok=True)
    table.to_csv(chosen.results, index=False)


if __name__ == "__main__":
    main()
