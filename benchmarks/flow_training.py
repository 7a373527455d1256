"""How fast the cross-scale flow trains, and which share of the machine's convolution peak it reaches.

The peak is measured in the same run: every convolution of one training step, forward and backward, alone, with the same
shapes, as torch's own convolution. Wide ones go by Winograd, which may pass that peak. Writes
`benchmarks/results/flow_training.csv`. Run: `.venv/bin/python benchmarks/flow_training.py`.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich import print
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from endline.detectors.maps.cs_flow import CSFlow, CSFlowConfig
from endline.detectors.maps.flow_scores import negative_log_likelihood
from endline.detectors.maps.hybrid_flow import HybridFlow, HybridFlowConfig
from endline.detectors.progress import Progress
from endline.feature_set import FeatureSet
from endline.reporting.provenance import git_commit, machine

RESULTS = Path(__file__).parent / "results" / "flow_training.csv"
SHAPES = {"scale_0": (112, 16, 24), "scale_1": (432, 8, 12), "scale_2": (320, 4, 6)}  # hybrid input, Lite0
CASES: dict[str, HybridFlowConfig | CSFlowConfig] = {
    "pooled over time (default)": HybridFlowConfig(),
    "maps, 64 whitened channels, 64 hidden": CSFlowConfig(components=64),
    "maps as published: all channels, 1024 hidden": CSFlowConfig(whiten=False, hidden=1024),
}
KINDS = {
    "convolution": ("conv", "mkldnn"),
    "products": ("mm",),
    "optimizer": ("_foreach", "adam", "lerp", "addcdiv"),
    "upsampling": ("upsample",),
    "copies": ("copy", "cat", "index", "clone", "contiguous", "stack", "narrow", "slice"),
}


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Median time of an action, after one call that warms up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def convolutions(model: nn.Module, forward: Callable[[], object]) -> list[tuple[nn.Conv2d, tuple[int, ...]]]:
    """Every convolution of one forward pass, with the shape of its input."""
    seen: list[tuple[nn.Conv2d, tuple[int, ...]]] = []
    handles = [
        module.register_forward_hook(lambda layer, inputs, _: seen.append((layer, tuple(inputs[0].shape))))
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]
    forward()
    for handle in handles:
        handle.remove()
    return seen


def alone(layer: nn.Conv2d, shape: tuple[int, ...], repeats: int) -> float:
    """Time of one convolution, forward and backward, with the layout that the flow gives it."""
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last).requires_grad_()
    slope = torch.ones_like(layer(x))

    def step() -> None:
        torch.autograd.grad(nn.Conv2d.forward(layer, x), [x, *layer.parameters()], slope)

    return seconds(step, repeats)


def operations(layer: nn.Conv2d, shape: tuple[int, ...]) -> float:
    """Multiplications and additions of forward and backward together."""
    height, width = shape[-2] // layer.stride[0], shape[-1] // layer.stride[1] or 1
    return 3 * 2 * shape[0] * layer.weight.numel() * max(1, height) * max(1, width)


def breakdown(step: Callable[[], object]) -> dict[str, float]:
    """Share of the processor's time in a step, by kind of operation."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        step()
    shares = dict.fromkeys([*KINDS, "elementwise and other"], 0.0)
    for event in record.key_averages():
        name = event.key.lower()
        kind = next(
            (kind for kind, words in KINDS.items() if any(word in name for word in words)), "elementwise and other"
        )
        shares[kind] += event.self_cpu_time_total
    total = sum(shares.values())
    return {f"share_{kind}": round(value / total, 3) for kind, value in shares.items()}


def measure(name: str, config: HybridFlowConfig | CSFlowConfig) -> dict[str, object]:
    """One row of the table."""
    rng = np.random.default_rng(0)
    samples, batch_size = 32, config.batch_size
    arrays = {key: rng.standard_normal((samples, *shape)).astype(np.float16) for key, shape in SHAPES.items()}
    data = FeatureSet(arrays, key="benchmark")
    detector: HybridFlow | CSFlow
    if isinstance(config, HybridFlowConfig):
        detector = HybridFlow(replace(config, epochs=1))
        detector.fit(data, seed=0, progress=Progress())
        pooled = detector.model
        # The epochs start from whitened vectors.
        vectors = pooled.whitening(pooled.vectors(data.read(np.arange(batch_size)))).detach()
        forward: Callable[[], Tensor] = lambda: negative_log_likelihood(pooled.flow, pooled.split(vectors)).mean()  # noqa: E731
    else:
        detector = CSFlow(replace(config, epochs=1))
        detector.fit(data, seed=0, progress=Progress())
        forward = lambda: detector.loss(data.read(np.arange(batch_size)))  # noqa: E731
    model = detector.model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-6, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        forward().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    repeats = 3 if config.hidden > 256 else 10
    whole = seconds(step, repeats)
    calls = convolutions(model, forward)
    known: dict[tuple[object, ...], float] = {}
    for layer, shape in calls:
        key = (tuple(layer.weight.shape), layer.stride, shape)
        if key not in known:
            known[key] = alone(layer, shape, repeats)
    convolution = sum(known[tuple(layer.weight.shape), layer.stride, shape] for layer, shape in calls)
    work = sum(operations(layer, shape) for layer, shape in calls)
    return {
        "case": name,
        "batch": batch_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds_a_step": round(whole, 4),
        "convolutions_alone_seconds": round(convolution, 4),
        "share_of_convolution_peak": round(convolution / whole, 3),
        "gflop_a_step": round(work / 1e9, 2),
        "gflops": round(work / whole / 1e9, 1),
        "gflops_of_convolutions_alone": round(work / convolution / 1e9, 1),
        **breakdown(step),
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "torch": torch.__version__,
        "commit": git_commit(),
    }


def main() -> None:
    """Measure all cases and write the table."""
    table = pd.DataFrame([measure(name, config) for name, config in CASES.items()])
    RESULTS.parent.mkdir(exist_ok=True)
    table.to_csv(RESULTS, index=False)
    print(table.T.to_string())


if __name__ == "__main__":
    main()
