"""Files of several pages or frames, of which the first alone is read."""

import logging
from pathlib import Path

import pandas as pd
from PIL import Image

from endline.evidence.images.decoding import opened

SUBFILE, OLD_SUBFILE = 254, 255  # tags of a TIFF page that say what it is
REDUCED, MASK, OLD_REDUCED = 1, 4, 2
SMALL = 0.5  # of the first page's sides, below which another is a thumbnail that does not say so
log = logging.getLogger(__name__)


def page_count(path: Path) -> int:
    """Number of pages of a TIFF, or of frames of an animated PNG or WebP, by the header; of others, MPO too, 1.

    Pages of lower resolution and masks of transparency do not count: they show the same picture.

    Raises:
        FileRejected: when it has no header that can be read.
        OSError: when the disk or the rights to it fail.

    Example:
        >>> import tempfile
        >>> path, picture = Path(tempfile.mkdtemp()) / "part.tif", Image.new("L", (8, 8))
        >>> picture.save(path, save_all=True, append_images=[picture, picture])
        >>> page_count(path)
        3
    """
    with opened(path) as image:
        frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
        if image.format != "TIFF" or frames == 1:
            return frames
        first = image.size
        return 1 + sum(_is_picture(image, page, first) for page in range(1, frames))


def warn_of_pages(samples: pd.DataFrame, path: str = "path", pages: str = "pages") -> None:
    """Name files of several pages, of which the first is judged.

    Args:
        samples: the sample table.
        path: its column of files.
        pages: its column of their pages; where it lacks, nothing is said.
    """
    several = samples[samples[pages] > 1] if pages in samples else samples[:0]
    if several.empty:
        return
    more = f", and {len(several) - 1} more have several," if len(several) > 1 else ","
    log.warning(
        "%s has %d pages%s of which the first is judged: export each as a file of its own.",
        several[path].iloc[0],
        several[pages].iloc[0],
        more,
    )


def _is_picture(image: Image.Image, page: int, first: tuple[int, int]) -> bool:
    """Whether a further page of a TIFF is a picture of its own."""
    try:
        image.seek(page)
    except Exception:  # of a kind that cannot be read, which the first may be nevertheless
        return False
    tags = getattr(image, "tag_v2", {})
    if tags.get(SUBFILE, 0) & (REDUCED | MASK) or tags.get(OLD_SUBFILE) == OLD_REDUCED:
        return False
    return not all(side < SMALL * whole for side, whole in zip(image.size, first, strict=True))
