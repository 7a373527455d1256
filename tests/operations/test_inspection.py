"""Which published model judges: the newest, or none where that one is damaged."""

from pathlib import Path

import pytest

from endline.errors import EndlineError
from endline.files import discard, write_whole
from endline.operations.inspection import latest_model
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
