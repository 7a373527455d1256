"""Which published model judges: the newest, or none where that one is damaged."""

from pathlib import Path

import pytest

from endline.errors import EndlineError
from endline.files import discard, write_whole
from endline.operations.model_folders import latest_model, model_folder
from endline.published import ABOUT

MODELS = "data/06_models/mirror_audio/model"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the published models of the runs 1 and 2."""
    write_whole(tmp_path / "conf/base/catalog.yml", "'{station}.model': {filepath: 'data/06_models/{station}/model'}")
    for version in "12":
        write_whole(tmp_path / MODELS / version / "model" / ABOUT, "{}")
    return tmp_path


def test_a_run_that_goes_on_or_was_killed_has_no_model_yet(project: Path) -> None:
    (project / MODELS / "3").mkdir()
    write_whole(project / MODELS / "4/.model.host-1-1-0a0a0a0a.partial" / ABOUT, "{}")
    assert latest_model(project, "mirror_audio") == project / MODELS / "2/model"
    discard(project / MODELS / "2")  # as `prune` does
    assert latest_model(project, "mirror_audio") == project / MODELS / "1/model"


def test_an_older_model_does_not_judge_in_the_stead_of_a_damaged_one(project: Path) -> None:
    (project / MODELS / "2/model" / ABOUT).unlink()
    newest = project / MODELS / "2"
    with pytest.raises(EndlineError) as caught:
        latest_model(project, "mirror_audio")
    assert str(caught.value) == (
        f"The newest published model, {newest}/model, is damaged, it has lost model.json: run "
        f"`kedro run --pipeline=mirror_audio` again, or remove {newest} to judge by the model before it."
    )
    write_whole(project / MODELS / "3/model" / ABOUT, "{}")
    assert latest_model(project, "mirror_audio").parent.name == "3"  # an older one that is damaged keeps nobody


def test_without_any_model_the_first_run_is_what_is_wanting(project: Path) -> None:
    for version in "12":
        discard(project / MODELS / version)
    with pytest.raises(
        EndlineError, match=r"^There is no fitted detector yet: run `kedro run --pipeline=mirror_audio`"
    ):
        latest_model(project, "mirror_audio")


def test_a_model_is_named_by_its_folder_its_run_or_its_station(project: Path) -> None:
    second = project / MODELS / "2/model"
    assert model_folder(second, project).folder == second
    assert model_folder(str(second.parent), project).folder == second
    assert model_folder("1", project).folder == project / MODELS / "1/model"
    assert model_folder("mirror_audio", project).folder == second


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("3", "There is no run or station '3' with a published model: the newest runs are 2, 1."),
        (Path("3"), "3 is no folder of a published model, it has no model.json: correct the path."),
        ("data/3", "data/3 is no folder of a published model, it has no model.json: correct the path."),
        (
            "runs:/e1f8/model",
            "runs:/e1f8/model is no URI of a registered model: write models:/NAME@champion, or models:/NAME/3.",
        ),
        ("robot_cycle", "There is no fitted detector yet: run `kedro run --pipeline=robot_cycle` first."),
    ],
)
def test_a_model_that_is_not_there_is_a_sentence(project: Path, source: str | Path, said: str) -> None:
    with pytest.raises(EndlineError) as caught:
        model_folder(source, project)
    assert str(caught.value) == said


def test_a_run_cannot_be_named_before_there_is_any(project: Path, tmp_path: Path) -> None:
    for version in "12":
        discard(project / MODELS / version)
    with pytest.raises(
        EndlineError, match=r"^There is no run '1', nor any that has published a model: run `kedro run`"
    ):
        model_folder("1", project)
    with pytest.raises(EndlineError, match=r"has no catalog that names the model: call this in the project's folder\."):
        model_folder("1", tmp_path / "elsewhere")
