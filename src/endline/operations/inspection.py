"""Inspect new files with a published model: verdicts as a table, and what they come from."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.compute import CPU, Compute
from endline.errors import EndlineError
from endline.evaluation.map_values import has_maps
from endline.evidence.decoded import DECODED
from endline.evidence.station import Inspected
from endline.feature_set import FeatureSet
from endline.files import content_key, file_digest
from endline.operations.explanation import Explanation, explained, scored_item, shown_item
from endline.operations.model_folders import model_folder
from endline.operations.registry import Registered
from endline.operations.remarks import Remarks
from endline.operations.verdicts import ANOMALOUS, NORMAL, Verdict, verdict_table
from endline.published import PublishedModel

FileState = tuple[tuple[int, ...], ...]
log = logging.getLogger(__name__)


class Judged(NamedTuple):
    """An item with its verdict.

    Attributes:
        verdict: on it.
        maps: (parts, h, w), or None where there are none or none was wanted.

    Example:
        >>> Judged(Verdict.refused("a", "a", "", "a is empty.", "1", "mirror_audio"), None).maps is None
        True
    """

    verdict: Verdict
    maps: NDArray[np.float32] | None


@dataclass(frozen=True)
class Inspector:
    """Everything that a verdict on a new file needs, loaded once.

    Attributes:
        model: the published model.
        compute: device and precision.
        registered: which version of the registry the model is; None where it is none.

    Example:
        `Inspector.load("mirror_audio").inspect(["new.wav", "other.wav"])`
    """

    model: PublishedModel
    compute: Compute = CPU
    registered: Registered | None = None

    @classmethod
    def load(
        cls, source: str | Path, *, project: Path | None = None, env: str | None = None, compute: Compute = CPU
    ) -> "Inspector":
        """Inspector of a published model.

        Args:
            source: the id of a run, the folder of a published model, a model of the registry such as
                `models:/endline.mirror_audio.mirror@champion`, or the name of a station, whose newest it is.
            project: the project's folder; None: the current one.
            env: overlay of the configuration, which may name another folder of models.
            compute: device and precision.

        Raises:
            EndlineError: as `model_folder` and `PublishedModel.load`.
        """
        located = model_folder(source, project or Path.cwd(), env)
        return cls(PublishedModel.load(located.folder, compute), compute, located.registered)

    def inspect(self, paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
        """Verdicts on files, a row an item; the columns are the attributes of `Verdict`.

        No file raises: one that cannot be used has the verdict `none`, and its reason.

        Args:
            paths: a file, or several.
        """
        given = [Path(paths)] if isinstance(paths, str | Path) else map(Path, paths)
        return verdict_table(item.verdict for path in given for item in self.judged(path, str(path), path.name))

    def explain(self, path: str | Path) -> Explanation:
        """What the verdict on a file of one item comes from.

        Raises:
            EndlineError: when the file cannot be used, or holds several items.
        """
        path = Path(path)
        with Remarks() as remarks:
            rows, features = self.model.preparation.inspect(path, self.compute)
            item = scored_item(self.model, rows, features, maps=True)
        verdict = self._verdict(item.verdicts, path.name, str(path), digest_of(path))
        verdict = replace(verdict, remark=remarks.taken())
        shown = shown_item(self.model, rows, features, item, path.parent)
        return explained(self.model, verdict, item, shown)

    def judge(self, rows: pd.DataFrame, features: FeatureSet) -> pd.DataFrame:
        """Scores and verdicts of rows of the sample table with their arrays: `sample_id, score, p_value, flagged`."""
        verdicts = scored_item(self.model, rows, features, maps=False).verdicts
        return verdicts[["sample_id", "score", "p_value", "flagged"]]

    def judged(
        self, path: Path, shown: str, item_name: str, *, maps: bool = False, others: Sequence[Path] = ()
    ) -> list[Judged]:
        """Each item of a file with its verdict; nothing that a file holds, or lacks, raises.

        Args:
            path: of the file.
            shown: name of the file in the table of verdicts.
            item_name: of its item, or the beginning of those of its items.
            maps: whether maps are wanted.
            others: further files that its item is read from.
        """
        before = file_state(path, *others)
        digest = digest_of(path, *others)
        items: list[Judged] = []
        with Remarks() as remarks:
            try:
                if path.is_dir():
                    raise EndlineError(
                        f"{path} is a folder: give its files, or judge them all by `endline inspect {path}`."
                    )
                for item, found in self.model.preparation.inspect_each(path, self.compute):
                    sample_id = item_name + item.removeprefix(str(path))
                    verdict, drawn = self._judged(found, sample_id, shown, digest, maps)
                    items.append(Judged(replace(verdict, remark=remarks.taken()), drawn))
                problem = None
            except EndlineError as error:
                problem = str(error)
            except Exception as error:  # a file that nobody has foreseen keeps no other from its verdict
                log.exception("%s could not be judged.", path)
                problem = f"{path} could not be judged ({_said(error)}): report this, with the file."
            finally:
                DECODED.forget()
        if any(before) and before != file_state(path, *others):
            items, problem = [], f"{path} changed while it was read, or has gone: inspect it again when it is complete."
        if problem is not None:
            refused = self.refused(item_name, shown, digest, problem)
            items.append(Judged(replace(refused, remark=remarks.taken()), None))
        return items

    def refused(self, sample_id: str, path: str, digest: str, reason: str) -> Verdict:
        """The row of an item that this model cannot judge."""
        verdict = Verdict.refused(sample_id, path, digest, reason, self.model.run, self.model.station)
        return replace(verdict, model=self._who.label, alias=self._who.alias)

    @property
    def name(self) -> str:
        """What judges, in words."""
        known, run = self.registered, f"the run {self.model.run} of {self.model.station}"
        if known is None:
            return run
        return f"{run}, {known.label}" + (f" ({known.alias})" if known.alias else "")

    @property
    def _who(self) -> Registered:
        return self.registered or Registered("", 0)

    def _judged(self, found: Inspected | EndlineError, sample_id: str, path: str, digest: str, maps: bool) -> Judged:
        if isinstance(found, EndlineError):  # one bad cycle of a table keeps no other from its verdict
            return Judged(self.refused(sample_id, path, digest, str(found)), None)
        try:
            item = scored_item(self.model, *found, maps=maps)
        except EndlineError as error:
            return Judged(self.refused(sample_id, path, digest, str(error)), None)
        drawn = item.maps.read()["map"].numpy() if maps and has_maps(item.maps) else None
        return Judged(self._verdict(item.verdicts, sample_id, path, digest), drawn)

    def _verdict(self, verdicts: pd.DataFrame, sample_id: str, path: str, digest: str) -> Verdict:
        row = verdicts.iloc[0]
        flagged, model, who = bool(row["flagged"]), self.model, self._who
        word, numbers = ANOMALOUS if flagged else NORMAL, (float(row["score"]), float(row["p_value"]))
        return Verdict(
            sample_id, path, digest, word, *numbers, flagged, None, model.run, model.station, who.label, who.alias
        )


def file_state(*paths: Path) -> FileState:
    """Size, and times of change of content and rights, of each file; nothing of one that is not there.

    Example:
        >>> file_state(Path("absent.png"), Path("absent.tiff"))
        ((), ())
    """

    def state(path: Path) -> tuple[int, ...]:
        try:
            about = path.stat()
        except OSError:
            return ()
        return about.st_size, about.st_mtime_ns, about.st_ctime_ns

    return tuple(map(state, paths))


def digest_of(*paths: Path) -> str:
    """Digest of a file, or of the digests of several; empty where one cannot be read, of which the station has words.

    Example:
        >>> digest_of(Path("absent.png"))
        ''
    """
    try:
        digests = [file_digest(path) if path.is_file() else "" for path in paths]
    except OSError:
        return ""
    if not all(digests):
        return ""
    return digests[0] if len(digests) == 1 else content_key(digests)


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
