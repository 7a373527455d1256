"""The support that a part lies on, as a depth at every pixel: by the corners, or by a robust surface of the border."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from endline.errors import EndlineError

Plane = NDArray[np.float64]
WAYS = ("auto", "corners", "plane", "curved", "none")
PATCH, BAND = 0.02, 0.04  # of the shorter side: of a corner, and of the border that a surface is fitted to
FEWEST = 0.02  # share of the border that must be measured, for a support to be seen
DRAWS, MOST = 200, 3000  # small samples of the border pixels that are tried, and border pixels that are looked at
SLACK = 0.1  # share of the border that a simpler surface may explain less
NAMES = ("top left", "top right", "bottom left", "bottom right")


@dataclass(frozen=True)
class Support:
    """The support of a scan.

    Attributes:
        depth: (height, width) float32, mm.
        way: `corners`, `plane` or `curved`.
        moved: corners without a measured pixel, for which the nearest measured one of the border stands.

    Example:
        >>> Support(np.zeros((2, 2), "f4"), "corners", ("top left",)).moved
        ('top left',)
    """

    depth: NDArray[np.float32]
    way: str
    moved: tuple[str, ...] = ()


def find_support(depth: NDArray[np.float32], way: str, distance: float) -> Support | None:
    """The support under a part; None where none is seen, or none is asked for.

    Published is the bilinear interpolation of the depths of the four corners (Rudolph 2024, section 6.1.3). Here the
    median of a small patch stands for a corner's pixel; a corner without any measured pixel takes the nearest measured
    one of the border. `plane` and `curved` are a plane and a surface of the second degree, fitted to the border by the
    least median of squares (Rousseeuw 1984) and once more to the half that goes with it, so that a part may reach over
    a good share of the border. `auto` is the simplest of the three that explains about as much of the border, within
    half the distance, as the best.

    Args:
        depth: (height, width), mm, NaN where nothing was measured.
        way: one of `WAYS`.
        distance: mm from the support at which a part begins.

    Raises:
        EndlineError: for another way.

    Example:
        >>> depth = np.add.outer(np.zeros(50), np.linspace(500, 510, 60)).astype("f4")
        >>> depth[20:30, 20:40] -= 30
        >>> support = find_support(depth, "auto", 7.0)
        >>> support.way, round(float(support.depth[25, 30]), 1)
        ('corners', 505.1)
    """
    if way not in WAYS:
        raise EndlineError(f"There is no support '{way}': choose one of {', '.join(WAYS)}.")
    if way == "none":
        return None
    rows, columns, values, share = _border(depth)
    if share < FEWEST or len(values) < 8:
        return None
    height, width = depth.shape
    if way == "corners":
        return _by_corners(depth, rows, columns, values)
    if way != "auto":
        return Support(_surface(depth.shape, _fitted(rows, columns, values, depth.shape, way), way), way)
    found = [_by_corners(depth, rows, columns, values)]
    explained = [_explained(found[0], rows, columns, values, distance)]
    if explained[0] < 1 - SLACK:
        for name in ("plane", "curved"):
            fit = _fitted(rows, columns, values, (height, width), name)
            found.append(Support(_surface((height, width), fit, name), name))
            explained.append(_explained(found[-1], rows, columns, values, distance))
    enough = max(explained) - SLACK
    return next(each for each, share in zip(found, explained, strict=True) if share >= enough)


def _border(depth: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64], Plane, float]:
    """Row, column and depth of measured pixels of the border, at most `MOST`, and the share that is measured."""
    height, width = depth.shape
    band = max(1, round(BAND * min(height, width)))
    inside = np.ones(depth.shape, np.bool_)
    inside[band : height - band, band : width - band] = False
    measured = inside & np.isfinite(depth)
    rows, columns = np.nonzero(measured)
    step = max(1, len(rows) // MOST)
    rows, columns = rows[::step], columns[::step]
    return rows, columns, depth[rows, columns].astype(np.float64), float(measured.sum() / inside.sum())


def _by_corners(
    depth: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64], values: Plane
) -> Support:
    height, width = depth.shape
    side = max(1, round(PATCH * min(height, width)))
    corners, moved = [], []
    for number, name in enumerate(NAMES):
        bottom, right = divmod(number, 2)
        patch = depth[(height - side) * bottom :, (width - side) * right :][:side, :side]
        known = patch[np.isfinite(patch)]
        if known.size:
            corners.append(float(np.median(known)))
            continue
        away = (rows - (height - 1) * bottom) ** 2 + (columns - (width - 1) * right) ** 2
        corners.append(float(values[away.argmin()]))
        moved.append(name)
    down, across = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
    top = corners[0] * (1 - across) + corners[1] * across
    bottom_row = corners[2] * (1 - across) + corners[3] * across
    return Support((top * (1 - down) + bottom_row * down).astype(np.float32), "corners", tuple(moved))


def _explained(
    support: Support, rows: NDArray[np.int64], columns: NDArray[np.int64], values: Plane, distance: float
) -> float:
    return float(np.mean(np.abs(support.depth[rows, columns] - values) <= distance / 2))


def _terms(down: Plane, across: Plane, way: str) -> Plane:
    """Terms (n, 3 or 6) of a surface at places from -1 to 1."""
    terms = [np.ones_like(down), down, across]
    if way == "curved":
        terms += [down**2, down * across, across**2]
    return np.stack(terms, axis=-1)


def _fitted(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: Plane, shape: tuple[int, ...], way: str
) -> Plane:
    """Coefficients of the surface whose median of squared residuals is the least among `DRAWS` small samples."""
    terms = _terms(2 * rows / max(shape[0] - 1, 1) - 1, 2 * columns / max(shape[1] - 1, 1) - 1, way)
    size = 2 * terms.shape[1]  # more than exactly determined, so that noise does not decide
    rng = np.random.default_rng(0)  # of no choice that matters: the same scan always has the same support
    drawn = rng.integers(0, len(values), (DRAWS, size))
    fits = np.einsum("nij,nj->ni", np.linalg.pinv(terms[drawn]), values[drawn])
    away = np.abs(terms @ fits.T - values[:, None])
    best = away[:, np.median(away, 0).argmin()]
    near = best <= np.median(best)
    return np.asarray(np.linalg.lstsq(terms[near], values[near], rcond=None)[0], np.float64)


def _surface(shape: tuple[int, ...], fit: Plane, way: str) -> NDArray[np.float32]:
    down, across = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return (_terms(down, across, way) @ fit).astype(np.float32)
