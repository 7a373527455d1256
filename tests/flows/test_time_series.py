"""The flow on time series: inverse, log-determinant, identity at the start, any number of signals."""

import pytest
import torch

from endline.flows.coupling import soft_clamp, unscaled_clamp
from endline.flows.time_series import time_series_flow


def flow(signals: int, *, gamma: bool = False, clamp=soft_clamp, layers: int = 0):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    options = {"blocks": 3, "hidden": 6, "kernel": 7, "dilation": 2, "layers": layers, "alpha": 1.2}
    return time_series_flow(signals, **options, gamma=gamma, clamp=clamp, generator=generator).double()


@pytest.mark.parametrize("signals", [2, 3, 7])
@pytest.mark.parametrize("clamp", [soft_clamp, unscaled_clamp])
@pytest.mark.parametrize("layers", [0, 1])
def test_inverse_and_log_determinant(signals, clamp, layers):
    model = flow(signals, clamp=clamp, layers=layers)
    x = torch.randn(2, signals, 9, dtype=torch.float64)
    z, log_det = model((x,))
    assert (model.inverse(z)[0] - x).abs().max() < 1e-10
    for one in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda v: model((v[None],))[0][0][0], x[one])
        expected = torch.linalg.slogdet(jacobian.reshape(signals * 9, -1))[1]
        assert log_det[one].item() == pytest.approx(expected.item(), abs=1e-9)


def test_it_starts_as_a_permutation():
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    z, log_det = flow(5, gamma=True)((x,))
    assert torch.equal(z[0].sort(1)[0], x.sort(1)[0])
    assert not log_det.any()


def test_the_published_size():
    """130 signals, twice as many hidden, kernels 13 and 1, four blocks: 2.03 million parameters."""
    model = time_series_flow(130, blocks=4, hidden=260, kernel=13, dilation=2, layers=0, alpha=1.2, gamma=False)
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert count == 8 * (260 * 65 * 13 + 260 + 130 * 260 + 130) == 2_031_120
