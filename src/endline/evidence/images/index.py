"""Index of the station `surface_image`: a folder of photographs becomes a sample table."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import track

from endline.errors import EndlineError, FileRejected
from endline.evidence.folders import left_out, list_folder
from endline.evidence.images.copies import leave_out_copies
from endline.evidence.images.decoding import MEGAPIXELS, SUFFIXES, file_facts, stored_orientation
from endline.evidence.images.layouts import ALL, Photograph, find_layout
from endline.evidence.images.looks import look_of, picture_digest
from endline.evidence.images.masks import check_mask, decode_mask
from endline.evidence.images.pages import page_count, warn_of_pages
from endline.evidence.images.photographs import StoredPhotograph, read_photograph
from endline.evidence.labels import check_words, own_labels
from endline.evidence.rejected import Rejections, after_rejections
from endline.files import file_digest
from endline.samples import NORMAL, Index, sample_table

MOST = 0.9  # of a photograph, that a mask may mark
LYING = 5  # EXIF orientation from which a photograph is stored on its side
READABLE = "PNG, JPEG, TIFF, BMP, WebP or PGM"
log = logging.getLogger(__name__)


def index_images(
    folder: Path,
    *,
    group: str | None,
    simulated: bool,
    megapixels: float = MEGAPIXELS,
    labels: Mapping[str, Any] | None = None,
) -> Index:
    """Read every photograph once: is it sound, what does it show, where is its mask.

    Three layouts are recognised: MVTec AD (one category or a folder of them), MTD, and a plain folder with `normal/`
    beside which other folders may lie, one a kind of defect. Photographs beside these folders have no label: they are
    scored, and counted in no figure. One photograph is in memory at a time.

    Args:
        folder: raw folder.
        group: category of an MVTec AD folder; `all` for all its categories together, which `domain` names; None for the
            only one. For the other layouts a name.
        simulated: whether the photographs were simulated.
        megapixels: largest photograph that is read, in millions of pixels.
        labels: the user's own words for folders, see `own_labels`.

    Returns:
        One row a photograph, with the columns `height, width` in pixels, `colours` and `quantisation` (`file_facts`),
        `pages` (`page_count`), `peak` (its largest value, where it has more than 8 bits and so a scale that is yet to
        be chosen) and `look_hash` (`look_of`). `split` is that of MVTec AD (`published_split`), else "test"
        throughout. Masks stand beside anomalous photographs alone. Of photographs with the same pixels one stays, or
        none where one is labelled normal and another faulty.

    Raises:
        EndlineError: as `find_layout` and `check_words`; when no photograph can be used, a category has no normal
            one.
    """
    own = own_labels(labels)
    layout = find_layout(folder, group, own)
    check_words((photograph.kind for photograph in layout.photographs), f"{folder}, by the names of its folders,", own)
    rejections = Rejections(folder, "image")
    rows: list[dict[str, object]] = []
    transparent: list[str] = []
    for photograph in track(layout.photographs, "Reading the images", transient=True):
        with rejections.instead(photograph.path):
            read = read_photograph(folder / photograph.path, megapixels)
            path = folder / photograph.path
            about = {"digest": file_digest(path), "picture": picture_digest(read.values), **file_facts(path)}
            about["pages"] = page_count(path)
            mask = _usable_mask(photograph, read.values.shape[:2], rejections, megapixels)
            row = _row(photograph, layout.group) | _seen(read) | about
            rows.append({**row, "category": photograph.category, "mask_path": mask, "simulated": simulated})
            transparent += [photograph.path] if read.transparent else []
    rows = leave_out_copies(rows, rejections)
    rejections.rows += layout.unpaired
    taken = layout.masks | {photograph.path for photograph in layout.photographs}
    for root in layout.roots:
        rejections.rows += left_out(folder, list_folder(root, SUFFIXES), taken, SUFFIXES, READABLE)
    table = rejections.table(len(layout.photographs), usable=bool(rows))
    samples = sample_table(rows).drop(columns=["picture", "category"])
    if transparent:
        log.warning(
            "Transparency is ignored, every pixel has its colour as stored: %d images (%s) have transparent ones.",
            len(transparent),
            ", ".join(transparent[:3]) + (", ..." if len(transparent) > 3 else ""),
        )
    warn_of_pages(samples)
    with after_rejections(table):
        check_normals(
            samples,
            layout.normal_folders,
            {each.path: each.category for each in layout.photographs},
            published_split=layout.published_split,
            contents=("image", "photographs"),
        )
    unknown = int(samples["label"].isna().sum())
    if unknown:
        log.warning("%d images have no label in %s: they are scored, but count in no figure.", unknown, folder)
    return Index(samples, table, layout.published_split)


def index_image(path: Path, megapixels: float = MEGAPIXELS) -> pd.DataFrame:
    """Sample table of one photograph whose label is unknown; its raw folder is the one it lies in.

    Raises:
        EndlineError: when the photograph cannot be used.
    """
    try:
        read = read_photograph(path, megapixels)
        about = {"pages": page_count(path), **file_facts(path)}
    except FileRejected as problem:
        raise EndlineError(f"{path}: {problem}") from problem
    except OSError as problem:
        raise EndlineError(f"{path} cannot be read ({problem.strerror}): correct the path.") from problem
    row = _row(Photograph(path=path.name, kind=None, split="test", category="", mask=None), "")
    return sample_table([row | _seen(read) | about])


def _seen(read: StoredPhotograph) -> dict[str, object]:
    """Columns of what a decoded photograph shows."""
    height, width = read.values.shape[:2]
    return {
        "height": height,
        "width": width,
        "peak": pd.NA if read.peak is None else read.peak,
        "look_hash": look_of(read.values),
    }


def _row(photograph: Photograph, group: str) -> dict[str, object]:
    kind = photograph.kind
    return {
        "sample_id": photograph.path,
        "path": photograph.path,
        "group": group,
        "split": photograph.split,
        "label": None if kind is None else int(kind != NORMAL),
        "kind": kind,
        "domain": photograph.category if group == ALL else None,
    }


def _usable_mask(
    photograph: Photograph, size: tuple[int, ...], rejections: Rejections, megapixels: float
) -> str | None:
    """Mask of an anomalous photograph of a size (height, width); None where there is none, or none that can be used."""
    if photograph.kind in (None, NORMAL) or photograph.mask is None:
        return None
    with rejections.instead(photograph.mask):
        # An empty one would count the defect's own pixels as good ones, as four of MTD's 392 would.
        mask = decode_mask(rejections.folder / photograph.mask, megapixels)
        if not mask.any():
            raise FileRejected("the mask marks no defect", "mark the defect or delete the mask")
        if mask.mean() > MOST:
            raise FileRejected(
                f"the mask marks {100 * mask.mean():.0f} % of the image, and no defect",
                "mark the defect alone, light on dark, or delete the mask",
            )
        height, width = size
        on_its_side = stored_orientation(rejections.folder / photograph.path)[0] >= LYING
        if on_its_side and (mask.shape[0] > mask.shape[1]) != (height > width):
            height, width = width, height  # the mask is as the photograph is stored, see `read_mask`
        check_mask(mask.shape, (height, width), "image")
        return photograph.mask
    return None


def check_normals(
    samples: pd.DataFrame,
    normal_folders: Mapping[str, Path],
    categories: Mapping[str, str],
    *,
    published_split: bool,
    contents: tuple[str, str],
) -> None:
    """Say when a category has no normal item to train with.

    Args:
        samples: the sample table.
        normal_folders: category -> folder in which its training files lie or belong.
        categories: path -> category.
        published_split: whether the data set says what trains.
        contents: an item and what to put there, in the user's words: "image", "photographs".

    Raises:
        EndlineError: naming its folder.
    """
    normal = (samples["split"] == "train") if published_split else (samples["label"] == 0).fillna(False)
    known = set(samples.loc[normal, "path"].map(dict(categories)))
    for category, folder in normal_folders.items():
        if category not in known:
            raise EndlineError(
                f"{folder} holds no {contents[0]} that can be used, and endline learns from good parts only: "
                f"put {contents[1]} of good parts there."
            )
