"""From indexed photographs and scans to the arrays that detectors read."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn.functional import interpolate

from endline.array_store import ArrayStore, FeatureRecipe
from endline.backbones.pyramids import PyramidSettings, check_size
from endline.compute import CPU, Compute
from endline.detectors.base import OUTSIDE
from endline.errors import EndlineError, FileRejected
from endline.evaluation.baselines import SUMMARY
from endline.evaluation.controls import CONTROL
from endline.evidence.image_parts import ArraySettings, ImageParts, array_settings, kept_backbone
from endline.evidence.images.decoding import MEGAPIXELS
from endline.evidence.images.depth import FULL, warn_of_depths
from endline.evidence.images.features import LIGHTS, standardised, summary
from endline.evidence.images.pages import warn_of_pages
from endline.evidence.images.photographs import image_tensor, read_indexed_image
from endline.evidence.images.shape import warn_of_shapes
from endline.evidence.images.usual_files import UsualFiles
from endline.evidence.rejected import one_file
from endline.evidence.scans.columns import (
    Columns,
    check_direction,
    check_shapes,
    photograph_columns,
    scan_columns,
    shapes,
    sides_remark,
)
from endline.evidence.scans.heights import height_remark
from endline.evidence.scans.modality import MODALITIES, OF_IMAGES, OF_PHOTOGRAPHS, OF_SCANS
from endline.evidence.scans.placeholders import warn_of_placeholders
from endline.evidence.scans.preparing import PartSettings, Relief, drawn, relief_of, resized
from endline.evidence.scans.reading import ScanReading
from endline.evidence.scans.roles import READABLE, is_readable, partners
from endline.evidence.scans.scan import Scan
from endline.evidence.scans.scan_parts import FPFH, JOINED, SCAN_PARTS, at_positions, glances, scan_parts
from endline.evidence.station import Inspected, Preparation
from endline.evidence.usual_range import UsualRange
from endline.feature_set import FeatureSet
from endline.files import content_key
from endline.samples import sample_table

BATCH = 8
FACTS = ("height", "width", "colours", "quantisation", "scan_height", "scan_width")  # that make the control
READING = 2  # raised when a file is read as other values than before, so that what was stored of it is made again
DTYPES = {
    # Half precision rounds.
    **dict.fromkeys(("unshuffled", "depth", "gap", "outline", OUTSIDE, "fpfh", "colour", CONTROL, SUMMARY), "float32"),
    **dict.fromkeys(("mask", "depth_mask"), "bool"),
}
Made = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ScanPreparation(Preparation):
    """How a photograph and a scan of a part become arrays.

    `scale` is, by modality: `rgb` the backbone's maps of the photograph, `3d` the depth in squares of 8 x 8 pixels as
    channels, `both` these joined to the backbone's maps, which are brought to the same 24 x 24 positions;
    `depth_image` the backbone's maps of the depth drawn as a grey image; `fpfh` fast point feature histograms, and
    `fpfh_colour` these with the mean colour. `mask` is the foreground, grown by a square of 8 pixels, `depth` and
    `depth_mask` the part at 192 x 192, `gap` what of it was not measured, `outline` where it ends, and `outside` how
    far its height lies beyond those of the training. The array
    `control` holds sizes and facts of the files, `summary` a few numbers that any look at the evidence gives.

    Attributes:
        modality: one of `MODALITIES`.
        size: height and width that a photograph, and a depth that is drawn, are resized to.
        arrays: which arrays are made of an image.
        depths: which arrays are made of a scan beside `scale`: of `DEPTH_ARRAYS`.
        reading: how scan files are read.
        part: how a part is set off from its support.
        limits: mm, the nearest and farthest relative depth, by which a depth is drawn as grey.
        before: mm by which the part of a training scan lies before its support, see `check_direction`.
        heights: range of these, see `usual_heights`; None: it is not looked at, as of models that were trained before.
        bits, megapixels, light: of photographs, as of the station of photographs.
        ratio: height by width of the training parts, where they have one shape; None: it is not looked at.
        sides: height and width of the training scans, where they are about the same, see `usual_sides`; None: they are
            not looked at.
        files: what the files of the training photographs are, see `UsualFiles`; None: they are not looked at.
        placeholders: what stands for "not measured" in training scans, as text: in a new one it needs no word.

    Raises:
        EndlineError: for another modality or light.

    Example:
        >>> ScanPreparation(modality="3d", size=768).light
        'as_is'
    """

    station: ClassVar[str] = "surface_scan"
    modality: str = "both"
    size: int = 384
    arrays: ArraySettings = field(default_factory=ArraySettings)
    depths: tuple[str, ...] = ("mask",)
    reading: ScanReading = field(default_factory=ScanReading)
    part: PartSettings = field(default_factory=PartSettings)
    limits: tuple[float, float] = (-50.0, 50.0)
    before: float = 0.0
    heights: UsualRange | None = None
    bits: int | None = None
    megapixels: float = MEGAPIXELS
    light: str = "as_is"
    ratio: float | None = None
    sides: tuple[int, int] | None = None
    placeholders: tuple[str, ...] = ()
    files: UsualFiles | None = None

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise EndlineError(f"There is no modality '{self.modality}': choose one of {', '.join(MODALITIES)}.")
        if self.light not in LIGHTS:
            raise EndlineError(f"There is no light '{self.light}': choose one of {', '.join(LIGHTS)}.")

    @property
    def pyramid(self) -> PyramidSettings | None:
        """How feature maps are made; None where no image passes through a backbone as a whole."""
        return self.arrays.pyramid if self.modality in OF_IMAGES else None

    @property
    def reads(self) -> tuple[bool, bool]:
        """Whether photographs and whether scans are read."""
        return self.modality in OF_PHOTOGRAPHS, self.modality in OF_SCANS or bool(self.depths)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The preparation that `plain` wrote."""
        read = {
            "arrays": array_settings(plain["arrays"]),
            "depths": tuple(plain["depths"]),
            "reading": reading_of(plain["reading"]),
            "part": PartSettings(**plain["part"]),
            "limits": tuple(plain["limits"]),
            "heights": UsualRange(**plain["heights"]) if plain.get("heights") else None,
            "sides": tuple(plain["sides"]) if plain.get("sides") else None,
            "placeholders": tuple(plain.get("placeholders", ())),
            "files": UsualFiles(**plain["files"]) if plain.get("files") else None,
        }
        return cls(**{**plain, **read})

    def recipe(self, samples: pd.DataFrame, folder: Path, store: ArrayStore, compute: Compute = CPU) -> FeatureRecipe:
        """Recipe of the arrays of all parts.

        Raises:
            EndlineError: for an unknown backbone or input type, a size that does not suit it, or missing weights.
        """
        photographs, scans = self.reads
        files = [
            (folder / path if photographs else None, folder / depth_path if scans else None)
            for path, depth_path in zip(samples["path"], samples["depth_path"], strict=True)
        ]
        image = "depth_digest" if self.modality == "depth_image" else "photograph_digest"
        shown = samples[image].tolist() if self.modality in (*OF_IMAGES, "both") else []
        parts = self._parts(content_key(READING, shown), compute)
        facts = samples.reindex(columns=list(FACTS)).astype(float).fillna(0).to_numpy(np.float32)

        def batches(wanted: Collection[str]) -> Iterator[Made]:
            for start in track(range(0, len(files), BATCH), "Extracting features", transient=True):
                rows = slice(start, start + BATCH)
                yield {CONTROL: facts[rows], **self._made(files[rows], parts, set(wanted) - {CONTROL})}

        keys = {part: self._key(part, samples, parts) for joined in self._joined(parts).values() for part in joined}
        return FeatureRecipe(
            arrays=self._joined(parts),
            keys=keys,
            length=len(samples),
            batches=batches,
            dtypes=DTYPES,
        )

    def inspect(self, path: Path, compute: Compute = CPU) -> Inspected:
        """Row of the sample table, and arrays, of one new part, of whose photograph or scan the path is given.

        The other one is found by its name, see `partners`.

        Raises:
            EndlineError: when one of the two is missing or cannot be used, or the ending is not read.
        """
        if not path.is_file():
            raise EndlineError(f"{path}: there is no such file: correct the path.")
        if not is_readable(path):
            raise EndlineError(
                f"{path}: the ending '{path.suffix}' is not one that is read here: export it as {READABLE}."
            )
        root, own = partners(path)
        photographs, scans = self.reads
        columns: Columns = {}
        for needed, found, name in ((photographs, own.photograph, "photograph"), (scans, own.scan, "scan")):
            if needed and found is None:
                raise EndlineError(
                    f"{path} has no {name} of its name beside it, and the model reads {self.modality}: put it into the "
                    "same folder, or into the folder rgb or xyz beside."
                )
        photograph = root / own.photograph if photographs and own.photograph else None
        scan = root / own.scan if scans and own.scan else None
        if photograph:
            with one_file(photograph):
                columns |= photograph_columns(photograph, self.megapixels)
        if scan:
            with one_file(scan):
                columns |= scan_columns(scan, self.reading, self.part)
                check_direction(columns, self.before)
        with one_file(path):
            check_shapes(columns)
        self.warn_of((scan or photograph or path).name, columns)
        beside = root / own.photograph if own.photograph else None  # shown, though the model may not read it
        shown, seen = (os.path.relpath(file, path.parent) if file else None for file in (beside, scan))
        files = {"path": shown or seen, "depth_path": seen}
        rows = sample_table([{"sample_id": path.name, "group": "", "peak": None, **files, **columns}])
        warn_of_depths(rows, self.bits)
        if scan and columns["unmeasured"] not in self.placeholders:
            warn_of_placeholders(rows)
        warn_of_shapes(shapes(rows), self.ratio)
        warn_of_pages(rows)
        warn_of_pages(rows, "depth_path", "scan_pages")
        parts = self._parts("", compute)
        joined = self._joined(parts)
        wanted = {part for each in joined.values() for part in each} - {CONTROL}
        made = self._made([(photograph, scan)], parts, wanted)
        return rows, FeatureSet(
            {name: [made[part] for part in each] for name, each in joined.items() if name != CONTROL}
        )

    def remarks(self, row: Mapping[Any, Any]) -> list[str]:
        """What is to be said of a part's height, of its scan's size and of its photograph's file, by its row."""
        of_scan = self.reads[1] and (self.heights or self.sides)  # else its row need not know any scan
        said = [height_remark(row["before"], self.heights), sides_remark(row, self.sides)] if of_scan else []
        unlike = self.files.unlike(row, (self.size, self.size)) if self.files else []
        return [remark for remark in (*said, *(f"has a photograph that {each}" for each in unlike)) if remark]

    def images(self, files: Sequence[Path]) -> Tensor:
        """Photographs as they are resized, (files, 3, size, size) in [0, 1].

        Raises:
            EndlineError: when one cannot be read any more.
        """
        read = (read_indexed_image(file, self.scale, self.megapixels) for file in files)
        return torch.stack([image_tensor(image, (self.size, self.size)) for image in read])

    def relief(self, file: Path) -> tuple[Scan, Relief]:
        """A scan and the relief of its part.

        Raises:
            EndlineError: when it cannot be read any more.
        """
        try:
            scan = self.reading.read(file)
            return scan, relief_of(scan, self.part)
        except (OSError, FileRejected) as error:
            raise EndlineError(f"{file} was indexed and cannot be read any more ({error}): restore it.") from error

    @property
    def scale(self) -> int:
        """Bits of the scale by which photographs are read."""
        return FULL if self.bits is None else self.bits

    def _parts(self, evidence: str, compute: Compute) -> ImageParts | None:
        """Parts of the image that passes through the backbone; None where none does."""
        if self.modality not in (*OF_IMAGES, "both") or not self.arrays.arrays:
            return None
        settings = self.arrays.pyramid
        backbone = kept_backbone(settings.backbone, settings.weights, compute)
        check_size((self.size, self.size), backbone, settings.input_type)
        how: object = (self.limits, self._scanned) if self.modality == "depth_image" else self.scale
        return ImageParts(self.arrays, backbone, content_key(evidence, self.size, self.light, how))

    @property
    def _scanned(self) -> object:
        """What the arrays of scans depend on, beside the files."""
        return {"reading": asdict(self.reading), "part": asdict(self.part)} if self.reads[1] else None

    def _joined(self, parts: ImageParts | None) -> dict[str, tuple[str, ...]]:
        """Array -> the parts that it is joined of over the channels."""
        joined: dict[str, tuple[str, ...]] = {}
        if parts is not None and self.modality in OF_IMAGES:
            joined |= parts.arrays
        elif "scale" in self.arrays.arrays:
            maps = [name for names in (parts.arrays if parts else {}).values() for name in names]
            own = {"3d": ("unshuffled",), "both": (*maps, "unshuffled"), "fpfh": ("fpfh",)}
            joined["scale_0"] = own.get(self.modality, ("fpfh", "colour"))
        return joined | {name: (name,) for name in (*self.depths, CONTROL, SUMMARY)}

    def _key(self, part: str, samples: pd.DataFrame, parts: ImageParts | None) -> str:
        """Content key of a part."""
        if part == CONTROL:
            return content_key(CONTROL, FACTS, samples["digest"].tolist())
        if parts is not None and part in parts.keys:
            key = parts.key_of(part)
            return content_key(key, JOINED) if self.modality == "both" else key
        of_scan = part in (*SCAN_PARTS, OUTSIDE)
        photographs, scans = self.reads
        read = {"photograph_digest": photographs and not of_scan, "depth_digest": scans and part != "colour"}
        digests = [samples[name].tolist() for name, needed in read.items() if needed]
        how: object = (self.size, self.scale) if not of_scan else ()
        if part == OUTSIDE and self.heights is not None:
            how = asdict(self.heights)
        return content_key(READING, part, digests, how, self._scanned if part != "colour" else None)

    def _made(
        self,
        files: Sequence[tuple[Path | None, Path | None]],
        parts: ImageParts | None,
        wanted: Collection[str],
    ) -> Made:
        """The asked parts of photographs and scans, (files, ...) each."""
        made: Made = {}
        photographs = [photograph for photograph, _ in files if photograph is not None]
        scans = [self.relief(scan) for _, scan in files if scan is not None]
        images = self.images(photographs) if photographs else None
        if parts is not None and (of_image := set(wanted) & parts.keys.keys()):
            shown = images if self.modality != "depth_image" else self._drawn([relief for _, relief in scans])
            assert shown is not None  # each modality with a backbone reads one of the two
            maps = parts.make(standardised(shown) if self.light == "standardised" else shown, of_image)
            made |= {name: (at_positions(x) if self.modality == "both" else x).numpy() for name, x in maps.items()}
        made |= scan_parts(scans, wanted)
        if OUTSIDE in wanted:
            beyond = [self.heights.beyond(relief.before) if self.heights else 0.0 for _, relief in scans]
            made[OUTSIDE] = np.array(beyond, np.float32)[:, None]
        if "colour" in wanted and images is not None:
            made["colour"] = interpolate(images, size=FPFH, mode="area").numpy()
        if SUMMARY in wanted:
            seen = [] if images is None else [summary(images)]
            made[SUMMARY] = np.concatenate([*seen, glances(scans)] if scans else seen, axis=1)
        return made

    def _drawn(self, reliefs: Sequence[Relief]) -> Tensor:
        """Depths drawn as grey images, (n, 3, size, size) in [0, 1]."""
        grey = [drawn(*resized(relief, (self.size, self.size)), self.limits) for relief in reliefs]
        return torch.from_numpy(np.stack(grey))[:, None].expand(-1, 3, -1, -1)


def reading_of(plain: Mapping[str, Any]) -> ScanReading:
    """How scans are read, as `dataclasses.asdict` wrote it, or JSON gave it back."""
    listed = {name: None if plain[name] is None else tuple(plain[name]) for name in ("intrinsics", "field")}
    return ScanReading(**{**plain, **listed})
