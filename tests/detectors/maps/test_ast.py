"""AST: losses and scores by hand with and without a mask, the student's form, the ablations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from endline.detectors.cross_fitting import FitPlan, fit_detectors
from endline.detectors.fitting import known_rows
from endline.detectors.kept_back import kept_back
from endline.detectors.maps.ast import AST, ASTConfig, foreground, foreground_mean
from endline.detectors.maps.ast_students import ConvStudent, FlowStudent
from endline.detectors.progress import Progress
from endline.detectors.scoring import score_batches, score_rows
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = ASTConfig(
    components=4,
    code=8,
    blocks=2,
    hidden=8,
    student_blocks=1,
    teacher_epochs=4,
    epochs=6,
    batch_size=8,
    learning_rate=5e-3,
)
SHAPES = {"scale_0": (5, 8, 8), "scale_1": (2, 2, 2)}


def built(config: ASTConfig = SMALL, shapes=SHAPES) -> AST:
    detector = AST(config)
    detector._prepare(shapes, 4, seed=0)
    detector.model.eval()
    return detector


class Zero(nn.Module):
    """A student that always says 0."""

    def forward(self, x, code):
        return torch.zeros_like(x)


def by_hand(**changes) -> AST:
    """Untrained: the teacher gives its input, and the student 0."""
    detector = built(replace(SMALL, whiten=False, **changes))
    detector.model.student = Zero()
    return detector


X = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [-1.0, 2.0]]]])  # squares 2, 4, 10, 20: halved a channel
BATCH = {"scale_0": torch.zeros(1, 5, 8, 8), "scale_1": X}
MASKED = BATCH | {"mask": torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])}
DISTANCES = [[1.0, 2.0], [5.0, 10.0]]


@pytest.mark.parametrize(
    ("join", "batch", "score"),
    [
        ("auto", BATCH, 18 / 4),
        ("mean", BATCH, 18 / 4),
        ("max", BATCH, 10.0),
        ("auto", MASKED, 5.0),
        ("max", MASKED, 5.0),
        ("mean", MASKED, 6 / 2),
    ],
)
def test_score_and_map_by_hand(join, batch, score):
    scored = by_hand(join=join).score(batch)
    assert scored.score.item() == pytest.approx(score)
    assert scored.map[0].tolist() == ([[1.0, 0.0], [5.0, 0.0]] if "mask" in batch else DISTANCES)


def test_losses_by_hand():
    detector = by_hand()
    assert detector.loss(BATCH).item() == pytest.approx(18 / 4)
    assert detector.loss(MASKED).item() == pytest.approx(6 / 2)
    assert detector.teacher_loss(BATCH).item() == pytest.approx(18 / 4 / 2)  # 0.5 |z|^2; no log-determinant yet
    assert detector.teacher_loss(MASKED).item() == pytest.approx(6 / 2 / 2)


def test_nll_is_the_teachers_negative_log_likelihood_by_position():
    detector = built(replace(SMALL, whiten=False))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in detector.model.teacher.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
        nll = detector.model.nll(BATCH)
        log_prob = detector.model.teacher.log_prob((X,), (detector.model.code,))
    expected = -log_prob - 0.5 * X.numel() * np.log(2 * np.pi)
    torch.testing.assert_close(nll.sum((1, 2)) * 2, expected, rtol=1e-4, atol=1e-4)


def test_background_of_a_teachers_map_never_exceeds_its_foreground():
    detector = by_hand(score_by="teacher")
    with torch.no_grad():  # stretch everything, so that the log-determinant outweighs the squares
        for block in detector.model.teacher.blocks:
            block.gamma.fill_(1.0)
            for subnet in (block.second_to_first, block.first_to_second):
                subnet.leave[0].weight.zero_()
                subnet.leave[0].bias.copy_(torch.tensor([3.0, 0.0]))
    small = {**MASKED, "scale_1": X / 100}
    heat = detector.score(small).map[0]
    assert heat[:, 0].max() < 0
    assert (heat[:, 1] == heat[:, 0].min()).all()


def test_masks_come_down_to_the_maps_size_and_count_with_any_foreground():
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, 0, 3, 4] = 1
    inside = foreground(mask, (2, 2))
    assert inside.tolist() == [[[False, True], [False, False]], [[True, True], [True, True]]]  # none: the whole
    assert torch.equal(foreground(mask[:, 0], (2, 2)), inside)
    assert foreground(mask.bool(), (8, 8))[0].sum() == 1


def test_foreground_mean_is_taken_over_the_positions_of_all_samples():
    values = torch.tensor([[[1.0, 2.0]], [[3.0, 7.0]]])
    assert foreground_mean(values, None).item() == pytest.approx(13 / 4)
    assert foreground_mean(values, torch.tensor([[[1, 1]], [[0, 1]]])).item() == pytest.approx(10 / 3)


def test_training_with_a_mask_does_not_look_at_the_background():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((12, 4, 4, 4)).astype("f4")
    mask = np.zeros((12, 4, 4), "f4")
    mask[:, :, :2] = 1
    config = replace(SMALL, whiten=False, kernel=1, last_kernel=1, score_by="teacher")  # kernels of 1: no neighbours
    states = []
    for background in (0.0, 50.0):
        changed = maps + background * (1 - mask[:, None])
        detector = AST(config)
        detector.fit(FeatureSet({"scale_0": changed, "mask": mask}, key="same"), seed=0, progress=Progress())
        states.append(detector.model.state_dict())
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-3, atol=1e-4)


def test_a_mask_that_is_not_asked_for_is_not_read():
    rng = np.random.default_rng(0)
    maps, mask = rng.standard_normal((12, 4, 4, 4)).astype("f4"), np.zeros((12, 4, 4), "f4")
    mask[:, :2] = 1
    scores = []
    for arrays in ({"scale_0": maps}, {"scale_0": maps, "mask": mask}):
        detector = AST(replace(SMALL, masked=False))
        detector.fit(FeatureSet(arrays, key="same"), seed=0, progress=Progress())
        scores.append(detector.score(FeatureSet(arrays).read(range(12))).score)
    assert torch.equal(*scores)


def test_whitening_with_a_mask_does_not_look_at_the_background():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((12, 4, 4, 4)).astype("f4") * np.array([1, 2, 3, 4], "f4")[:, None, None]
    mask = np.zeros((12, 1, 4, 4), "f4")
    mask[:, :, :2] = 1
    maps[:, :, 2:] = 50.0
    model = built(shapes={"scale_0": (4, 4, 4)}).model
    model.fit(FeatureSet({"scale_0": maps, "mask": mask}, key="half"))
    vectors = model.maps({"scale_0": torch.from_numpy(maps)})[:, :, :2].transpose(0, 1).flatten(1)
    torch.testing.assert_close(vectors @ vectors.T / vectors.shape[1], torch.eye(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(vectors.mean(1), torch.zeros(4), atol=1e-4, rtol=0)


def test_channels_of_depth_are_whitened_by_themselves():
    """Small beside the photograph's, they keep as many components."""
    maps = np.random.default_rng(0).standard_normal((12, 9, 4, 4)).astype("f4")
    maps[:, 6:] *= 1e-2
    features, shapes = FeatureSet({"scale_0": maps}, key="both"), {"scale_0": (9, 4, 4)}
    together = built(replace(SMALL, components=4), shapes).model
    apart = built(replace(SMALL, components=4, depth_channels=3), shapes).model
    for model, channels in ((together, 4), (apart, 4 + 3)):
        model.fit(features)
        assert model.maps(features.read()).shape == (12, channels, 4, 4)
    changed = {"scale_0": torch.from_numpy(maps.copy())}
    changed["scale_0"][0, 6, 2, 2] += 0.1  # ten of its deviations
    before = features.read()
    moved = [(model.maps(changed) - model.maps(before))[0, :, 2, 2].norm().item() for model in (together, apart)]
    assert moved[0] < 0.2
    assert moved[1] > 5


@pytest.mark.parametrize("channels", [3, 2])
def test_depth_alone_is_whitened_as_a_whole(channels):
    model = built(replace(SMALL, depth_channels=3, code=0), {"scale_0": (channels, 4, 4)}).model
    assert model.scales.sizes == [(channels, 4, 4)]


@pytest.mark.parametrize(("scale", "size"), [(-1, (2, 2)), (1, (2, 2)), (0, (8, 8)), (-2, (8, 8))])
def test_one_scale_is_read(scale, size):
    assert built(replace(SMALL, scale=scale)).score(BATCH).map.shape[1:] == size


@pytest.mark.parametrize("scale", [2, 1, 0, -1])
def test_the_only_scale_is_read_whatever_its_number(scale):
    assert built(replace(SMALL, scale=scale), {"scale_2": (4, 3, 3)}).model.name == "scale_2"


@pytest.mark.parametrize("scale", [2, -3])
def test_a_scale_that_is_not_there_is_told(scale):
    with pytest.raises(EndlineError) as caught:
        built(replace(SMALL, scale=scale))
    assert str(caught.value) == f"ast has scale={scale} and the features have 2 scale(s): choose one of -2 to 1."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"student": "mlp"}, "ast has no student 'mlp': choose one of conv, deep_flow, flow."),
        ({"score_by": "student"}, "ast has no score_by 'student': choose one of distance, teacher."),
        ({"join": "sum"}, "ast has no join 'sum': choose one of auto, max, mean, top."),
        ({"depth_channels": -1}, "ast has depth_channels=-1: choose 0 or more."),
        (
            {"share": 1.0},
            "ast has share=1.0 and top_share=0.02: choose a share from 0 to below 1, and a top_share above 0 and at "
            "most 1.",
        ),
        (
            {"top_share": 0.0},
            "ast has share=0.0 and top_share=0.0: choose a share from 0 to below 1, and a top_share above 0 and at "
            "most 1.",
        ),
    ],
)
def test_wrong_choices_are_told(changes, sentence):
    with pytest.raises(EndlineError) as caught:
        ASTConfig(**changes)
    assert str(caught.value) == sentence


def related(count: int, seed: int, broken: bool = False) -> FeatureSet:
    """Channels that follow from each other, but at one spot of the broken samples."""
    rng = np.random.default_rng([seed, count])
    x = rng.standard_normal((count, 2, 8, 8))
    maps = np.concatenate([x, np.tanh(2 * x) + 0.1 * rng.standard_normal(x.shape)], 1)
    if broken:
        maps[:, 2:, 4:6, 1:3] = -3 * np.sign(maps[:, 2:, 4:6, 1:3])
    return FeatureSet({"scale_0": maps.astype("f4")}, key=f"related {seed} {broken}")


ABLATIONS = {
    "published": {},
    "teacher only": {"score_by": "teacher"},
    "flow student": {"student": "flow"},
    "deeper flow student": {"student": "deep_flow"},
}


@pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS)
def test_it_learns_and_its_map_points_at_the_broken_spot(changes):
    detector = AST(replace(SMALL, join="max", **changes))
    history = detector.fit(related(100, 0), seed=0, progress=Progress())
    teacher, student = history.losses[:4], history.losses[4:]
    assert teacher[-1] < teacher[0]
    assert len(student) == (0 if changes.get("score_by") == "teacher" else 6)
    if student:
        assert student[-1] < 0.5 * student[0]
    normal, broken = detector.score(related(30, 1).read()), detector.score(related(30, 2, broken=True).read())
    assert broken.score.median() > normal.score.median()
    heat = broken.map.mean(0) - normal.map.mean(0)
    assert heat[4:6, 1:3].mean() > 3 * heat[:3, 4:].mean()


def test_what_is_kept_back_is_not_learned_from():
    """Teacher and student of a fit that kept back four parts are those of the other twelve alone."""
    whole, seed = related(16, 3), 5
    back = kept_back(known_rows(None, 16), 0.25, seed)
    detector = AST(replace(SMALL, share=0.25))
    detector.fit(whole, seed=seed, progress=Progress())
    alone = AST(SMALL)
    alone.fit(whole.take(np.flatnonzero(~back)), seed=seed, progress=Progress())
    learned = detector.model.state_dict()
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(learned[name], value, msg=name)
    assert int(back.sum()) == 4
    held_out = whole.take(np.flatnonzero(back)).read()
    distances = alone.model.distance(held_out).log().detach()
    assert float(detector.model.levels(distances).mean()) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_in_units_of_kept_back_parts_its_map_points_at_the_broken_spot(changes, masked):
    def given(count: int, seed: int, broken: bool) -> FeatureSet:
        maps = related(count, seed, broken).read()["scale_0"].numpy()
        mask = np.ones((count, 1, 8, 8), "f4")
        mask[..., 7] = 0
        return FeatureSet({"scale_0": maps, **({"mask": mask} if masked else {})}, key=f"{count} {seed} {broken}")

    detector = AST(replace(SMALL, share=0.2, join="top", top_share=0.1, **changes))
    detector.fit(given(100, 0, False), seed=0, progress=Progress())
    good, bad = (detector.score(given(20, 1, broken).read()).score.numpy() for broken in (False, True))
    assert roc_auc_score([0] * 20 + [1] * 20, np.concatenate([good, bad])) > 0.9
    anomaly_map = detector.score(given(20, 1, True).read()).map.mean(0)
    row, column = divmod(int(anomaly_map.argmax()), 8)
    assert row in (4, 5)
    assert column in (1, 2)


def test_one_part_alone_keeps_nothing_back():
    detector = AST(replace(SMALL, share=0.2, join="top", teacher_epochs=1, epochs=1))
    detector.fit(related(2, 0), seed=0, progress=Progress())
    assert detector.score(related(1, 1).read()).score.isfinite().all()


def test_the_student_is_what_the_choice_says():
    assert isinstance(built().model.student, ConvStudent)
    flows = {kind: built(replace(SMALL, student=kind)).model.student for kind in ("flow", "deep_flow")}
    assert all(isinstance(student, FlowStudent) for student in flows.values())
    assert [len(student.flow.blocks) for student in flows.values()] == [2, 4]
    assert not list(built(replace(SMALL, score_by="teacher")).model.student.parameters())


def test_the_teacher_stays_as_it_is_while_the_student_learns():
    states = []
    for epochs in (1, 4):
        detector = AST(replace(SMALL, epochs=epochs))
        detector.fit(related(20, 0), seed=0, progress=Progress())
        states.append(detector.model.teacher.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])


def test_a_student_without_blocks_is_three_layers():
    """By hand: one channel each, kernels that see their own position alone."""
    student = ConvStudent(1, 4, 1, 0, slope=0.2)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
        student.enter.weight[0, 0, 1, 1] = 2.0
        student.position.weight[0, 0, 1, 1] = 1.0
        student.leave.weight[0, 0, 1, 1] = 3.0
        student.leave.bias.fill_(0.5)
    code = torch.zeros(1, 4, 1, 2)
    code[0, 0, 0, 1] = -5.0
    x = torch.tensor([[[[1.0, 1.0]]]])
    assert student(x, code)[0, 0, 0].tolist() == pytest.approx([3 * 2.0 + 0.5, 3 * 0.2 * (2 - 5) + 0.5])


def test_batch_norm_scores_with_what_it_learned():
    detector = AST(SMALL)
    detector.fit(related(20, 0), seed=0, progress=Progress())
    norms = [layer for layer in detector.model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 2
    assert all(not layer.training and layer.running_mean.abs().max() > 0 for layer in norms)


def test_published_settings(published):
    detector = published("ast")
    config = detector.config
    assert (config.blocks, config.kernel, config.last_kernel, config.hidden, config.alpha) == (4, 3, 5, 1024, 3.0)
    assert (config.student, config.student_blocks, config.student_factor, config.code) == ("conv", 4, 1, 32)
    assert (config.teacher_epochs, config.epochs, config.learning_rate, config.weight_decay) == (240, 240, 2e-4, 1e-5)


def test_published_settings_of_scans(published):
    config = published("ast_scan").config
    assert (config.hidden, config.alpha, config.teacher_epochs, config.epochs) == (64, 1.9, 72, 72)
    assert replace(config, hidden=1024, alpha=3.0, teacher_epochs=240, epochs=240, student_factor=1) == replace(
        published("ast").config
    )


def test_scans_have_a_teacher_of_3_8_and_a_student_of_82_6_million_parameters(published):
    """Table 6.4 of the thesis, for 304 + 64 channels."""
    with torch.device("meta"):
        model = published("ast_scan")._build({"scale_0": (368, 24, 24)}, 10)
    sizes = [sum(each.numel() for each in part.parameters()) / 1e6 for part in (model.teacher, model.student)]
    assert sizes == pytest.approx([3.8, 82.6], rel=0.05)


SCAN_ABLATIONS = {
    **{f"{blocks} student blocks": {"student_blocks": blocks} for blocks in (1, 2, 4, 8, 12)},
    "teacher only": {"score_by": "teacher"},
    "flow student": {"student": "flow"},
    "deeper flow student": {"student": "deep_flow"},
    "no position code": {"code": 0},
    "no mask": {},
}


@pytest.mark.parametrize(("name", "changes"), SCAN_ABLATIONS.items(), ids=SCAN_ABLATIONS)
def test_ablations_of_tables_6_3_to_6_5_learn_depth_maps_and_score_their_foreground(name, changes):
    """Of 64 channels at 24 x 24 positions, as a scan gives them, with its mask (1, 24, 24)."""
    rng = np.random.default_rng(0)
    depth, mask = rng.standard_normal((4, 64, 24, 24)).astype("f4"), np.zeros((4, 1, 24, 24), "f4")
    mask[:, :, 6:18, 6:18] = 1
    arrays = {"scale_0": depth, "mask": mask} if name != "no mask" else {"scale_0": depth}
    features = FeatureSet(arrays, key=name)
    settings = {"components": 0, "whiten": False, "hidden": 4, "teacher_epochs": 1, "epochs": 1, "student_factor": 2}
    detector = AST(replace(SMALL, **{**settings, **changes}))
    history = detector.fit(features, seed=0, progress=Progress())
    assert np.isfinite(history.losses).all()
    scored = detector.score(features.read())
    inside = torch.from_numpy(mask[:, 0] > 0)
    if name == "no mask":
        torch.testing.assert_close(scored.score, scored.map.mean((1, 2)))
        assert (scored.map[~inside] > 0).all()
    else:
        torch.testing.assert_close(scored.score, scored.map.masked_fill(~inside, -torch.inf).amax((1, 2)))
        assert (scored.map[~inside] <= 0).all()


@pytest.mark.parametrize("student", ["conv", "flow"])
def test_without_a_code_nothing_knows_its_place(student):
    config = replace(SMALL, code=0, student=student, kernel=1, last_kernel=1)
    nll = built(config).model.nll({name: torch.ones(1, *shape) for name, shape in SHAPES.items()})
    detector = built(config)
    detector.fit(
        FeatureSet({"scale_0": np.ones((4, 5, 8, 8), "f4"), "scale_1": np.ones((4, 2, 2, 2), "f4")}, key="ones"),
        seed=0,
        progress=Progress(),
    )
    assert nll.std() < 1e-6
    assert detector.score(BATCH).score.isfinite().all()


def test_the_mask_reaches_teacher_student_and_score_of_a_run(monkeypatch):
    """What lies in the background changes neither training nor scores."""
    rng = np.random.default_rng(0)
    maps, mask = rng.standard_normal((14, 4, 6, 6)).astype("f4"), np.zeros((14, 6, 6), "f4")
    mask[:, :3] = 1
    table = pd.DataFrame({"sample_id": [f"{row}.tif" for row in range(14)], "part": None})
    table["split"] = ["train"] * 10 + ["test"] * 4
    seen = {"teacher": [], "student": []}

    def watched(loss, masked):
        return lambda self, batch: masked.append("mask" in batch) or loss(self, batch)

    for stage, name in {"teacher": "teacher_loss", "student": "loss"}.items():
        monkeypatch.setattr(AST, name, watched(getattr(AST, name), seen[stage]))
    config = ASTConfig(whiten=False, hidden=4, blocks=1, code=0, student_blocks=1, epochs=2, teacher_epochs=2)
    features = FeatureSet({"scale_0": maps, "mask": mask}, key="foreground")
    results = fit_detectors(table, features, lambda: AST(config), FitPlan(calibration="hold_out"), seed=0)
    assert all(seen["teacher"]) and all(seen["student"]) and seen["teacher"] and seen["student"]  # noqa: PT018
    tested = np.arange(10, 14)
    (batch,) = score_batches(table.iloc[tested], features.take(tested), results.detectors)
    assert (batch.maps[:, 3:] == 0).all()
    np.testing.assert_allclose(batch.scores[:, 0], batch.maps[:, :3].max((1, 2)))
    unmasked = FeatureSet({"scale_0": maps}, key="whole").take(tested)
    assert (score_rows(table.iloc[tested], unmasked, results.detectors) != batch.scores).all()
