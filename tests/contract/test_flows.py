"""The contract of every flow (inverse, determinant, likelihood, start, gradients), and of the whitening."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from torch import Tensor, nn

from endline.flows.base import Flow, Maps
from endline.flows.coupling import CouplingBlock, CouplingFlow, soft_clamp, tanh_clamp
from endline.flows.cross_scale import cross_scale_flow
from endline.flows.position import position_code
from endline.flows.subnets import ConvSubnet
from endline.flows.time_series import time_series_flow
from endline.flows.whitening import ShrunkWhitening, Whitening, ledoit_wolf_share


class Apart(nn.Module):
    """A layer a scale, no exchange."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Maps) -> Maps:
        return tuple(layer(scale) for layer, scale in zip(self.layers, x, strict=True))


def linear(inputs: Sequence[int], outputs: Sequence[int]) -> nn.Module:
    return Apart([nn.Linear(a, b) for a, b in zip(inputs, outputs, strict=True)])


def conv(inputs: Sequence[int], outputs: Sequence[int]) -> nn.Module:
    return Apart([nn.Conv2d(a, b, 3, padding=1) for a, b in zip(inputs, outputs, strict=True)])


def block(channels, subnet, **options):
    return lambda seed: CouplingBlock(
        channels, subnet, alpha=2.0, generator=torch.Generator().manual_seed(seed), **options
    )


def stacked(channels, subnet):
    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        return CouplingFlow([CouplingBlock(channels, subnet, alpha=2.0, generator=generator) for _ in range(3)])

    return make


def cross(channels, kernels=((3, 3), (5, 5))):
    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        return cross_scale_flow(channels, kernels=kernels, hidden=4, alpha=3.0, generator=generator)

    return make


def series(signals, layers=0):
    """MTS-Flow's."""
    options = {"blocks": 2, "hidden": 6, "kernel": 7, "dilation": 2, "layers": layers, "alpha": 1.2}
    return lambda seed: time_series_flow(signals, **options, generator=torch.Generator().manual_seed(seed))


class Placed(Flow):
    """A conditional flow, given the position code of one scale of a size."""

    def __init__(self, flow: CouplingFlow, code: Tensor) -> None:
        super().__init__()
        self.flow = flow
        self.register_buffer("code", code[None])

    def forward(self, x: Maps, condition: Maps | None = None) -> tuple[Maps, Tensor]:
        return self.flow(x, (self.code,))

    def inverse(self, z: Maps, condition: Maps | None = None) -> Maps:
        return self.flow.inverse(z, (self.code,))


def plain(channels, kernels, **options):
    """FastFlow's: convolutions of each scale by itself."""

    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        blocks = [
            CouplingBlock(
                channels,
                lambda ins, outs, kernel=kernel: ConvSubnet(ins, outs, [4] * len(ins), kernel),
                alpha=1.9,
                generator=generator,
                **options,
            )
            for kernel in kernels
        ]
        return CouplingFlow(blocks)

    return make


def placed(shape, kernels, *, padding="zeros", clamp=soft_clamp):
    """AST's teacher, and CFLOW's decoder with kernels of 1 and another clamp."""

    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        blocks = [
            CouplingBlock(
                shape[:1],
                lambda ins, outs, kernel=kernel: ConvSubnet(ins, outs, [5], kernel, condition=8, padding=padding),
                alpha=1.9,
                clamp=clamp,
                generator=generator,
            )
            for kernel in kernels
        ]
        return Placed(CouplingFlow(blocks), position_code(8, *shape[1:]))

    return make


# A tensor that a flow makes on the CPU by mistake fails on `meta` too, which every machine has.
DEVICES = ("meta", "cuda") if torch.cuda.is_available() else ("meta",)

# name -> (makes the flow from the seed of its permutations, shape of one sample a scale)
FLOWS: dict[str, tuple[Callable[[int], Flow], list[tuple[int, ...]]]] = {
    "linear, 1 scale": (block([5], linear), [(5,)]),
    "linear, 2 scales": (block([4, 7], linear), [(4,), (7,)]),
    "linear, 3 scales": (block([2, 3, 6], linear), [(2,), (3,), (6,)]),
    "linear, no gamma": (block([5], linear, gamma=False), [(5,)]),
    "linear, 3 blocks": (stacked([6], linear), [(6,)]),
    "conv, 1 scale": (block([3], conv), [(3, 2, 3)]),
    "conv, 2 scales": (block([4, 3], conv), [(4, 3, 2), (3, 2, 2)]),
    "conv, 3 scales": (stacked([2, 3, 4], conv), [(2, 4, 2), (3, 2, 1), (4, 1, 1)]),
    "cross-scale, 1 scale": (cross([5]), [(5, 2, 3)]),
    "cross-scale, 2 scales": (cross([2, 5]), [(2, 4, 2), (5, 2, 1)]),
    "cross-scale, 3 scales": (cross([3, 5, 2]), [(3, 4, 4), (5, 2, 2), (2, 1, 1)]),
    "cross-scale, odd sizes": (cross([2, 3, 2], ((3, 3),)), [(2, 5, 3), (3, 3, 2), (2, 2, 1)]),
    "time series": (series(3), [(3, 30)]),
    "time series, layers": (series(4, layers=1), [(4, 9)]),
    "cross-scale, columns": (cross([2, 3], ((3, 1), (5, 1))), [(2, 4, 1), (3, 2, 1)]),
    "plain, kernels by turns": (plain([5], (3, 1)), [(5, 3, 2)]),
    "plain, 2 scales": (plain([3, 2], (1, 3)), [(3, 2, 2), (2, 3, 1)]),
    "placed, replicate padding": (placed((5, 3, 3), (3, 5), padding="replicate"), [(5, 3, 3)]),
    "placed, vectors": (placed((5, 2, 3), (1, 1, 1), clamp=tanh_clamp), [(5, 2, 3)]),
    "placed, one vector": (placed((4, 1, 1), (1, 1), clamp=tanh_clamp), [(4, 1, 1)]),
}


@pytest.fixture(params=list(FLOWS))
def case(request):
    return FLOWS[request.param]


def ready(make: Callable[[int], Flow], randomise: bool = True) -> Flow:
    """Flow in float64; randomised, so that no gamma hides what the subnets do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flow = make(0).double()
        if randomise:
            with torch.no_grad():
                for parameter in flow.parameters():
                    parameter.copy_(torch.randn_like(parameter) * 0.5)
    return flow


def data(shapes: Sequence[tuple[int, ...]], batch: int = 3) -> Maps:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(batch, *shape, dtype=torch.float64, generator=generator) for shape in shapes)


def test_inverse_undoes_forward_and_forward_inverse(case):
    make, shapes = case
    flow, x = ready(make), data(shapes)
    z, log_det = flow(x)
    assert [scale.shape for scale in z] == [scale.shape for scale in x]
    assert log_det.shape == (3,)
    assert max((a - b).abs().max() for a, b in zip(z, x, strict=True)) > 0.1  # it does something
    for again, scale in zip(flow.inverse(z), x, strict=True):
        torch.testing.assert_close(again, scale, rtol=0, atol=1e-10)
    for again, scale in zip(flow(flow.inverse(x))[0], x, strict=True):
        torch.testing.assert_close(again, scale, rtol=0, atol=1e-10)


def test_log_det_is_that_of_autograd(case):
    make, shapes = case
    flow, x = ready(make), data(shapes, batch=2)

    def flat(vector: Tensor) -> Tensor:
        parts = vector.split([math.prod(shape) for shape in shapes])
        z, _ = flow(tuple(part.view(1, *shape) for part, shape in zip(parts, shapes, strict=True)))
        return torch.cat([scale.flatten() for scale in z])

    _, log_det = flow(x)
    assert log_det.abs().min() > 1e-3
    for sample in range(2):
        jacobian = torch.autograd.functional.jacobian(flat, torch.cat([scale[sample].flatten() for scale in x]))
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(log_det[sample], expected, rtol=0, atol=1e-9)


def test_log_prob_is_the_normal_density_of_z_plus_log_det(case):
    make, shapes = case
    flow, x = ready(make), data(shapes)
    z, log_det = flow(x)
    normal = torch.distributions.Normal(torch.zeros(1, dtype=torch.float64), 1.0)
    expected = sum(normal.log_prob(scale).flatten(1).sum(1) for scale in z) + log_det
    torch.testing.assert_close(flow.log_prob(x), expected, rtol=1e-12, atol=1e-10)


def test_it_starts_as_the_identity_up_to_permutations(case):
    make, shapes = case
    flow, x = ready(make, randomise=False), data(shapes)
    if all(block.gamma is None for block in flow.modules() if isinstance(block, CouplingBlock)):
        pytest.skip("without gamma it starts anywhere")
    z, log_det = flow(x)
    assert not log_det.any()
    for after, before in zip(z, x, strict=True):
        assert torch.equal(after.sort(dim=1).values, before.sort(dim=1).values)


@pytest.mark.parametrize("device", DEVICES)
def test_every_tensor_is_made_on_the_device_of_the_input(case, device):
    make, shapes = case
    flow = make(0).float().to(device)
    x = tuple(scale.float().to(device) for scale in data(shapes))
    flow.log_prob(x).sum().backward()
    assert {each.grad.device.type for each in flow.parameters() if each.grad is not None} == {device}
    assert [scale.shape for scale in flow.inverse(flow(x)[0])] == [scale.shape for scale in x]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_what_the_cpu_gives(case):
    make, shapes = case
    flow, x = ready(make), data(shapes)
    expected = flow.log_prob(x)
    found = flow.to("cuda").log_prob(tuple(scale.to("cuda") for scale in x)).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-8)


def test_gradients_reach_every_parameter(case):
    make, shapes = case
    flow = ready(make)
    flow.log_prob(data(shapes)).sum().backward()
    wanted = [(name, each) for name, each in flow.named_parameters() if each.requires_grad]
    assert wanted
    assert [name for name, each in wanted if each.grad is None or not each.grad.any()] == []


def test_eval_mode_changes_nothing(case):
    make, shapes = case
    flow, x = ready(make), data(shapes)
    assert torch.equal(flow.train().log_prob(x), flow.eval().log_prob(x))


def test_a_loaded_state_gives_the_same_result_permutations_included(case):
    make, shapes = case
    flow, x, other = ready(make), data(shapes), make(7).double()
    assert not torch.equal(other.log_prob(x), flow.log_prob(x))
    other.load_state_dict(flow.state_dict())
    assert torch.equal(other.log_prob(x), flow.log_prob(x))
    for again, scale in zip(other.inverse(flow(x)[0]), x, strict=True):
        torch.testing.assert_close(again, scale, rtol=0, atol=1e-10)


def test_the_generator_alone_draws_the_permutations(case):
    make, _ = case

    def permutations(seed: int) -> list[Tensor]:
        torch.manual_seed(len(drawn))
        drawn.append(seed)
        return [tensor for name, tensor in make(seed).state_dict().items() if "permutation" in name]

    drawn: list[int] = []
    first, again = permutations(3), permutations(3)
    others = [permutations(seed) for seed in range(4, 9)]
    assert first
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def test_extreme_data_stay_finite_both_ways(case):
    make, shapes = case
    flow = ready(make)
    x = tuple(1e3 * scale for scale in data(shapes))
    assert flow.log_prob(x).isfinite().all()
    assert all(scale.isfinite().all() for scale in flow.inverse(x))


def test_the_memory_format_changes_nothing(case):
    make, shapes = case
    if any(len(shape) != 3 for shape in shapes):
        pytest.skip("vectors have one format")
    flow, x = ready(make), data(shapes)
    last = tuple(scale.contiguous(memory_format=torch.channels_last).requires_grad_() for scale in x)
    first = tuple(scale.clone().requires_grad_() for scale in x)
    found, expected = flow.log_prob(last), flow.log_prob(first)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-10)
    for a, b in zip(torch.autograd.grad(found.sum(), last), torch.autograd.grad(expected.sum(), first), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_channels_stay_last_in_memory():
    """Otherwise each convolution would reorder its input: the flow would be right, and slow."""
    flow = cross([8, 6])(0).to(memory_format=torch.channels_last)
    shapes = [(8, 4, 4), (6, 2, 2)]
    x = tuple(scale.float().contiguous(memory_format=torch.channels_last) for scale in data(shapes))
    for block in flow.blocks:
        for scale, z in enumerate(block(x)[0]):
            assert z.is_contiguous(memory_format=torch.channels_last)
            for half in block._permuted_halves(x[scale], scale):
                assert half.is_contiguous(memory_format=torch.channels_last)


def test_log_det_by_position_is_that_of_each_position():
    flow = ready(placed((5, 2, 3), (1, 1), clamp=tanh_clamp))
    (x,) = data([(5, 2, 3)])
    _, (changes,) = flow.flow.by_position((x,), (flow.code,))
    assert changes.shape == (3, 2, 3)
    torch.testing.assert_close(changes.sum((1, 2)), flow((x,))[1], rtol=0, atol=1e-12)
    _, alone = flow.flow((x[:, :, 1:, 2:],), (flow.code[:, :, 1:, 2:],))  # kernels of 1 see a position by itself
    torch.testing.assert_close(changes[:, 1, 2], alone, rtol=0, atol=1e-12)


def test_the_condition_changes_the_latents():
    flow = ready(placed((5, 2, 3), (3,)))
    x = data([(5, 2, 3)])
    (z,), _ = flow.flow(x, (flow.code,))
    (other,), _ = flow.flow(x, (flow.code.flip(3),))
    assert (z - other).abs().max() > 1e-3
    (same,), _ = flow.flow(x, (flow.code.expand(3, -1, -1, -1),))  # one for all, or one each
    torch.testing.assert_close(same, z, rtol=0, atol=1e-12)


def test_tanh_clamp_bounds_the_log_scale_and_leaves_small_ones():
    s = torch.tensor([-1e9, -1.0, 0.0, 1e-6, 1e9], dtype=torch.float64)
    expected = torch.tensor([-1.9, -1.9 * math.tanh(1 / 1.9), 0.0, 1e-6, 1.9], dtype=torch.float64)
    torch.testing.assert_close(tanh_clamp(s, 1.9), expected, rtol=1e-9, atol=0)


def test_the_second_half_transforms_the_first_and_then_the_first_the_second():
    """Two channels, permuted to (1, 0); by hand with constant subnets [s, t]."""
    block = CouplingBlock([2], linear, alpha=2.0, gamma=False).double()
    block.permutation_0.copy_(torch.tensor([1, 0]))
    block.unpermutation_0.copy_(torch.tensor([1, 0]))
    with torch.no_grad():
        for subnet, bias in ((block.second_to_first, [0.5, -1.0]), (block.first_to_second, [1.0, 0.25])):
            subnet.layers[0].weight.zero_()
            subnet.layers[0].weight[1] = 1.0  # t is what the other half shows, plus its bias
            subnet.layers[0].bias.copy_(torch.tensor(bias))
    (z,), log_det = block((torch.tensor([[3.0, 5.0]], dtype=torch.float64),))
    s, r = (4 / math.pi) * math.atan(0.25), (4 / math.pi) * math.atan(0.5)
    first = 5 * math.exp(s) + 3 - 1.0
    assert z.tolist()[0] == pytest.approx([first, 3 * math.exp(r) + first + 0.25])
    assert log_det.item() == pytest.approx(s + r)


def test_soft_clamp_bounds_the_log_scale_and_leaves_small_ones():
    s = torch.tensor([-1e9, -1.0, 0.0, 1e-6, 1e9], dtype=torch.float64)
    clamped = soft_clamp(s, 2.0)
    assert clamped.abs().max() <= 2.0
    assert clamped[2] == 0
    assert clamped[3] == pytest.approx(2 / math.pi * 1e-6)
    assert clamped[1] == pytest.approx(-(4 / math.pi) * math.atan(0.5))


def test_a_single_channel_cannot_be_halved():
    with pytest.raises(ValueError, match=r"each scale needs at least 2, got \[4, 1\]"):
        CouplingBlock([4, 1], linear, alpha=2.0)


def test_scales_exchange_with_their_neighbours_alone():
    flow = ready(cross([4, 4, 4], ((1, 1),)))
    x = data([(4, 8, 8), (4, 4, 4), (4, 2, 2)], batch=1)
    changed = (x[0], x[1], x[2] + 1.0)
    subnet = flow.blocks[0].second_to_first
    second = [tuple(scale[:, 2:] for scale in maps) for maps in (x, changed)]
    finest, middle, coarsest = (
        not torch.equal(a, b) for a, b in zip(subnet(second[0]), subnet(second[1]), strict=True)
    )
    assert (finest, middle, coarsest) == (False, True, True)


def vectors(count: int = 400, channels: int = 6) -> Tensor:
    """Correlated vectors far from zero, (count, channels)."""
    generator = torch.Generator().manual_seed(2)
    mixing = torch.randn(channels, channels, generator=generator)
    return torch.randn(count, channels, generator=generator) @ mixing + 20.0


def whitening(batches: Sequence[Tensor], components: int | None = None) -> Whitening:
    channels = batches[0].shape[1]
    fitted = Whitening(channels, components or channels)
    fitted.fit(iter(batches))
    return fitted


def test_whitened_vectors_have_mean_zero_and_unit_covariance():
    y = whitening([vectors()])(vectors()).double()
    torch.testing.assert_close(y.mean(0), torch.zeros(6).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(y.T @ y / len(y), torch.eye(6).double(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_whitening_is_fitted_on_the_device_of_the_data(device):
    fitted = Whitening(6, 4).to(device)
    fitted.fit(batch.to(device) for batch in vectors().split(100))
    assert fitted(vectors().to(device)).device.type == device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_whitenings_fitted_on_a_gpu_are_those_of_the_cpu():
    x = vectors()
    maps, shrinks = Whitening(6, 6).to("cuda"), ShrunkWhitening(6, len(x)).to("cuda")
    maps.fit([x.to("cuda")])
    shrinks.fit(x.to("cuda"))
    with torch.autocast("cuda", torch.bfloat16):  # whitening stays in full precision
        found = maps(x.to("cuda")).cpu(), shrinks(x.to("cuda")).cpu()
    torch.testing.assert_close(found[0].abs(), whitening([x])(x).abs(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[1], shrunk(x)(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("components", [1, 4, 6])
def test_whitening_is_that_of_principal_components(components):
    x = vectors()
    expected = PCA(components, whiten=True).fit_transform(x.double().numpy()) * math.sqrt(len(x) / (len(x) - 1))
    found = whitening([x], components)(x).numpy()
    assert found.shape == (len(x), components)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3)  # the sign of a component is free


def test_maps_are_whitened_position_by_position():
    maps = vectors(400).view(10, 5, 8, 6).permute(0, 3, 1, 2)  # (10, 6, 5, 8)
    fitted = whitening([maps])
    torch.testing.assert_close(
        fitted.projection.abs(), whitening([vectors(400)]).projection.abs(), rtol=1e-3, atol=1e-4
    )
    y = fitted(maps)
    assert y.shape == maps.shape
    torch.testing.assert_close(y[3, :, 2, 7], fitted(maps[3, :, 2, 7][None])[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [1, 7, 399])
def test_batches_in_any_split_give_the_same_whitening(size):
    x = vectors()
    whole, split = whitening([x]), whitening(x.split(size))
    torch.testing.assert_close(split.mean, whole.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(split(x).abs(), whole(x).abs(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("case", ["one constant", "all constant", "a single vector"])
def test_constant_channels_stay_finite(case):
    x = vectors()
    if case == "one constant":
        x[:, 2] = 5.0
    elif case == "all constant":
        x[:] = x[0]
    else:
        x = x[:1]
    fitted = whitening([x])
    y = fitted(x)
    assert y.isfinite().all()
    assert fitted(x + 1e-3).isfinite().all()
    if case == "one constant":  # what varies is whitened all the same
        assert y[:, :5].var(0, correction=0).sub(1).abs().max() < 1e-3


@pytest.mark.parametrize("components", [0, 7])
def test_components_lie_between_one_and_the_channels(components):
    with pytest.raises(ValueError, match=f"between 1 and 6, got {components}"):
        Whitening(6, components)


def few(samples: int = 12, dimensions: int = 30) -> Tensor:
    """Fewer vectors than dimensions, (samples, dimensions), some directions far wider than others."""
    generator = torch.Generator().manual_seed(3)
    widths = torch.linspace(5.0, 0.1, dimensions)
    return torch.randn(samples, dimensions, generator=generator) * widths + 7.0


def shrunk(x: Tensor, components: int = 0) -> ShrunkWhitening:
    fitted = ShrunkWhitening(x.shape[1], len(x), components)
    fitted.fit(x)
    return fitted


@pytest.mark.parametrize(("samples", "dimensions"), [(12, 30), (30, 12), (5, 5), (3, 200)])
def test_shrunk_whitening_has_the_share_and_the_distance_of_ledoit_and_wolf(samples, dimensions):
    x = few(samples, dimensions)
    covariance, share = ledoit_wolf(x.double().numpy())
    centred = x.double() - x.double().mean(0)
    assert ledoit_wolf_share(centred @ centred.T, dimensions) == pytest.approx(share, abs=1e-9)
    y = few(20, dimensions).flip(0) + 1.0
    away = (y.double() - x.double().mean(0)).numpy()
    expected = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    np.testing.assert_allclose(shrunk(x)(y).double().square().sum(1), expected, rtol=2e-3)


def test_shrunk_whitening_keeps_every_coordinate_in_its_place():
    x = few()
    covariance, _ = ledoit_wolf(x.double().numpy())
    values, basis = np.linalg.eigh(covariance)
    root = basis @ np.diag(values**-0.5) @ basis.T
    expected = (x.double() - x.double().mean(0)).numpy() @ root
    np.testing.assert_allclose(shrunk(x)(x).numpy(), expected, atol=2e-3)


def test_components_of_shrunk_whitening_are_the_widest_directions():
    x = few()
    kept = shrunk(x, components=3)
    assert kept.directions.shape == (3, 30)
    basis = PCA(3).fit(x.double().numpy()).components_
    np.testing.assert_allclose(np.abs(kept.directions.numpy() @ basis.T), np.eye(3), atol=1e-4)


@pytest.mark.parametrize("case", ["equal samples", "one constant", "two samples"])
def test_shrunk_whitening_of_constant_input_stays_finite(case):
    x = few()
    if case == "equal samples":
        x = x[:1].repeat(12, 1)
    elif case == "one constant":
        x[:, 4] = 1.0
    else:
        x = x[:2]
    fitted = shrunk(x)
    assert fitted(x).isfinite().all()
    assert fitted(few(4)).isfinite().all()
