"""The contract of every detector: found by itself, so that a new method is tested as soon as its file exists."""

import inspect
import json
import math
import pkgutil
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.config import OmegaConfigLoader
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import endline.detectors
from endline.compute import CPU, Compute
from endline.detectors.base import Detector, type_path
from endline.detectors.fitting import History
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector, load_detector
from endline.detectors.scored import Scored
from endline.detectors.training_step import TrainingStep
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SHAPES = {
    **{"scale_0": (6, 8, 12), "scale_1": (10, 4, 6), "scale_2": (5, 2, 3)},
    **{"views": (4, 960), "image": (3, 128, 128)},  # pooled cross_scale features of EfficientNet-Lite0; its least size
    **{"cycle": (5, 40), "valid": (40,)},
    **{"log_mel": (64, 80), "log_mel_long": (64, 80), "stack": (158, 20), "spectrum": (256,), "section": (1,)},
    **{"stft": (1, 64, 64), "stft_shifted": (2, 64, 64)},
    **{"depth": (1, 48, 48), "depth_mask": (1, 48, 48)},
}
SMALL = {
    "epochs": 3,
    "teacher_epochs": 3,
    "min_steps": 0,
    "hidden": 8,
    "components": 4,
    "blocks": 2,
    "batch_size": 6,
    "trees": 20,
}
SMALL |= {"windows": 8, "patches": 2, "autoencoder_epochs": 3, "mobilenet_epochs": 3}
SMALL |= {"autoencoder_min_steps": 0, "mobilenet_min_steps": 0, "autoencoder_batch_size": 6, "mobilenet_batch_size": 6}
SMALL |= {"search_steps": 2, "kernels": 20, "iterations": 3}
SMALL |= {"size": 64, "map_views": 2, "student_blocks": 2, "student_hidden": 8, "downsampling": 2}
SMALL |= {"side": 32, "layers": 8, "gan_epochs": 3, "depth_channels": 2}
# One step a training, where a test asks nothing of what is learned: all twelve samples at once.
BRIEF = {"epochs": 1, "batch_size": 12}
# Classifiers from random weights, which a few steps teach nothing: their own tests ask it of a longer fit.
UNTAUGHT = ("SectionClassifier",)
CONF = Path(__file__).parents[2] / "conf"


def detector_classes() -> list[type[Detector]]:
    for module in pkgutil.walk_packages(endline.detectors.__path__, "endline.detectors."):
        import_module(module.name)
    found, waiting = set(), [Detector]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found |= {cls for cls in below if cls.__module__.startswith("endline.") and not inspect.isabstract(cls)}
    return sorted(found, key=type_path)


def configured() -> dict[str, dict]:
    """Settings of all detectors in conf/base, and as `paper: <name>` those that conf/paper changes."""
    soft = {"merge_strategy": {"parameters": "soft"}, "base_env": "base", "default_run_env": "base"}
    base = OmegaConfigLoader(str(CONF), **soft)["parameters"]["detectors"]
    paper = OmegaConfigLoader(str(CONF), env="paper", **soft)["parameters"]["detectors"]
    return base | {f"paper: {name}": entry for name, entry in paper.items() if entry != base.get(name)}


SETTINGS = configured()


@pytest.fixture(scope="module", params=sorted(SETTINGS))
def new(request) -> Callable[..., Detector]:
    """Makes an unfitted detector of the configuration, shrunk to seconds; settings can be changed."""

    def make(compute: Compute = CPU, **changes) -> Detector:
        detector = build_detector(request.param, SETTINGS)
        config = detector.config
        small = {
            name: min(value, getattr(config, name))
            for name, value in SMALL.items()
            if isinstance(getattr(config, name, None), int)
        }
        pooled = {"input_type": "cross_scale"} if "views" in detector.required else {}  # as in SHAPES
        # A network that sees noise does not see its level, and takes seconds.
        encoded = {"encoder": "patches"} if hasattr(config, "encoder") else {}
        return type(detector)(replace(config, **{**small, **pooled, **encoded, **changes}), compute)

    return make


def brief(new: Callable[..., Detector], compute: Compute = CPU, **changes) -> Detector:
    """An unfitted detector whose trainings take a step each."""
    names = [field.name for field in fields(new().config)]
    settings = {name: value for end, value in BRIEF.items() for name in names if name in SMALL and name.endswith(end)}
    return new(compute, **{**settings, **changes})


class NothingReadBack(TorchDispatchMode):
    """Refuses what would make a program wait for a GPU: values, and shapes that follow from values."""

    REFUSED = frozenset(
        {
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.masked_select.default,
        }
    )

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        picked = func is torch.ops.aten.index.Tensor and any(x is not None and x.dtype == torch.bool for x in args[1])
        refused = picked or func in self.REFUSED
        assert not refused, f"{func} reads from the device"
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Fit:
    """A fit that several tests look at; do not change its detector.

    Attributes:
        detector: the fitted one.
        history: what its fit returned.
        reported: number of epochs that it reported.
        ready: whether it left the evaluation mode on.
        checkpoint: the file that it was given for its checkpoints.
    """

    detector: Detector
    history: History
    reported: int
    ready: bool
    checkpoint: Path


def shared_fit(detector: Detector, folder: Path) -> Fit:
    reported, file = Reported(), folder / "stage" / "checkpoint.safetensors"
    torch.manual_seed(2)  # a test's own fit starts from another global state
    history = learn(detector, samples(), progress=Progress(file, reported))
    return Fit(detector, history, reported.count, not detector.model.training, file)


@pytest.fixture(scope="module")
def whole(new, tmp_path_factory) -> Fit:
    """The fit that the other tests' fits are compared with."""
    return shared_fit(new(), tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def short(new, tmp_path_factory) -> Fit:
    """The same of a step a training."""
    return shared_fit(brief(new), tmp_path_factory.mktemp("short"))


@pytest.fixture
def done(whole) -> Detector:
    """A fitted detector; do not change it."""
    return whole.detector


@cache
def samples(count: int = 12, seed: int = 0, shift: float = 0.0) -> FeatureSet:
    rng = np.random.default_rng([seed, count])
    arrays = {name: (rng.standard_normal((count, *shape)) + shift).astype("f4") for name, shape in SHAPES.items()}
    lengths = rng.integers(30, 41, count)
    arrays["valid"] = (np.arange(40) < lengths[:, None]).astype("f4")
    arrays["cycle"] *= arrays["valid"][:, None]
    arrays["section"] = np.arange(count, dtype="f4")[:, None] % 2
    arrays["depth_mask"] = (arrays["depth_mask"] > -1).astype("f4")
    for array in arrays.values():
        array.flags.writeable = False  # what is read of them is a copy
    return FeatureSet(arrays, key=f"tiny {count} {seed} {shift}")


def known(count: int) -> pd.DataFrame:
    """What the sample table says of them: two sections, two domains, two working conditions."""
    number = np.arange(count)
    texts = {
        "section": number % 2,
        "domain": np.where(number % 4 < 3, "source", "target"),
        "attributes": number // 2 % 2,
    }
    return pd.DataFrame({"sample_id": number.astype(str), **texts}).astype(str)


def beside(count: int, seed: int = 0) -> FeatureSet:
    """All arrays, as of scans of which all was measured, and of cycles as long as others."""
    features = samples(count, seed=seed)
    for name, shape in {"gap": (1, 12, 12), "outline": (2, 12, 12), "outside": (1,)}.items():
        features = features.including(name, np.zeros((count, *shape), "f4"))
    return features


def own(detector: Detector, features: FeatureSet) -> FeatureSet:
    """The arrays that the detector reads."""
    return features.only(detector.required, detector.optional)


def with_optional(detector: Detector) -> dict[str, np.ndarray]:
    """The arrays of twelve samples, and those that the detector reads where there are any."""
    rng = np.random.default_rng(0)
    shapes = {"mask": (12, 16, 16), "duration": (12, 1)}
    drawn = {name: rng.random(shapes[name]).round().astype("f4") for name in detector.optional if name in shapes}
    if "mask" in drawn:
        drawn["mask"][:, :, 8:] = 0  # half of the coarsest positions too are background
    return {**plain(samples()), **drawn}


def plain(features: FeatureSet) -> dict[str, np.ndarray]:
    """The arrays of a feature set."""
    return {name: tensor.numpy() for name, tensor in features.read().items()}


def fitted(detector: Detector, train: FeatureSet | None = None, seed: int = 0, progress: Progress | None = None):
    learn(detector, samples() if train is None else train, seed, progress)
    return detector


def learn(detector: Detector, train: FeatureSet, seed: int = 0, progress: Progress | None = None) -> History:
    """Fit it with all that a run gives it."""
    given = {"rows": known(len(train)), **others(detector)}
    return detector.fit(own(detector, train), seed=seed, progress=progress or Progress(), **given)


def others(detector: Detector) -> dict[str, FeatureSet]:
    """Normals of another class, for a method that learns from them."""
    return {"outliers": own(detector, samples(8, seed=5, shift=2.0))} if detector.uses_outliers else {}


def scores(detector: Detector, features: FeatureSet | None = None) -> torch.Tensor:
    with torch.no_grad():
        return detector.score(own(detector, samples(5, seed=9) if features is None else features).read()).score


def is_trained(detector: Detector) -> bool:
    """Whether the method has epochs, and is no closed form."""
    return all_epochs(detector) > 0


def all_epochs(detector: Detector) -> int:
    """Epochs of all trainings of a fit; a fit may have several, such as a teacher's and a student's."""
    return sum(getattr(detector.config, name) for name in epoch_names(detector))


def epoch_names(detector: Detector) -> list[str]:
    return [field.name for field in fields(detector.config) if field.name.split("_")[-1] == "epochs"]


class Reported:
    """Counts the epochs, and kills the fit in one of them."""

    def __init__(self, die_at: int = 0) -> None:
        self.count, self.die_at = 0, die_at

    def __call__(self, epoch: int, epochs: int, loss: float) -> None:
        self.count += 1
        if self.count == self.die_at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("cls", detector_classes(), ids=lambda cls: cls.__name__)
def test_every_class_has_an_entry_whose_settings_build(cls):
    names = [name for name, entry in SETTINGS.items() if entry["type"] == type_path(cls)]
    assert names, f"write an entry for {type_path(cls)} into conf/base/parameters/detectors.yml"
    for name in names:
        assert type(build_detector(name, SETTINGS)) is cls


def test_configuration_is_a_frozen_dataclass(new):
    detector = new()
    with pytest.raises(AttributeError):
        setattr(detector.config, fields(detector.config)[0].name, None)


def test_fit_returns_finite_losses_and_its_duration(whole):
    assert whole.history.seconds > 0
    assert all(math.isfinite(loss) for loss in whole.history.losses)
    assert len(whole.history.losses) == all_epochs(whole.detector)
    assert whole.ready


def test_score_and_map_have_the_promised_shapes(done):
    scored = done.score(own(done, samples(5, seed=9)).read())
    assert scored.score.shape == (5,)
    assert scored.score.is_floating_point()
    assert scored.score.isfinite().all()
    assert not scored.score.requires_grad
    if scored.map is not None:
        assert not scored.map.requires_grad
        assert scored.map.ndim == 3
        assert len(scored.map) == 5
        assert scored.map.isfinite().all()


def test_shifted_samples_score_higher(done):
    if type(done).__name__ in UNTAUGHT:
        pytest.skip("a classifier from random weights: tests of its own ask it of a longer fit")
    assert scores(done, samples(5, seed=9, shift=4.0)).min() > scores(done, samples()).max()


def test_saved_and_loaded_it_gives_the_same_scores(done, tmp_path):
    done.save(tmp_path / "detector")
    assert sorted(path.name for path in (tmp_path / "detector").iterdir()) == ["config.json", "weights.safetensors"]
    loaded = load_detector(tmp_path / "detector")
    assert type(loaded) is type(done)
    assert loaded.config == done.config
    assert loaded.parameter_count == done.parameter_count > 0
    assert torch.equal(scores(loaded), scores(done))


def test_unfitted_it_cannot_be_saved(new, tmp_path):
    with pytest.raises(EndlineError, match="is not fitted yet: fit it before saving it"):
        new().save(tmp_path)


def test_same_seed_same_scores_whatever_the_global_random_state_which_stays(new, done):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  the legacy state is what is watched
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = scores(fitted(new()))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # noqa: NPY002
    assert torch.equal(again, scores(done))


def test_another_seed_gives_other_scores_where_chance_plays_a_part(new, done):
    if not is_trained(new()):
        pytest.skip("closed form: nothing is drawn")
    assert not torch.equal(scores(fitted(new(), seed=4)), scores(done))


def test_settings_that_are_off_by_default_draw_from_the_seed_too(new):
    """Noise, dropout and the like: whatever is drawn follows from the seed alone."""
    off = [field.name for field in fields(new().config) if getattr(new().config, field.name) == 0.0]
    for name in off:
        if isinstance(getattr(new().config, name), float):
            torch.manual_seed(1)
            before = torch.get_rng_state()
            first = scores(fitted(brief(new, **{name: 0.5})))
            assert torch.equal(torch.get_rng_state(), before)
            torch.manual_seed(2)
            assert torch.equal(scores(fitted(brief(new, **{name: 0.5}))), first), name


def test_a_killed_fit_goes_on_as_if_it_had_not_been_killed(new, whole, tmp_path):
    if not is_trained(new()):
        pytest.skip("closed form: there is nothing to go on from")
    expected = scores(whole.detector)
    killed, rest = Reported(die_at=3), Reported()
    file = tmp_path / "stage" / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fitted(new(), progress=Progress(file, killed, interval=0))
    resumed = new()
    history = learn(resumed, samples(), progress=Progress(file, rest, interval=0))
    assert torch.equal(scores(resumed), expected)
    assert len(history.losses) == whole.reported
    assert rest.count == whole.reported - 2  # the third epoch had not been kept
    again = Reported()
    assert torch.equal(scores(fitted(new(), progress=Progress(file, again))), expected)
    assert again.count == 0  # a finished fit is only read
    assert all(re.fullmatch(r"checkpoint(\.\w+){1,2}\.safetensors", path.name) for path in file.parent.iterdir())


@pytest.mark.parametrize("other", ["nothing", "seed", "data", "rows", "settings"])
def test_the_checkpoint_of_another_fit_is_ignored(new, short, tmp_path, other):
    if not is_trained(new()):
        pytest.skip("closed form: it keeps no checkpoint")
    numbers = {
        field.name: getattr(new().config, field.name) / 100 or 0.5
        for field in fields(new().config)
        if isinstance(getattr(new().config, field.name), float)
    }
    changes = [{name: value} for name, value in numbers.items()] if other == "settings" else [{}]
    train = {"data": samples(seed=1), "rows": samples().take(range(11))}.get(other, samples())
    for change in changes:
        reported, folder = Reported(), tmp_path / "-".join(["checkpoints", *change])
        shutil.copytree(short.checkpoint.parent, folder)
        fitted(brief(new, **change), train, int(other == "seed"), Progress(folder / short.checkpoint.name, reported))
        assert reported.count == (0 if other == "nothing" else short.reported), change


def test_a_damaged_checkpoint_is_ignored(new, short, tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    for kept in short.checkpoint.parent.glob("*"):
        (tmp_path / kept.name).write_bytes(b"no checkpoint")
    file.write_bytes(b"no checkpoint")
    assert torch.equal(scores(fitted(brief(new), progress=Progress(file))), scores(short.detector))


def test_gradients_reach_every_parameter(done):
    if not hasattr(done, "loss"):
        pytest.skip("closed form: there is no loss")
    done.model.zero_grad()
    done.loss(own(done, samples()).read()).backward()
    named = [(name, each) for name, each in done.model.named_parameters() if each.requires_grad]
    without = [name for name, each in named if each.grad is None or not each.grad.any()]
    assert named
    assert not without


@pytest.mark.parametrize("case", ["equal samples", "all zero", "constant channel", "constant large channel"])
def test_constant_input_gives_finite_scores(new, case):
    arrays = {name: tensor.numpy() for name, tensor in samples().read().items()}
    if case == "equal samples":
        arrays = {name: np.repeat(array[:1], len(array), axis=0) for name, array in arrays.items()}
    for array in (array for name, array in arrays.items() if name not in ("valid", "section")):
        if case == "all zero":
            array[:] = 0
        elif case.startswith("constant"):
            array[:, array.shape[1] // 2] = 1000.0 if "large" in case else 0.5
    detector = brief(new, **{name: 2 for name in epoch_names(new()) if name in SMALL})
    train = FeatureSet(arrays, key=case)
    history = learn(detector, train)
    assert all(math.isfinite(loss) for loss in history.losses)
    assert scores(detector, train).isfinite().all()
    assert scores(detector).isfinite().all()


def test_a_sample_scores_the_same_alone_and_in_any_company(done):
    together = scores(done, samples(12, seed=9))
    for rows in ([3], [11, 3, 5], [3, 3]):
        alone = scores(done, samples(12, seed=9).take(rows))
        torch.testing.assert_close(alone, together[rows], rtol=1e-4, atol=1e-5)


def test_scoring_changes_neither_the_batch_nor_the_detector(done):
    batch = own(done, samples(5, seed=9)).read()
    first = done.score(batch).score
    for name, array in own(done, samples(5, seed=9)).read().items():
        assert torch.equal(batch[name], array)
    assert torch.equal(done.score(batch).score, first)


def test_a_fit_reads_batches_however_many_samples_there_are(new, monkeypatch):
    read, sizes = FeatureSet.read, []

    def watched(self, rows=None):
        batch = read(self, rows)
        sizes.append(len(next(iter(batch.values()))))
        return batch

    settings = {field.name for field in fields(new().config)}
    detector = brief(new, **{"batch_size": 50} if "batch_size" in settings else {})
    monkeypatch.setattr(FeatureSet, "read", watched)
    detector.fit(beside(110), seed=0, progress=Progress(), rows=known(110), **others(detector))
    assert 0 < max(sizes) <= 100


def test_features_may_be_half_precision(new):
    half = FeatureSet({name: array.astype("f2") for name, array in plain(samples()).items()}, key="half")
    assert scores(fitted(brief(new), half)).dtype == torch.float32


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_samples_are_told(new, count):
    with pytest.raises(EndlineError, match=rf"{count} training sample\(s\): a detector needs at least 2"):
        fitted(new(), samples().take(np.arange(count)))


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "is not finite"), (np.inf, "is not finite"), (1e20, "beyond")])
def test_a_training_sample_that_is_not_finite_is_named(new, value, reason):
    arrays = plain(own(new(), samples()))
    name = sorted(arrays)[-1]
    arrays[name][3].flat[-1] = value
    broken = FeatureSet(arrays, key="broken")
    rows = pd.DataFrame({"sample_id": [f"part {number}.csv" for number in range(12)]})
    with pytest.raises(EndlineError, match=rf"Array '{name}' of training sample part 3\.csv .*{reason}"):
        new().fit(broken, seed=0, progress=Progress(), rows=rows)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 3.4e38, 1e20])
def test_a_sample_that_is_not_finite_is_named_when_it_is_scored(done, value):
    broken = own(done, samples(5, seed=9)).read()
    name = sorted(broken)[-1]
    broken[name][3].flatten()[-1] = value
    with pytest.raises(
        EndlineError, match=rf"Array '{name}' of sample d\.wav (is not finite|holds a number beyond 1e\+15)"
    ):
        done.score(broken, [f"{letter}.wav" for letter in "abcde"])


def test_fit_and_score_are_those_of_the_base(new):
    assert type(new()).fit is Detector.fit
    assert type(new()).score is Detector.score


def test_arrays_that_it_does_not_read_change_nothing_and_what_counts_for_every_detector_does(new, short):
    detector = brief(new)
    detector.fit(beside(12), seed=0, progress=Progress(), rows=known(12), **others(detector))  # it takes its own
    batch = beside(5, seed=9).read()
    with_all = detector.score(batch).score
    assert torch.equal(with_all, scores(short.detector))
    batch["outline"][0, 1, 5, 5] = batch["gap"][2, 0, 5, 5] = 4.0
    batch["outside"][4, 0] = 0.5
    assert (detector.score(batch).score > with_all).tolist() == [True, False, True, False, True]


def test_an_array_that_is_missing_is_named(new, done):
    needed = own(done, samples(5, seed=9)).read()
    name = sorted(needed)[0]
    del needed[name]
    with pytest.raises(EndlineError, match=f"no array '{name}', which {type(done).__name__} was fitted on"):
        done.score(needed)
    kept = [array for array in SHAPES if not array.startswith(done.required[0])]
    without = FeatureSet({array: plain(samples())[array] for array in kept}, key="some")
    with pytest.raises(EndlineError, match=rf"The feature set holds .* and no {done.required[0]}"):
        new().fit(without, seed=0, progress=Progress())


def test_unfitted_it_cannot_score(new):
    with pytest.raises(EndlineError, match="is not fitted yet: fit it before it scores"):
        new().score(samples(2).read())


def test_optional_arrays_are_read_where_there_are_any(new):
    if not new().optional:
        pytest.skip("it reads no optional array")
    arrays = with_optional(new())
    whole = FeatureSet(arrays, key="masked")
    without = FeatureSet({name: arrays[name] for name in arrays if name not in new().optional}, key="unmasked")
    first, second = fitted(brief(new), whole), fitted(brief(new), without)
    learned = zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    same = all(torch.equal(mine, other) for mine, other in learned)  # the member that reads them may be no one's choice
    assert not (same and torch.equal(scores(first, whole), scores(second, without)))


def test_it_computes_on_the_device_that_it_is_given(new, elsewhere, tmp_path):
    """Every tensor that it makes lies where model and samples lie; what it gives lies on the CPU."""
    device, context = elsewhere
    with context:
        detector = fitted(brief(new, Compute(device)))
        assert {tensor.device.type for tensor in detector.model.state_dict().values()} == {device}
        scored = detector.score(own(detector, samples(5, seed=9)).read())
        assert scored.score.device.type == "cpu"
        if scored.map is not None:
            assert scored.map.device.type == "cpu"
        if hasattr(detector, "step_scores"):
            assert detector.step_scores(own(detector, samples(2)).read())[0].device.type == "cpu"
        detector.save(tmp_path)
    loaded = load_detector(tmp_path)  # on the CPU
    torch.testing.assert_close(scores(loaded), scored.score, rtol=1e-3, atol=1e-4)


def test_a_static_loss_can_be_recorded_on_a_gpu(new, monkeypatch):
    """What reads a value or a size back from the device cannot be recorded; with a mask, where the method takes one."""
    recorded = 0

    class Recorded(TrainingStep):
        def __init__(self, loss, *given, static=False, **named):
            def alone(batch):
                nonlocal recorded
                recorded += 1
                with NothingReadBack():
                    return loss(batch)

            super().__init__(alone if static else loss, *given, **named)

    monkeypatch.setattr("endline.detectors.training.TrainingStep", Recorded)
    fitted(brief(new), FeatureSet(with_optional(new()), key="recorded"))
    if not recorded:
        pytest.skip("no loss of it is static")


def test_a_killed_fit_goes_on_on_another_device(new, elsewhere, tmp_path):
    if not is_trained(new()):
        pytest.skip("closed form: there is nothing to go on from")
    device, context = elsewhere
    killed, file = Reported(die_at=2), tmp_path / "checkpoint.safetensors"
    twice = {name: 2 for name in epoch_names(new()) if name in SMALL}
    with context:
        with pytest.raises(KeyboardInterrupt):
            fitted(brief(new, Compute(device), **twice), progress=Progress(file, killed, interval=0))
        rest = Reported()
        detector = fitted(brief(new, Compute(device), **twice), progress=Progress(file, rest, interval=0))
        assert rest.count == all_epochs(detector) - 1
        assert scores(detector).isfinite().all()


@dataclass(frozen=True)
class ComparingConfig:
    pass


class Comparing(Detector[ComparingConfig]):
    """Scores by the nearness to the mean of other classes; knows the domains of its samples."""

    Config = ComparingConfig
    uses_outliers = True
    required = ("x",)
    optional = ("y",)

    def _build(self, shapes, samples):
        model = nn.Module()
        model.register_buffer("mean", torch.zeros(shapes["x"]))
        return model

    def _learn(self, training):
        self.training = training
        others = training.features if training.outliers is None else training.outliers
        self.model.mean.copy_(others.read()["x"].mean(0))
        return ()

    def _score(self, batch):
        return Scored(-(batch["x"] - self.model.mean).square().sum(1))


def numbers(count: int, shift: float = 0.0, names=("x",)) -> FeatureSet:
    return FeatureSet({name: np.full((count, 2), shift, "f4") for name in names}, key=f"{count} {shift} {names}")


def test_outliers_rows_and_optional_arrays_reach_the_method():
    rows = pd.DataFrame({"sample_id": ["a", "b"], "domain": ["source", "target"], "label": [0, 0], "split": "train"})
    detector = Comparing(ComparingConfig())
    detector.fit(
        numbers(2, names=("x", "y", "z")), seed=5, progress=Progress(), rows=rows, outliers=numbers(3, 2.0, ("x", "z"))
    )
    assert detector.training.rows.to_dict("list") == {"sample_id": ["a", "b"], "domain": ["source", "target"]}
    assert sorted(detector.training.features.shapes) == ["x", "y"]
    assert sorted(detector.training.outliers.shapes) == ["x"]
    assert detector.training.seed == 5
    assert detector.score({"x": torch.zeros(1, 2)}).score.tolist() == [-8.0]


def test_without_a_table_the_rows_are_numbered_and_no_outliers_are_none():
    detector = Comparing(ComparingConfig())
    detector.fit(numbers(2), seed=0, progress=Progress(), outliers=numbers(3).take([]))
    assert detector.training.rows["sample_id"].tolist() == ["0", "1"]
    assert detector.training.outliers is None


def test_a_class_of_ones_own_is_loaded_once_it_is_imported(tmp_path):
    detector = Comparing(ComparingConfig())
    detector.fit(numbers(2), seed=0, progress=Progress())
    detector.save(tmp_path)
    assert type(load_detector(tmp_path)) is Comparing


def test_unknown_setting_is_told_with_the_known_ones(new):
    detector = new()
    entry = {"type": type_path(type(detector)), "no_such_setting": 1}
    with pytest.raises(EndlineError, match=r"has no setting \['no_such_setting'\]: its settings are ") as caught:
        build_detector("it", {"it": entry})
    for field in fields(detector.config):
        assert field.name in str(caught.value)


def test_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(EndlineError) as caught:
        build_detector("gausian", SETTINGS)
    assert str(caught.value) == (
        f"There is no detector 'gausian': did you mean 'gaussian'? Known are {', '.join(sorted(SETTINGS))}."
    )


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("endline.detectors.pooled.gaussian.Gausian", "'endline.detectors.pooled.gaussian.Gausian' cannot be found"),
        ("endline.detectors.gausian.Gaussian", "'endline.detectors.gausian.Gaussian' cannot be found"),
        ("Gaussian", "'Gaussian' cannot be found"),
        ("pathlib.Path", "'pathlib.Path' is not a Detector"),
        ("math.pi", "'math.pi' is not a Detector"),
    ],
)
def test_wrong_class_is_told(path, sentence):
    with pytest.raises(EndlineError, match=f"{sentence}.*: correct its `type:`"):
        build_detector("it", {"it": {"type": path}})


@pytest.mark.parametrize("path", ["os.path", "subprocess.Popen", "endline.detectors.base.json", "pathlib.Path", "", 7])
def test_a_saved_detector_imports_nothing_but_detectors(tmp_path, path):
    detector = Comparing(ComparingConfig())
    detector.fit(numbers(2), seed=0, progress=Progress())
    detector.save(tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**about, "type": path}))
    with pytest.raises(EndlineError, match=r"The detector in (?s:.*) cannot be read .*class.*: fit it again"):
        load_detector(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "7", "{}", '{"type": null}'])
def test_a_damaged_description_is_a_sentence(tmp_path, content):
    detector = Comparing(ComparingConfig())
    detector.fit(numbers(2), seed=0, progress=Progress())
    detector.save(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(EndlineError, match=r"The detector in (?s:.*) cannot be read (?s:.*): fit it again"):
        load_detector(tmp_path)


@pytest.mark.parametrize("damage", ["no folder", "no weights", "cut weights", "cut config", "foreign weights"])
def test_damaged_folder_is_told(done, tmp_path, damage):
    folder = tmp_path / "detector"
    if damage != "no folder":
        done.save(folder)
    weights, config = folder / "weights.safetensors", folder / "config.json"
    if damage == "no weights":
        weights.unlink()
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "cut config":
        config.write_text(config.read_text()[:50])
    elif damage == "foreign weights":
        state = load_file(weights)
        largest = max(state, key=lambda name: state[name].numel())
        save_file(state | {largest: state[largest].flatten()[1:].contiguous()}, weights)
    with pytest.raises(EndlineError, match=r"The detector in (?s:.*)detector cannot be read (?s:.*): fit it again"):
        load_detector(folder)
