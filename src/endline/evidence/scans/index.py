"""Index of the station `surface_scan`: a folder of photographs and scans becomes a sample table."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import track

from endline.errors import FileRejected
from endline.evidence.folders import left_out, list_folder
from endline.evidence.images.copies import leave_out_copies
from endline.evidence.images.decoding import checked_megapixels
from endline.evidence.images.index import check_normals
from endline.evidence.images.layouts import ALL
from endline.evidence.images.masks import check_mask, decode_mask
from endline.evidence.images.pages import warn_of_pages
from endline.evidence.labels import check_words, own_labels
from endline.evidence.rejected import Rejections, after_rejections
from endline.evidence.scans.columns import Columns, check_direction, check_shapes, photograph_columns, scan_columns
from endline.evidence.scans.layouts import Pair, find_layout
from endline.evidence.scans.modality import checked_modality, halves_read
from endline.evidence.scans.placeholders import warn_of_placeholders
from endline.evidence.scans.preparing import PartSettings
from endline.evidence.scans.reading import ScanReading, fitted_reading
from endline.evidence.scans.roles import READABLE, SUFFIXES
from endline.files import content_key
from endline.samples import NORMAL, Index, sample_table

SIDE_FILES = (".yaml", ".yml", ".json", ".csv")  # of cameras and poses, beside the scans
log = logging.getLogger(__name__)


def part_settings(parameters: Mapping[str, Any]) -> PartSettings:
    """How parts are set off, of the parameters `surface_scan.preparation`."""
    distance = float(parameters["distance"])
    return PartSettings(parameters["support"], distance, int(parameters["rounds"]), bool(parameters["level"]))


def index_scans(folder: Path, *, group: str | None, simulated: bool, parameters: Mapping[str, Any]) -> Index:
    """Read every photograph and scan once: are they sound, do they go together, what do they show.

    Args:
        folder: raw folder, see `find_layout`.
        group: of the run.
        simulated: whether the files were simulated.
        parameters: `surface_scan.preparation`.

    Returns:
        One row a part: `path` of the photograph, or of the scan that stands alone, `depth_path` of the scan where there
        is one, `mask_path` beside anomalous ones, and the columns of `photograph_columns` and `scan_columns`.
        `facts` has the `reading` of the scans, and whether there are `photographs` and `scans`.

    Raises:
        EndlineError: as `find_layout`, `check_words`, `halves_read` and `fitted_reading`; when no part can be used, or
            a category has no normal one.
    """
    own = own_labels(parameters["labels"])
    if simulated and group is None:
        group = _first_category(folder)
    layout = find_layout(folder, group, own)
    check_words((pair.kind for pair in layout.pairs), f"{folder}, by the names of its folders,", own)
    part, megapixels = part_settings(parameters), checked_megapixels(parameters["max_megapixels"])
    rejections = Rejections(folder, "part", layout.aside)
    pairs, photographs, scans = _read_halves(layout.pairs, checked_modality(parameters["modality"]), rejections)
    sound = [pair for pair in pairs if pair.kind == NORMAL] or pairs
    reading = fitted_reading([folder / pair.scan for pair in sound if pair.scan], parameters, part)
    rows: list[Columns] = []
    for pair in track(pairs, "Reading the scans", transient=True):
        columns = _columns(pair, rejections, reading, part, megapixels)
        if columns is not None:
            with rejections.instead(pair.path):
                check_shapes(columns)
                rows.append(_row(pair, layout.group, columns, rejections, simulated, megapixels))
    rows = leave_out_copies(_alike(rows, rejections) if scans else rows, rejections)
    taken = {path for pair in layout.pairs for path in pair.files} | {path for path, _, _ in rejections.rows}
    for root in layout.roots:
        listing = list_folder(root, SUFFIXES)
        listing = type(listing)([each for each in listing.files if _is_data(each)], listing.rejected)
        rejections.rows += left_out(folder, listing, taken | layout.passed, SUFFIXES, READABLE)
    table = rejections.table(len(layout.pairs), usable=bool(rows))
    samples = sample_table(rows).drop(columns=["picture", "category"])
    with after_rejections(table):
        check_normals(
            samples,
            layout.normal_folders,
            {pair.path: pair.category for pair in layout.pairs},
            published_split=layout.published_split,
            contents=("photograph or scan", "those"),
        )
    _tell(samples, folder)
    facts = {"reading": asdict(reading), "photographs": photographs, "scans": scans}
    return Index(samples, table, layout.published_split, facts)


def _first_category(folder: Path) -> str | None:
    """The first category of a simulated set, which has several, unlike the folder of a first try."""
    names = sorted(path.name for path in folder.iterdir() if (path / "train").is_dir())
    if len(names) > 1:
        log.warning("Of the simulated parts %s are taken (--params=group=%s, ... or all).", names[0], names[1])
    return names[0] if names else None


def _read_halves(pairs: list[Pair], modality: str, rejections: Rejections) -> tuple[list[Pair], bool, bool]:
    """Pairs as far as they are read, without those that lack a half, and whether photographs and scans are read."""
    both = sum(1 for pair in pairs if pair.photograph and pair.scan)
    of_photographs, of_scans = sum(bool(pair.photograph) for pair in pairs), sum(bool(pair.scan) for pair in pairs)
    photographs, scans = halves_read(modality, of_photographs, of_scans, both)
    kept = []
    for pair in pairs:
        if photographs and not pair.photograph:
            remedy = "restore the photograph under the same name, or read scans alone (--params=modality=3d)"
            rejections.rows.append((pair.path, "a scan without its photograph", remedy))
        elif scans and not pair.scan:
            remedy = "restore the scan under the same name, or read photographs alone (--params=modality=rgb)"
            rejections.rows.append((pair.path, "a photograph without its scan", remedy))
        else:
            kept.append(pair)
    return kept, photographs, scans


def _columns(
    pair: Pair, rejections: Rejections, reading: ScanReading, part: PartSettings, megapixels: float
) -> Columns | None:
    """Columns of the files of a pair; None where one cannot be used."""
    columns: Columns = {}
    if pair.photograph:
        with rejections.instead(pair.photograph):
            columns |= photograph_columns(rejections.folder / pair.photograph, megapixels)
    if pair.scan and (columns or not pair.photograph):
        with rejections.instead(pair.scan):
            columns |= scan_columns(rejections.folder / pair.scan, reading, part)
    whole = ("height" in columns or not pair.photograph) and ("scan_height" in columns or not pair.scan)
    return columns if whole else None


def _row(
    pair: Pair, group: str, columns: Columns, rejections: Rejections, simulated: bool, megapixels: float
) -> Columns:
    kind = _kind(pair, rejections.folder, megapixels)
    digest = content_key(columns.get("photograph_digest"), columns.get("depth_digest"))
    mask = None if kind in (None, NORMAL) else _usable_mask(pair, columns, rejections, megapixels)
    return {
        "sample_id": pair.path,
        "path": pair.path,
        "depth_path": pair.scan,
        "mask_path": mask,
        "group": group,
        "split": pair.split,
        "label": None if kind is None else int(kind != NORMAL),
        "kind": kind,
        "domain": pair.category if group == ALL else None,
        "category": pair.category,
        "digest": digest,
        "picture": digest,
        "simulated": simulated,
        **columns,
    }


def _kind(pair: Pair, folder: Path, megapixels: float) -> str | None:
    """Kind of a pair's defect; where masks of single kinds tell it, by those that mark anything."""
    if not pair.faults:
        return pair.kind
    marked = [kind for kind, mask in pair.faults if decode_mask(folder / mask, megapixels).any()]
    if len(marked) > 1:
        return "combined"
    return marked[0] if marked else NORMAL


def _usable_mask(pair: Pair, columns: Columns, rejections: Rejections, megapixels: float) -> str | None:
    """Mask of an anomalous part; None where there is none, or none that can be used."""
    if pair.mask is None:
        return None
    with rejections.instead(pair.mask):
        mask = decode_mask(rejections.folder / pair.mask, megapixels)
        if not mask.any():
            raise FileRejected("the mask marks no defect", "mark the defect or delete the mask")
        of = "" if "height" in columns else "scan_"
        check_mask(mask.shape, (columns[f"{of}height"], columns[f"{of}width"]), "part")
        return pair.mask
    return None


def _alike(rows: list[Columns], rejections: Rejections) -> list[Columns]:
    """Rows whose scans run the same way as the others."""
    table = pd.DataFrame([row for row in rows if row["label"] == 0] or rows)
    if table.empty:
        return rows
    before = float(table["before"].median())
    kept = []
    for row in rows:
        with rejections.instead(row["depth_path"]):
            check_direction(row, before)
            kept.append(row)
    return kept


def _is_data(path: Path) -> bool:
    """Whether a file is no note on how a scan was taken."""
    return path.suffix.lower() not in SIDE_FILES or path.name.lower() == "labels.csv"


def _tell(samples: pd.DataFrame, folder: Path) -> None:
    """Say what was assumed of the scans, and which parts have no label."""
    warn_of_pages(samples)
    warn_of_pages(samples, "depth_path", "scan_pages")
    if "support" in samples:
        counts = Counter(samples["support"])
        log.info("Supports of the scans: %s.", ", ".join(f"{way} {count}" for way, count in counts.most_common()))
        moved = samples[samples["moved"].fillna("") != ""]
        if len(moved):
            log.warning(
                "%d scans have a corner without depth (%s of %s first): the nearest measured pixel of the border "
                "stands for it.",
                len(moved),
                moved["moved"].iloc[0],
                moved["depth_path"].iloc[0],
            )
        warn_of_placeholders(samples)
        alone = int((samples["support"] == "none").sum())
        if alone:
            log.info("In %d scans no support is seen: all that was measured counts as the part.", alone)
    unknown = int(samples["label"].isna().sum())
    if unknown:
        log.warning("%d parts have no label in %s: they are scored, but count in no figure.", unknown, folder)
