import torch

from endline.backbones.networks import Trunk
from endline.detectors.maps.trunks import parameters_below


def test_parameters_below_a_stride_are_those_of_the_layers_up_to_its_map():
    trunk = Trunk("efficientnet_lite0", "random")
    named = dict(trunk.named_parameters())
    blocks = dict.fromkeys((8, 16, 32), 0)
    for stride in blocks:
        below = parameters_below(trunk, stride)
        names = [name for name, each in named.items() if each in below]
        blocks[stride] = max(int(name.split(".")[2]) for name in names if "blocks" in name)
        assert any("stem" in name for name in names)
    assert blocks == {8: 4, 16: 10, 32: 15}
    assert parameters_below(trunk, 32) == set(trunk.parameters())


def test_asking_changes_nothing():
    trunk = Trunk("efficientnet_lite0", "random").train()
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    parameters_below(trunk, 16)
    assert trunk.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trunk.state_dict().items())
    assert all(each.grad is None for each in trunk.parameters())
