"""One step of a training, plain and recorded."""

import pytest
import torch
from torch import nn

from endline.compute import Compute
from endline.detectors.training_step import WARM, TrainingStep


def losses(device: str, *, static: bool, precision: str = "float32", clip_norm: float = 1.0) -> list[float]:
    """Losses of steps with full batches, and smaller ones in between; the loss draws too."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 5)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, fused=True)

    def loss(batch):
        noise = 0.1 * torch.randn_like(batch["x"])
        return (model(batch["x"] + noise) - batch["x"]).square().mean()

    step = TrainingStep(loss, optimizer, Compute(device, precision), clip_norm=clip_norm, static=static)
    data = torch.randn(64, 5, generator=torch.Generator().manual_seed(1)).to(device)
    values = []
    torch.manual_seed(2)
    for number in range(4 * WARM):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (number + 1)
        batch = data[number : number + (7 if number % 4 == 3 else 16)]
        values.append(step({"x": batch}).item())
    assert (step.recording is not None) == (static and device == "cuda")
    return values


def test_on_a_cpu_a_static_loss_changes_nothing():
    assert losses("cpu", static=True) == losses("cpu", static=False)


def test_the_norm_of_the_gradient_is_bounded():
    layer = nn.Linear(3, 1, bias=False)
    before = layer.weight.detach().clone()
    step = TrainingStep(
        lambda batch: 1e3 * layer(batch["x"]).mean(),
        torch.optim.SGD(layer.parameters(), 1.0),
        Compute("cpu"),
        clip_norm=0.5,
    )
    step({"x": torch.ones(2, 3)})
    assert (layer.weight - before).norm().item() == pytest.approx(0.5, rel=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_recorded_steps_are_the_plain_ones(precision):
    assert losses("cuda", static=True, precision=precision) == pytest.approx(
        losses("cuda", static=False, precision=precision), rel=1e-3
    )
