"""A run says that it goes on, from its start to its end, and keeps to itself what is its own."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from mlflow.utils.validation import _validate_metric

from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.files import locked, write_whole
from endline.hooks.housekeeping import Housekeeping
from endline.hooks.runs import DETECTORS
from endline.hooks.tracking import _numbers
from endline.owner import Owner
from endline.versions import RUNS_LOCK

PIPELINE = Pipeline([node(lambda run, scores: scores, ["params:line.run", "scores"], "report", name="report")])


@pytest.fixture
def run(tmp_path: Path) -> tuple[Housekeeping, DataCatalog]:
    """Hooks and catalog of a run, `2`, of a pipeline that reads the scores of an earlier one."""
    dataset = {
        "type": "endline.datasets.atomic.AtomicDataset",
        "versioned": True,
        "dataset": {"type": "text.TextDataset"},
    }
    entries = {name: {**dataset, "filepath": str(tmp_path / name)} for name in ("scores", "report")}
    catalog = DataCatalog.from_config(entries, save_version="2")
    folders = {"store": "store", "raw_simulated": "raw/simulated", "checkpoints": "checkpoints"}
    catalog["params:line.run"] = MemoryDataset(
        {"station": "line", **{name: str(tmp_path / folder) for name, folder in folders.items()}}
    )
    hooks = Housekeeping()
    hooks._project = tmp_path
    return hooks, catalog


def is_alone(project: Path) -> bool:
    try:
        with locked(project / RUNS_LOCK, "busy"):
            return True
    except EndlineError:
        return False


def test_a_run_goes_on_until_its_end(run: tuple[Housekeeping, DataCatalog], tmp_path: Path) -> None:
    hooks, catalog = run
    write_whole(tmp_path / "scores/1/scores", "of 1")
    write_whole(tmp_path / "store/.a.999999999-0a0a0a0a.partial.npy", "half")
    for end in (lambda: hooks.after_pipeline_run(PIPELINE, catalog), hooks.on_pipeline_error):
        hooks.before_pipeline_run({}, PIPELINE, catalog)
        assert not is_alone(tmp_path)
        assert catalog.load("scores") == "of 1"
        end()
        assert is_alone(tmp_path)
    assert not list((tmp_path / "store").iterdir())


def test_a_run_that_cannot_begin_does_not_go_on(run: tuple[Housekeeping, DataCatalog], tmp_path: Path) -> None:
    hooks, catalog = run
    with pytest.raises(
        EndlineError, match="No earlier run has all that this part of the pipeline reads: run the whole"
    ):
        hooks.before_pipeline_run({}, PIPELINE, catalog)
    assert is_alone(tmp_path)


def test_a_misspelt_detector_is_refused_before_anything_is_read(
    run: tuple[Housekeeping, DataCatalog], tmp_path: Path
) -> None:
    hooks, catalog = run
    write_whole(tmp_path / "scores/1/scores", "of 1")
    pipeline = PIPELINE + Pipeline([node(lambda detectors: detectors, DETECTORS, "fitted", name="fit")])
    catalog[DETECTORS] = MemoryDataset({"cs_flow": {"type": "endline.detectors.maps.cs_flow.CsFlow"}})
    settings = catalog.load("params:line.run")
    catalog["params:line.run"] = MemoryDataset({**settings, "detector": "cs_flwo"})
    with pytest.raises(EndlineError, match=r"cs_flwo.*cs_flow"):
        hooks.before_pipeline_run({}, pipeline, catalog)
    assert is_alone(tmp_path)
    hooks.before_pipeline_run({}, PIPELINE, catalog)  # a pipeline that fits nothing asks for no detector
    hooks.on_pipeline_error()


@pytest.mark.parametrize("asks", [lambda table: table["pause"], lambda table: table[["score", "pause"]]])
def test_a_column_that_an_earlier_version_did_not_make_is_said_with_the_remedy(
    asks: Callable[[pd.DataFrame], object], tmp_path: Path
) -> None:
    entry = {
        "type": "endline.datasets.atomic.AtomicDataset",
        "versioned": True,
        "dataset": {"type": "pandas.ParquetDataset"},
        "filepath": str(tmp_path / "scores"),
    }
    catalog = DataCatalog.from_config({"scores": entry}, save_version="2")
    DataCatalog.from_config({"scores": entry}, save_version="1").save("scores", pd.DataFrame({"score": [1.0]}))
    hooks, reading = Housekeeping(), node(asks, "scores", "summary", name="summarise")
    hooks._project = tmp_path
    hooks.before_pipeline_run({}, Pipeline([reading]), catalog)
    inputs = {"scores": catalog.load("scores")}
    with pytest.raises(KeyError) as error:
        asks(inputs["scores"])
    with pytest.raises(EndlineError, match=r"summarise found no column .*pause.* in scores of 1: .*--from-nodes"):
        hooks.on_node_error(error.value, reading, catalog, inputs)
    hooks.on_node_error(KeyError("score"), reading, catalog, inputs)  # it is there: the fault is another one
    hooks.on_pipeline_error()


def test_a_good_end_clears_the_checkpoints_of_this_run_alone(
    run: tuple[Housekeeping, DataCatalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks, catalog = run
    write_whole(tmp_path / "scores/1/scores", "of 1")
    progress = Progress(tmp_path / "checkpoints/fit/a.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(Owner, "current", lambda: Owner("elsewhere", 1, 1))
        progress.keep("fit", {}, [])
    (theirs,) = (tmp_path / "checkpoints/fit").iterdir()
    hooks.before_pipeline_run({}, PIPELINE, catalog)
    progress.keep("fit", {}, [])
    assert len(list((tmp_path / "checkpoints/fit").iterdir())) == 2
    hooks.after_pipeline_run(PIPELINE, catalog)
    assert list((tmp_path / "checkpoints/fit").iterdir()) == [theirs]
    theirs.unlink()
    hooks.before_pipeline_run({}, PIPELINE, catalog)
    hooks.after_pipeline_run(PIPELINE, catalog)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    "kind",
    [
        "a//b",
        "/a",
        "..",
        "../x",
        "a/../b",
        "a\nb",
        "scratch?",
        "x" * 400,
        "Kratzer ä",
        "+",
        "a\x00b",
        "<b>",
        "/etc",
        "a/",
    ],
)
def test_mlflow_takes_the_figures_of_any_kind_of_fault(kind):
    numbers = _numbers({"auroc": 0.9, "auroc_by_kind": {kind: {"auroc": 0.5, "low": 0.25}}})
    assert list(numbers.values())[:2] == [0.9, 0.5]
    for name, value in numbers.items():
        _validate_metric(name, value, 0, 0)


def test_kinds_that_differ_by_a_sign_alone_keep_their_figures_apart():
    assert _numbers({"kinds": {"1*": 0.5, "1?": 0.25, "1": 0.75}}) == {
        "kinds.1_": 0.5,
        "kinds.1__": 0.25,
        "kinds.1": 0.75,
    }
