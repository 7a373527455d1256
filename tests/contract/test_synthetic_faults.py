"""The contract of every station that makes synthetic faults: ordinary files, which its own preparation reads."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from endline.array_store import ArrayStore
from endline.evidence.station import Arrays, Preparation, Station, find_station, station_names
from endline.operations.sweep.resolved import configuration
from endline.pipelines.station_nodes import index, locate
from endline.samples import check_samples, item_of

READ = {  # arrays, of maps the first scale; elsewhere the picture
    "robot_cycle": ("cycle", "valid"),
    "machine_audio": ("log_mel",),
    "surface_scan": ("scale",),
}


@dataclass(frozen=True)
class Made:
    """Two normal items of a station, and what became of them."""

    station: Station
    originals: pd.DataFrame
    folder: Path
    target: Path
    preparation: Preparation
    copies: pd.DataFrame

    def arrays(self, samples: pd.DataFrame, folder: Path) -> dict[str, Any]:
        store = ArrayStore(self.target / "store")
        made = store.make(self.preparation.recipe(samples, folder, store)).read()
        return {
            name: values.double()
            for name, values in made.items()
            if name.removesuffix("_0") in READ.get(self.station.name, ("image",))
        }


@pytest.fixture(scope="module", params=[name for name in station_names() if find_station(name).synthesise])
def made(request, project, tmp_path_factory) -> Made:
    station, target = find_station(request.param), tmp_path_factory.mktemp("copies")
    with contextlib.chdir(project.folder):
        own = configuration(project.folder, "smoke", {})["parameters"][station.name]
        source = locate(station, own["run"], own["simulation"])
        samples, _, inputs = index(station, source, own["run"], own["split"], own["preparation"])
        folder = Path(source["folder"]).resolve()
    wanted = Arrays(READ.get(station.name, ("image",)))
    preparation = station.prepare(samples, folder, inputs["facts"], own["preparation"], wanted)
    training = samples[samples["split"] == "train"]
    originals = training[item_of(training).isin(item_of(training).unique()[:2])]
    copies = station.synthesise(originals, folder, target, preparation, 0)
    return Made(station, originals, folder, target, preparation, copies)


def test_copies_are_samples_of_the_station_and_say_that_they_are_simulated(made):
    copies = check_samples(made.copies)
    assert copies["simulated"].all()
    assert (copies["split"] == "test").all()
    assert set(copies["label"][copies["kind"] == "normal"]) == {0}
    assert set(copies["label"][copies["kind"] != "normal"]) == {1}
    assert set(copies["unit"]) == set(made.originals["unit"])
    assert copies["kind"].nunique() >= 5
    for path in copies["path"]:
        assert (made.target / path).is_file()


def test_a_copy_without_a_fault_is_what_its_original_is_and_every_fault_alters_it(made):
    before = made.arrays(made.originals.assign(split="test"), made.folder)
    after = made.arrays(made.copies, made.target)
    known = made.originals.reset_index(drop=True)
    for name, values in after.items():
        spread, changes = float(before[name].std()), dict.fromkeys(item_of(made.copies), 0.0)
        for row, copy in enumerate(made.copies.to_dict("records")):
            same = known.index[(known["unit"] == copy["unit"]) & (known["part"].fillna("") == (copy["part"] or ""))][0]
            change = float((values[row] - before[name][same]).abs().max()) / spread
            if copy["kind"] == "normal":
                assert change < 1e-3, (name, copy["sample_id"])
            item = item_of(made.copies)[row]  # a fault may be in one of its parts alone
            changes[item] = max(changes[item], change)
        if name != "valid":  # a fault makes no cycle longer or shorter
            assert all(change > 1e-3 for item, change in changes.items() if not item.startswith("normal/")), changes


def test_the_seed_decides_everything(made, tmp_path):
    again = made.station.synthesise(made.originals, made.folder, tmp_path / "again", made.preparation, 0)
    other = made.station.synthesise(made.originals, made.folder, tmp_path / "other", made.preparation, 1)
    values = [[(each.read_bytes()) for each in map(folder.joinpath, table["path"])] for folder, table in (
        (made.target, made.copies), (tmp_path / "again", again), (tmp_path / "other", other)
    )]  # fmt: skip
    assert values[0] == values[1]
    assert values[0] != values[2]
    assert np.array_equal(made.copies["kind"], again["kind"])
