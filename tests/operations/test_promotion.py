"""A challenger becomes champion by evidence alone: criteria, commands, and what is recorded."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.evidence import station as stations
from endline.files import content_key, discard, write_whole
from endline.operations.decisions import history
from endline.operations.promotion import Bounds, Judged, all_hold, criteria
from endline.operations.promotion_command import Wish, promote
from endline.operations.registry import CHALLENGER, CHAMPION, Registered
from endline.samples import Index, rejected_table, sample_table

NAME = "endline.scales.all"


def index(folder, request):
    """Parts of the folders `good` and `bent`; what is no list of numbers is rejected."""
    rows, rejected = [], []
    for path in sorted(folder.glob("*/*.json")):
        name, text = path.relative_to(folder).as_posix(), path.read_text()
        if not text.startswith("["):
            rejected.append((name, "it is no list", "weigh it again"))
            continue
        label = {"good": 0, "bent": 1}.get(path.parent.name)
        digest = content_key(json.loads(text))
        rows.append({"sample_id": name, "path": name, "group": "", "label": label, "digest": digest})
    if not rows:
        raise EndlineError(f"{folder} holds no weighing: weigh some parts.")
    return Index(sample_table(rows), rejected_table(rejected))


@pytest.fixture
def plant(shelf, fault):
    """The registry of a plant with an acceptance set of twenty good and twelve bent parts."""
    station = stations._REGISTERED["scales"]
    stations._REGISTERED["scales"] = replace(station, index=index)
    folder = shelf.project.folder
    discard(folder / "data/06_models/scales")  # models of other tests
    settings = {"run": {"group": None, "raw_simulated": "data/simulated"}, "split": {"unit": None}}
    write_whole(folder / "conf/base/parameters.yml", json.dumps({"scales": {**settings, "preparation": {}}}))
    own = {"scales": {"acceptance": str(folder / "acceptance")}}
    write_whole(folder / "conf/base/promotion.yml", json.dumps({"bounds": {}, "stations": own}))
    rng = np.random.default_rng(5)
    for kind, count, more in (("good", 20, 0.0), ("bent", 12, fault)):
        for number in range(count):
            weights = 1 + 0.1 * rng.standard_normal(len(fault)) + more
            write_whole(folder / f"acceptance/{kind}/{number}.json", json.dumps(weights.tolist()))
    return shelf


def test_the_first_champion_needs_no_other_beside_it_and_its_decision_is_recorded(plant, trained):
    plant.add(trained("1"))
    told = plant.project.command("promote", "scales")
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0] == f"{NAME}/1, the run 1, beside no champion yet"
    assert "acceptance: 20 normal and 12 faulty items, digest " in lines[1]
    assert [line.split(":")[0] for line in lines[2:-1]] == [
        f"holds  {name}" for name in ("every file", "AUROC", "detection", "false alarms", "speed", "memory")
    ]
    assert lines[-1] == f"{NAME}/1 is champion now."
    assert plant.registry.aliases(NAME) == {CHALLENGER: 1, CHAMPION: 1}
    (version,) = plant.registry.versions(NAME)
    assert [entry["what"] for entry in history(version)] == ["promoted"]
    decisions = plant.registry.client.list_artifacts(version.run_id, "decisions")
    text = (plant.project.folder / "mlruns/artifacts" / version.run_id / "artifacts" / decisions[0].path).read_text()
    content = json.loads(text)
    assert (content["version"], content["champion"], len(content["criteria"])) == (f"{NAME}/1", 0, 6)
    assert len(content["acceptance"]["digests"]) == 32
    again = plant.project.command("promote", "scales")
    assert (again.exit_code, again.output) == (0, f"{NAME}/1 is champion already.\n")


def test_a_poisoned_challenger_is_kept_out_and_force_and_rollback_are_recorded(plant, trained, caplog):
    plant.add(trained("1"))
    assert plant.project.command("promote", "scales").exit_code == 0
    plant.add(trained("2", seed=1, poisoned=12))
    told = plant.project.command("promote", "scales")
    assert told.exit_code == 3, told.output
    failing = [line.split(":")[0] for line in told.output.splitlines() if line.startswith("FAILS")]
    assert failing == ["FAILS  AUROC", "FAILS  detection"]
    assert told.output.endswith(f"Kept: {NAME}/1 stays champion.\n")
    assert plant.registry.aliases(NAME) == {CHALLENGER: 2, CHAMPION: 1}
    warned = (
        f"Beware: the newest model, {NAME}/2, judges, and `endline promote` has not let it be champion (%s): "
        f"--model={NAME}@champion judges by the champion."
    )
    plant.project.command("inspect", plant.project.part("a.json"), "--station=scales")
    assert caplog.messages == [warned % "kept"]
    caplog.clear()

    forced = plant.project.command("promote", "scales", "--force", "--why=the old one is lost")
    assert forced.exit_code == 0, forced.output
    assert forced.output.endswith(f"{NAME}/2 is champion now by force (the old one is lost).\n")
    back = plant.project.command("rollback", "scales", "--why=too many slip through")
    assert back.output == f"{NAME}/1 is champion again, {NAME}/2 was rolled back.\n"
    plant.project.command("inspect", plant.project.part("a.json"), "--station=scales")
    assert caplog.messages == [warned % "rolled back"]
    assert plant.registry.aliases(NAME)[CHAMPION] == 1
    first, second = plant.registry.versions(NAME)
    assert [entry["what"] for entry in history(first)] == ["promoted", "restored"]
    assert [(entry["what"], entry["why"]) for entry in history(second)] == [
        ("kept", ""), ("forced", "the old one is lost"), ("rolled back", "too many slip through")
    ]  # fmt: skip
    stays = plant.project.command("promote", "scales")
    assert stays.exit_code == 3
    assert stays.output == f"{NAME}/2 was rolled back, and stays so: run the station again, or give --force --why.\n"
    none = plant.project.command("rollback", "scales")
    assert f"{NAME}/1 is the first champion, there is none before it" in none.output


def test_a_challenger_that_is_as_good_becomes_champion(plant, trained):
    plant.add(trained("1"))
    assert plant.project.command("promote", "scales").exit_code == 0
    plant.add(trained("2", seed=3))
    changed = plant.project.folder / "acceptance/good/99.json"
    write_whole(changed, json.dumps([1.0] * 16))
    told = plant.project.command("promote", "scales")
    assert told.exit_code == 0, told.output
    assert f"{NAME}/2, the run 2, beside the champion {NAME}/1" in told.output
    assert "The acceptance set has changed since the champion was judged by it (digest " in told.output
    older = plant.project.command("promote", "scales", "--run=1")
    assert older.output.startswith(f"{NAME}/1, the run 1, beside the champion {NAME}/2")


def test_two_promotions_at_once_follow_one_another(plant, trained):
    plant.add(trained("1"))
    said: list[list[str]] = [[], []]
    both = [threading.Thread(target=_promote, args=(plant, lines)) for lines in said]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(lines[-1] for lines in said) == [f"{NAME}/1 is champion already.", f"{NAME}/1 is champion now."]
    (version,) = plant.registry.versions(NAME)
    assert len(history(version)) == 1


def _promote(plant, lines):
    promote(plant.project.folder, Wish("scales"), None, lines.append)


def test_a_model_of_a_newer_endline_is_no_champion(plant, trained, sentence):
    plant.add(trained("1"))
    about = plant.registry.files(plant.registry.versions(NAME)[0]) / "artifacts/model/model.json"
    write_whole(about, about.read_text().replace('"format": 1', '"format": 2'))
    told = sentence(plant.project.command("promote", "scales"))
    assert "is of a newer endline (format 2, this one reads 1)" in told
    assert CHAMPION not in plant.registry.aliases(NAME)


def remove(plant, kind):
    for path in (plant.project.folder / "acceptance" / kind).iterdir():
        path.unlink()


def spoil(plant, text):
    for path in plant.project.folder.glob("acceptance/*/*.json"):
        path.write_text(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda plant: remove(plant, "good") or remove(plant, "bent"),
            "acceptance holds no weighing: weigh some parts.",
        ),
        (lambda plant: spoil(plant, "?"), "acceptance holds no weighing: weigh some parts."),
        (lambda plant: remove(plant, "good"), "The acceptance set has no labelled normal part, so nobody knows how "),
        (
            lambda plant: spoil(plant, "[1.0, 2.0]"),
            "has 2 weights: weigh it again. Name a set of this machine and station.",
        ),
        (
            lambda plant: write_whole(
                plant.project.folder / "conf/base/promotion.yml", '{"stations": {"scales": {"acceptance": "gone"}}}'
            ),
            "There is no folder gone of an acceptance set: correct it (--acceptance).",
        ),
        (
            lambda plant: write_whole(plant.project.folder / "conf/base/promotion.yml", "{}"),
            "scales has no acceptance set: give --acceptance=FOLDER with labelled parts that train nobody, or name it ",
        ),
        (
            lambda plant: write_whole(plant.project.folder / "conf/base/promotion.yml", '{"bounds": {"second": 1}}'),
            "The bounds of the promotion cannot be used (",
        ),
    ],
)
def test_an_acceptance_set_that_decides_nothing_is_a_sentence(plant, trained, sentence, change, said):
    plant.add(trained("1"))
    change(plant)
    acceptance = ["--acceptance", plant.project.folder / "acceptance"] if "bounds" in said else []
    assert said in sentence(plant.project.command("promote", "scales", *acceptance))
    assert CHAMPION not in plant.registry.aliases(NAME)


def test_nobody_is_judged_by_what_he_has_learned_from(plant, trained, sentence):
    folder = plant.project.folder / "acceptance"
    digest = content_key(json.loads((folder / "good/3.json").read_text()))
    plant.add(trained("1"), training={"part.json": digest})
    told = sentence(plant.project.command("promote", "scales"))
    assert told.startswith(f"{NAME}/1 has learned from 1 file(s) of the acceptance set {folder} (good/3.json): take ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--force",), "--force and --why=<reason> go together"),
        (("--why=x",), "--force and --why=<reason> go together"),
        (("--run=9",), f"The run 9 has no version of {NAME}: give one that has, or run `endline register 9`."),
        (("--group=b",), "No model of the group 'b' of scales is registered: choose one of all."),
    ],
)
def test_a_wish_that_names_nothing_is_a_sentence(plant, trained, sentence, options, said):
    plant.add(trained("1"))
    assert sentence(plant.project.command("promote", "scales", *options)).startswith(said)


def test_there_is_nothing_to_roll_back_before_there_is_a_champion(plant, trained, sentence):
    plant.add(trained("1"))
    assert sentence(plant.project.command("rollback", "scales")).startswith(f"{NAME} has no champion yet: run `endline")


def judged(model, scores, flagged, labels, p_value=0.5, **changes):
    items = pd.DataFrame({"sample_id": range(len(scores)), "score": scores, "flagged": flagged, "label": labels})
    units = items["sample_id"].astype(str)
    items = items.assign(p_value=p_value, unit=units, reason=None).astype({"flagged": "boolean"})
    about = {"seconds": 0.1, "memory_mb": 500.0} | changes
    return Judged(items, model.calibration, **about)


LABELS = [0] * 30 + [1] * 10
GOOD = list(np.linspace(0, 1, 30)) + list(np.linspace(2, 3, 10))


@pytest.mark.parametrize(
    ("scores", "flagged", "changes", "failing"),
    [
        (GOOD, [score > 1 for score in GOOD], {}, []),
        (GOOD[::-1], [score > 1 for score in GOOD], {}, ["AUROC"]),
        (GOOD, [False] * 40, {}, ["detection"]),
        (GOOD, [True] * 40, {}, ["false alarms"]),
        (GOOD, [None] + [score > 1 for score in GOOD[1:]], {}, ["every file"]),
        (GOOD, [score > 1 for score in GOOD], {"seconds": 2.1}, ["speed"]),
        (GOOD, [score > 1 for score in GOOD], {"memory_mb": 5000.0}, ["memory"]),
        (GOOD, [score > 1 for score in GOOD], {"memory_mb": None}, []),
    ],
)
def test_each_criterion_keeps_out_what_it_is_for(models, scores, flagged, changes, failing):
    champion = judged(models[0], GOOD, [score > 1 for score in GOOD], LABELS)
    challenger = judged(models[0], scores, flagged, LABELS, **changes)
    for beside in (champion, None):
        found = criteria(challenger, beside, Bounds())
        assert [each.name for each in found if not each.holds] == failing
        assert all_hold(found) == (not failing)


def test_without_a_fault_the_other_criteria_decide(models):
    challenger = judged(models[0], GOOD[:30], [False] * 30, [0] * 30)
    found = {each.name: each for each in criteria(challenger, None, Bounds())}
    assert all_hold(list(found.values()))
    assert found["AUROC"].said == found["detection"].said == "not tested, the set has no faulty part"


@pytest.mark.parametrize(("p_value", "said"), [(0.5, False), (0.1, True)])
def test_normal_parts_that_are_not_like_those_that_train_are_told_and_decide_nothing(models, p_value, said):
    challenger = judged(models[0], GOOD, [score > 1 for score in GOOD], LABELS, p_value)
    found = {each.name: each for each in criteria(challenger, None, Bounds())}["false alarms"]
    assert found.holds  # none of them is flagged: it is the rate of later parts that is in doubt
    assert ("; beware: normal items of the set are not like those that train, on average one" in found.said) == said
    assert found.said.endswith("train on parts of both kinds, or the rate will not hold") == said


@pytest.mark.parametrize("bounds", [{"seconds": 0.0}, {"auroc_margin": -0.1}, {"memory_mb": float("nan")}])
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(EndlineError, match=r"^promotion: auroc_margin=.*correct them\.$"):
        Bounds(**bounds)


def test_a_registered_name_of_nobody_has_no_label():
    assert Registered("", 0).label == ""


def test_of_several_simulated_machines_the_acceptance_set_is_of_the_one_that_was_learned(plant, trained, monkeypatch):
    station, asked = stations._REGISTERED["scales"], []

    def simulate(folder, settings, progress):
        write_whole(folder / "simulation.json", "{}")
        return folder

    def read(folder, request):
        asked.append((folder, request.group))
        raise EndlineError("That is enough.")

    stations._REGISTERED["scales"] = replace(station, simulate=simulate, index=read)
    folder = plant.project.folder
    parameters = json.loads((folder / "conf/base/parameters.yml").read_text())
    parameters["scales"]["simulation"] = {"seed": 0}
    write_whole(folder / "conf/base/parameters.yml", json.dumps(parameters))
    own = {"scales": {"acceptance": None, "simulation": {"seed": 1}}}
    write_whole(folder / "conf/base/promotion.yml", json.dumps({"bounds": {}, "stations": own}))
    for tags in ({"group": "fan"}, {"group": "fan, pump"}):
        plant.add(trained(f"1{len(asked)}"), tags={"simulated": "True", **tags})
        told = plant.project.command("promote", "scales")
        assert "That is enough." in told.output
    simulated = Path("data/simulated_acceptance")
    assert asked == [(simulated, "fan"), (simulated, None)]
