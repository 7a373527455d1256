"""The record of a station, from which its pipeline, inspection, streaming and the command line are made."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline import evidence
from endline.array_store import ArrayStore, FeatureRecipe
from endline.backbones.pyramids import PyramidSettings
from endline.compute import CPU, Compute
from endline.errors import EndlineError, FileRejected
from endline.evaluation.attribution import hottest
from endline.feature_set import FeatureSet
from endline.reporting.exhibit import Exhibit
from endline.samples import Index

Settings = Mapping[str, Any]
log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
Inspected = tuple[pd.DataFrame, FeatureSet]


class Preparation(ABC):
    """How evidence becomes arrays: the settings and what was fitted on the set, as one frozen dataclass.

    A later sample is treated by it exactly as those of the run. Subclasses are dataclasses whose fields JSON can write;
    `from_plain` reads them back.

    Example:
        >>> from endline.evidence.cycles.features import CyclePreparation
        >>> preparation = CyclePreparation(("torque",), length=100, rate=50.0)
        >>> CyclePreparation.from_plain(preparation.plain()) == preparation
        True
    """

    station: ClassVar[str]
    segments: ClassVar[bool] = False  # whether samples run along time, so that they can be streamed

    @property
    def pyramid(self) -> PyramidSettings | None:
        """How feature maps were made; None where there are none of a backbone."""
        return None

    @property
    def hop(self) -> float | None:
        """Seconds from one window to the next of something longer; None where items are no windows."""
        return None

    @abstractmethod
    def recipe(self, samples: pd.DataFrame, folder: Path, store: ArrayStore, compute: Compute = CPU) -> FeatureRecipe:
        """Recipe of the arrays of all samples.

        Args:
            samples: the sample table.
            folder: raw folder.
            store: where arrays lie that others can be made from.
            compute: of the backbone.

        Raises:
            EndlineError: for settings that do not go together, before anything is read.
        """

    @abstractmethod
    def inspect(self, path: Path, compute: Compute = CPU) -> Inspected:
        """Rows of the sample table, of unknown label, and arrays of one new file.

        Raises:
            EndlineError: when the file cannot be used.
        """

    def inspect_each(self, path: Path, compute: Compute = CPU) -> Iterator[tuple[str, Inspected | EndlineError]]:
        """What `inspect` gives of each item of a new file, by name, or what is wrong with it: most files are one item.

        Raises:
            EndlineError: when the file cannot be used at all.
        """
        yield str(path), self.inspect(path, compute)

    def remarks(self, row: Mapping[Any, Any]) -> list[str]:
        """What of an item's row in the sample table counts by itself, or was left out: each "lasts 9 s, ...".

        The verdict has it as a remark, and the report beside the item's pictures.
        """
        return []

    def warn_of(self, name: str, row: Mapping[Any, Any]) -> None:
        """Warn of what `remarks` has to say of a new item."""
        for remark in self.remarks(row):
            log.warning("%s %s", name, remark)

    def plain(self) -> dict[str, Any]:
        """The preparation as JSON can write it."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # subclasses are dataclasses

    @classmethod
    @abstractmethod
    def from_plain(cls, plain: Settings) -> Self:
        """The preparation that `plain` wrote."""


@dataclass(frozen=True)
class Arrays:
    """What of the evidence a run wants as arrays.

    Attributes:
        required, optional: names of arrays that the detector reads, the latter where the evidence has them.
        input_type: of the pyramid that the detector prefers.
        light: of photographs that it prefers.
        modality: of photographs and scans that it prefers.

    Example:
        >>> Arrays(required=("scale",), optional=("mask",)).input_type
        'multifeature'
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    input_type: str = "multifeature"
    light: str = "as_is"
    modality: str = "both"


@dataclass(frozen=True)
class IndexRequest:
    """What an index must know beside the raw folder.

    Attributes:
        group: of the run, None for the only one.
        simulated: whether the raw files were simulated.
        seed: of random choices.
        split: parameters `<station>.split`.
        preparation: parameters `<station>.preparation`.

    Example:
        >>> IndexRequest(None, simulated=False, seed=0, split={}, preparation={}).seed
        0
    """

    group: str | None
    simulated: bool
    seed: int
    split: Settings
    preparation: Settings


@dataclass(frozen=True)
class Shown:
    """What the exhibits of a run are drawn from.

    Attributes:
        shortlist: the items to show, rows of the scores with `why`.
        samples: the sample table, row by row with `features`.
        features: the feature set.
        part_scores: the scored rows, row by row with `maps`.
        maps: array `map` of each scored row, (0, 0) where the detector has none.
        folder: raw folder.
        attribution: what the verdicts come from, see `Station.attribute`.
        nearest: training samples to compare with, see `Station.attribute`.

    Example:
        >>> table, none = pd.DataFrame({"sample_id": ["a"]}), FeatureSet({"map": np.zeros((1, 0, 0), "f4")})
        >>> Shown(table.assign(why="missed"), table, none, table, none, Path("raw")).verdicts()
        [{'sample_id': 'a', 'why': 'missed'}]
    """

    shortlist: pd.DataFrame
    samples: pd.DataFrame
    features: FeatureSet
    part_scores: pd.DataFrame
    maps: FeatureSet
    folder: Path
    attribution: pd.DataFrame = field(default_factory=pd.DataFrame)
    nearest: pd.DataFrame = field(default_factory=pd.DataFrame)

    def verdicts(self) -> list[dict[str, Any]]:
        """The rows of the shortlist."""
        return [{str(column): value for column, value in row.items()} for row in self.shortlist.to_dict("records")]


@dataclass(frozen=True)
class Window:
    """A window of evidence that runs on: what `Preparation.inspect` would see of it, cut out into a file of its own.

    Attributes:
        start, stop: seconds from the start.
        inspected: its row and arrays; None where it cannot be judged.
        problem: what is wrong with it, or with the file at this moment.

    Example:
        >>> Window(3.0, 6.0, None, FileRejected("the recording is silent", "check the microphone")).problem.reason
        'the recording is silent'
    """

    start: float
    stop: float
    inspected: Inspected | None
    problem: FileRejected | None = None


@dataclass(frozen=True)
class Station:
    """A station: what is its own; everything else is shared.

    Attributes:
        name: of the pipeline and of its parameters.
        title: of its reports.
        evidence: what its items are, in the plural: "recordings".
        index: raw folder and request to the sample table.
        prepare: sample table, raw folder, facts of the index, parameters `<station>.preparation` and the arrays that
            the run wants, to the fitted preparation.
        preparation: its class.
        attribute: what the verdicts come from, as two tables: which signal, band or position counts how much, by
            `sample_id`; and of each shortlisted item the `nearest` training one, empty where none is compared with.
        exhibits: what the report shows of the shortlisted items.
        simulate: fills a folder with a simulated set, from parameters `<station>.simulation` and a progress.
        suffixes: endings (lower case) of its files; what else lies in a folder may be a note or a table beside them.
        groups: of a folder and its files those of each item, first the one by which it is judged, where an item may
            have several; a file of none, as a mask, is not judged; None where each file is.
        more_training: how more samples of a published split are taken, as a half sentence.
        masks: defect masks (batch, 256, 256) of scored rows below a folder, as the preparation shows their samples,
            batch after batch; None without masks.
        windows: a file of any length as windows that each could be an item, one every so many seconds (None: the
            preparation's `hop`), and where a file is still written, followed until it has not grown for so many (None:
            it is complete); None where items are no pieces of something longer.
        synthesise: copies of normal items with faults that are made, by which `detector: auto` compares detectors: rows
            of the sample table, the raw folder, an empty folder for the copies, the preparation and a seed, to the rows
            of the copies, see `altered_copies`; None where `auto` cannot be chosen.

    Example:
        >>> find_station("robot_cycle").title
        'Robot cycles'
    """

    name: str
    title: str
    evidence: str
    index: Callable[[Path, IndexRequest], Index]
    prepare: Callable[[pd.DataFrame, Path, Settings, Settings, Arrays], Preparation]
    preparation: type[Preparation]
    attribute: Callable[[Shown, Any], tuple[pd.DataFrame, pd.DataFrame]]
    exhibits: Callable[[Shown, Any], list[Exhibit]]
    simulate: Callable[[Path, Settings, Progress], Path]
    suffixes: Collection[str] = ()
    groups: Callable[[Path, Sequence[Path]], Iterable[tuple[Path, ...]]] | None = None
    more_training: str = "take more of them"
    masks: Callable[[pd.DataFrame, Path, Any], Iterator[NDArray[np.bool_]]] | None = None
    windows: Callable[[Path, Any, float | None, Compute, float | None], Iterator[Window]] | None = None
    synthesise: Callable[[pd.DataFrame, Path, Path, Any, int], pd.DataFrame] | None = None


_REGISTERED: dict[str, Station] = {}


@cache
def _modules() -> Mapping[str, str]:
    """Station -> module that holds its record as `STATION`; each kind of evidence names its own in `STATIONS`."""
    kinds = [import_module(kind.name) for kind in iter_modules(evidence.__path__, "endline.evidence.") if kind.ispkg]
    return {name: f"{kind.__name__}.{name}" for kind in kinds for name in kind.STATIONS}


def station_names() -> Sequence[str]:
    """Names of all stations, sorted; no record is imported."""
    return sorted({*_modules(), *_REGISTERED})


def find_station(name: str) -> Station:
    """The record of a station; its module is imported now.

    Raises:
        EndlineError: for an unknown name.

    Example:
        >>> find_station("mirror_audio").evidence
        'recordings'
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in _modules():
        raise EndlineError(f"There is no station '{name}': choose one of {', '.join(station_names())}.")
    station: Station = import_module(_modules()[name]).STATION
    return station


def hottest_points(shown: Shown, preparation: Preparation) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Where each anomaly map of an image is largest: the attribution of stations whose arrays are images."""
    return hottest(shown.maps, shown.part_scores), pd.DataFrame({"sample_id": [], "nearest": []}, dtype=str)


def register(station: Station) -> Station:
    """Add the record of a station that lies outside this package; returns it."""
    _REGISTERED[station.name] = station
    return station
