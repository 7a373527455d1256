"""Index of the station `surface_image`: a folder of photographs becomes a sample table."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import track

from endline.errors import EndlineError, FileRejected
from endline.evidence.decoded import DECODED
from endline.evidence.folders import left_out, list_folder
from endline.evidence.images.layouts import ALL, Layout, Photograph, find_layout
from endline.evidence.images.masks import SUFFIXES, decode_mask
from endline.evidence.images.photographs import read_image
from endline.evidence.labels import check_words, own_labels
from endline.evidence.rejected import Rejections, after_rejections
from endline.samples import NORMAL, Index, sample_table

READABLE = "PNG, JPEG, TIFF, BMP, WebP or PGM"
ORPHAN = ("a mask without an image", "restore its image or delete the mask")
log = logging.getLogger(__name__)


def index_images(
    folder: Path,
    *,
    group: str | None,
    simulated: bool,
    shots: int | None = None,
    seed: int = 0,
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
        shots: number of training photographs that are kept of each category, the others being left out; None for all.
            Only for MVTec AD: in the other layouts nothing trains yet, and `SplitRule(train=shots)` draws them.
        seed: of this draw.
        labels: the user's own words for folders, see `own_labels`.

    Returns:
        One row a photograph, with the columns `height, width` in pixels. `split` is that of MVTec AD
        (`published_split`), else "test" throughout. Masks stand beside anomalous photographs alone.

    Raises:
        EndlineError: as `find_layout` and `check_words`; when no photograph can be used, a category has no normal
            one, or `shots` are more than there are.
    """
    own = own_labels(labels)
    layout = find_layout(folder, group, own)
    check_words((photograph.kind for photograph in layout.photographs), f"{folder}, by the names of its folders,", own)
    rejections = Rejections(folder, "image")
    rows: list[dict[str, object]] = []
    for photograph in track(layout.photographs, "Reading the images", transient=True):
        with rejections.instead(photograph.path):
            height, width, _ = _size(folder / photograph.path)
            digest = rejections.digest(photograph.path, among=photograph.category)
            mask = _usable_mask(photograph, layout, rejections)
            read = {"mask_path": mask, "digest": digest, "height": height, "width": width}
            rows.append({**_row(photograph, layout.group), "simulated": simulated, **read})
    orphans = layout.masks - {photograph.mask for photograph in layout.photographs}
    rejections.rows += [(mask, *ORPHAN) for mask in sorted(orphans)]
    taken = layout.masks | {photograph.path for photograph in layout.photographs}
    for root in layout.roots:
        rejections.rows += left_out(folder, list_folder(root, SUFFIXES), taken, SUFFIXES, READABLE)
    table = rejections.table(len(layout.photographs), usable=bool(rows))
    samples = sample_table(rows)
    with after_rejections(table):
        samples = _few_shots(samples, layout, shots, seed)
    unknown = int(samples["label"].isna().sum())
    if unknown:
        log.warning("%d images have no label in %s: they are scored, but count in no figure.", unknown, folder)
    return Index(samples, table, layout.published_split)


def index_image(path: Path) -> pd.DataFrame:
    """Sample table of one photograph whose label is unknown; its raw folder is the one it lies in.

    Raises:
        EndlineError: when the photograph cannot be used.
    """
    try:
        height, width, _ = _size(path)
    except FileRejected as problem:
        raise EndlineError(f"{path}: {problem}") from problem
    except OSError as problem:
        raise EndlineError(f"{path} cannot be read ({problem.strerror}): correct the path.") from problem
    row = _row(Photograph(path=path.name, kind=None, split="test", category="", mask=""), "")
    return sample_table([{**row, "height": height, "width": width}])


def _size(path: Path) -> tuple[int, ...]:
    """Height, width and channels of a photograph that can be read; what was decoded is kept for the extraction."""
    return DECODED.read(path, lambda file: (read_image(file),))[0].shape


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


def _usable_mask(photograph: Photograph, layout: Layout, rejections: Rejections) -> str | None:
    """Mask of an anomalous photograph; None where there is none, or none that can be used."""
    if photograph.kind in (None, NORMAL) or photograph.mask not in layout.masks:
        return None
    with rejections.instead(photograph.mask):
        # An empty one would count the defect's own pixels as good ones, as four of MTD's 392 would.
        if not decode_mask(rejections.folder / photograph.mask).any():
            raise FileRejected("the mask marks no defect", "mark the defect or delete the mask")
        return photograph.mask
    return None


def _few_shots(samples: pd.DataFrame, layout: Layout, shots: int | None, seed: int) -> pd.DataFrame:
    """Table without the training rows beyond `shots` in each category, each of which must have a normal one.

    Raises:
        EndlineError: when a category has no normal row to train with, or fewer than `shots`.
    """
    normal = (samples["split"] == "train") if layout.published_split else (samples["label"] == 0).fillna(False)
    category_of = {photograph.path: photograph.category for photograph in layout.photographs}
    categories = samples["path"].map(category_of)
    left_out: set[str] = set()
    for category, folder in layout.normal_folders.items():
        names = sorted(samples.loc[normal & (categories == category), "path"])
        if not names:
            raise EndlineError(
                f"{folder} holds no image that can be used, and endline learns from good parts only: "
                "put photographs of good parts there."
            )
        if shots is None or not layout.published_split:
            continue
        if not 1 <= shots <= len(names):
            raise EndlineError(
                f"shots={shots} does not go with the {len(names)} images in {folder}: give a number from 1 to theirs."
            )
        left_out |= set(np.random.default_rng(seed).permutation(names)[shots:])
    return samples[~samples["path"].isin(left_out)].reset_index(drop=True)
