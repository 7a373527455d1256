"""A part found before a plain background, and its look in polar coordinates, by which angles are compared."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

Grey = NDArray[np.float32]
SMALL = 192  # pixels of the longer side at which a part is looked for
RING = 0.03  # share of the sides that counts as border, where the background is
LEAST, LARGEST = 0.01, 0.85  # share of the photograph that a part fills
TOUCHING = 0.15  # share of the border that a part may touch
SPECK = 0.001  # share of the photograph below which what stands out is dust
DISTINCT = 0.7  # share of the variance that parting part and background must explain; of Gaussian noise it is 0.64
ANGLES, RADII = 128, 16  # of the picture in polar coordinates


@dataclass(frozen=True)
class Finder:
    """How a part is found before its background, and what of it tells its pose.

    Attributes:
        threshold: of how far a pixel is from the background's colour: `otsu` (Otsu 1979), or `root`, the same of its
            square root, which also finds what is dark of a part that is bright elsewhere.
        look: `brightness`, how far each pixel is from the background's colour, or `shape`, no more than where there is
            something: parts of several colours look alike by it.

    Example:
        >>> Finder("root").look
        'brightness'
    """

    threshold: str = "otsu"
    look: str = "brightness"


OTSU = Finder()
FINDERS = tuple(Finder(threshold, look) for threshold in ("otsu", "root") for look in ("brightness", "shape"))


@dataclass(frozen=True)
class Found:
    """A part before its background.

    Attributes:
        down, right: its middle, in units of the photograph's longer side from the upper left corner.
        radius: of the part's farthest point from the middle, in the same unit.
        outline: (points, 2) how far down and right of the middle its border lies, in the same unit.
        standing: (points, 2) likewise all that stands out from the background, the part and what lies beside it, but
            for dust.
        look: (H, W, 1) of the reduced photograph, by the finder's kind of look.
        polar: (angles, radii) how the part looks around its middle, less the background.
        background: (channels,) colour of the background, 0 to 255.

    Example:
        >>> image = np.zeros((96, 96, 3), np.uint8)
        >>> image[30:60, 20:50] = 200
        >>> found = find_part(image)
        >>> round(found.down, 2), round(found.right, 2)
        (0.47, 0.36)
    """

    down: float
    right: float
    radius: float
    outline: Grey
    standing: Grey
    look: Grey
    polar: Grey
    background: Grey


def find_part(image: NDArray[np.uint8], finder: Finder = OTSU) -> Found | None:
    """The part in a photograph (H, W, 3) before a background of about one colour; None where none stands out.

    Background is what the border shows, by the median of each colour; the part is the largest connected piece that
    differs from it by more than the finder's threshold.
    """
    from scipy.ndimage import (  # where nothing is aligned, not needed
        binary_erosion,
        binary_fill_holes,
        center_of_mass,
        gaussian_filter,
        label,
    )

    small = reduced(image, SMALL).astype(np.float32)
    height, width = small.shape[:2]
    border = _border(height, width)
    background = background_of(small)
    away = gaussian_filter(np.abs(small - background).sum(2), 1.0)
    if finder.threshold == "root":
        root, share = otsu(np.sqrt(away))
        threshold = root**2
    else:
        threshold, share = otsu(away)
    pieces, count = label(away > threshold)
    if count == 0 or share < DISTINCT:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    part = binary_fill_holes(pieces == 1 + int(np.argmax(sizes)))
    if not LEAST <= part.mean() <= LARGEST or part[border].mean() > TOUCHING:
        return None
    unit = max(height, width)
    down, right = (float(middle) for middle in center_of_mass(part))
    rows, columns = np.nonzero(part)
    radius = float(np.hypot(rows - down, columns - right).max()) + 0.5
    look = np.minimum(away / threshold, 1).astype(np.float32) if finder.look == "shape" else away
    polar = _polar(np.where(part, look, 0).astype(np.float32), down, right, radius)
    noted = np.isin(pieces, 1 + np.flatnonzero(sizes >= SPECK * part.size)) | part
    outline, standing = (
        (np.argwhere(mask) - (down, right)).astype(np.float32) / unit for mask in (part & ~binary_erosion(part), noted)
    )
    middle = (down + 0.5) / unit, (right + 0.5) / unit
    return Found(*middle, radius / unit, outline, standing, look[..., None], polar, background)


def background_of(image: NDArray[Any]) -> Grey:
    """Colour (channels,) of the background of a photograph (H, W, channels): the median of its border.

    Example:
        >>> background_of(np.full((20, 20, 3), 7, np.uint8)).tolist()
        [7.0, 7.0, 7.0]
    """
    return np.asarray(np.median(image[_border(*image.shape[:2])], axis=0), np.float32)


def otsu(values: NDArray[Any], bins: int = 128) -> tuple[float, float]:
    """Threshold that parts values best in two, and the share of their variance that the parting explains, 0 to 1.

    Otsu 1979: the threshold with the largest variance between the two sides.

    Example:
        >>> threshold, share = otsu(np.array([0.0, 0.1, 0.0, 5.0, 5.1]))
        >>> 0.1 < threshold < 5, share > 0.99
        (True, True)
    """
    counts, edges = np.histogram(values, bins)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1] / counts.sum()
    sums = np.cumsum(counts * middles)[:-1] / counts.sum()
    mean = float((counts * middles).sum() / counts.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num((mean * below - sums) ** 2 / (below * (1 - below)))
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    variance = float((counts * (middles - mean) ** 2).sum() / counts.sum())
    return float(edges[1 + best].mean()), float(between.max()) / variance if variance > 0 else 0.0


def turn_towards(polar: Grey, reference: Grey) -> float:
    """Steps of angle, with fractions, by which a polar picture is rolled to be most like another (angles, radii).

    Example:
        >>> picture = np.random.default_rng(0).random((128, 16)).astype("f4")
        >>> round(turn_towards(np.roll(picture, 5, axis=0), picture))
        -5
    """
    spectra = np.fft.rfft(reference, axis=0) * np.conj(np.fft.rfft(polar, axis=0))
    likeness = np.fft.irfft(spectra.sum(1), n=len(polar))
    best = int(np.argmax(likeness))
    before, at, after = (likeness[(best + step) % len(likeness)] for step in (-1, 0, 1))
    curved = before - 2 * at + after
    steps = best + (0.5 * (before - after) / curved if curved < 0 else 0.0)
    return float(steps - len(polar) if steps > len(polar) / 2 else steps)


def _polar(look: Grey, down: float, right: float, radius: float) -> Grey:
    from scipy.ndimage import map_coordinates

    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    radii = radius * (np.arange(RADII) + 0.5) / RADII
    at = [down + np.outer(np.sin(angles), radii), right + np.outer(np.cos(angles), radii)]
    return np.asarray(map_coordinates(look, at, order=1, mode="constant"), np.float32)


def weighted(polar: Grey) -> Grey:
    """A polar picture less its mean at each radius, which no turn changes, weighted by area, of length 1.

    Example:
        >>> round(float(np.linalg.norm(weighted(np.random.default_rng(0).random((128, 16)).astype("f4")))), 4)
        1.0
    """
    own = (polar - polar.mean(0)) * np.sqrt(np.arange(RADII) + 0.5)
    return np.asarray(own / max(float(np.linalg.norm(own)), 1e-6), np.float32)


def rolled(polar: Grey, steps: float) -> Grey:
    """A polar picture rolled by steps of angle, with fractions.

    Example:
        >>> picture = np.random.default_rng(0).random((128, 16)).astype("f4")
        >>> bool(np.allclose(rolled(picture, 3.0), np.roll(picture, 3, axis=0), atol=1e-5))
        True
    """
    waves = np.exp(-2j * np.pi * steps * np.fft.rfftfreq(len(polar)))
    return np.asarray(np.fft.irfft(np.fft.rfft(polar, axis=0) * waves[:, None], n=len(polar), axis=0), np.float32)


def reduced(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """A photograph (H, W, 3) whose longer side has so many pixels at most, antialiased.

    Example:
        >>> reduced(np.zeros((40, 80, 3), np.uint8), 20).shape
        (10, 20, 3)
    """
    factor = longest / max(image.shape[:2])
    if factor >= 1:
        return image
    size = [max(1, round(side * factor)) for side in image.shape[:2]]
    pixels = torch.tensor(image).permute(2, 0, 1)[None]
    small = interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
    return np.asarray(small[0].permute(1, 2, 0).numpy(), np.uint8)


def _border(height: int, width: int) -> NDArray[np.bool_]:
    ring = max(1, round(RING * max(height, width)))
    border = np.ones((height, width), np.bool_)
    border[ring : height - ring, ring : width - ring] = False
    return border
