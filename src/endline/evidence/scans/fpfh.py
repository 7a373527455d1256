"""Fast point feature histograms of an organised scan: how the surface bends around each point."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.sparse import csr_array
from torch.nn import functional

from endline.evidence.scans.scan import Scan

BINS = 11  # of each of the three angles
NUMBERS = 3 * BINS
CELL = 8  # points along each side of a position of the map: 28 positions have 224 points
NORMAL_REACH = 2  # a plane is fitted to 5 x 5 points
REACH = 5.6  # points up to which a neighbour lies: a disc of 96
JUMP = 2.0  # farther than this many times the disc's radius, a neighbour lies on another surface
LEAST_SHARE = 0.25  # of the points of a position; with fewer its histogram fades, for few points are noise

Floats = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]


def fpfh_map(scan: Scan, mask: Bools | None, size: tuple[int, int] = (28, 28)) -> Singles:
    """Mean fast point feature histogram of each part of a scan (Rusu, Blodow and Beetz 2009).

    As Horwitz and Hoshen 2022 ("Back to the Feature") use it: of at most 224 x 224 points. Their radii hold a whole
    part, so that the 30 and the 100 nearest points decide; on a grid these are a square and a disc around the point.

    Args:
        scan: of any size; points are sampled from a larger one than 8 times `size`. Where it has neither `x` and `y`
            nor a pitch, a pixel counts as 1 mm.
        mask: (height, width) of the scan, True where points count; None = wherever something was measured.
        size: (height, width) of the map.

    Returns:
        (33, *size): three histograms of 11 shares, each of which adds up to 1; less where few points of a position
        count, and 0 where none does.

    Example:
        >>> plane = Scan(np.full((40, 40), 500.0, np.float32), pitch=0.5)
        >>> histograms = fpfh_map(plane, None, size=(5, 5))
        >>> histograms.shape, histograms[5::11].round(3).min().item()
        ((33, 5, 5), 1.0)
    """
    points, valid = _points(scan, mask, (CELL * size[0], CELL * size[1]))
    histograms = torch.from_numpy(fpfh(points, valid)).permute(2, 0, 1)[None]
    share = functional.adaptive_avg_pool2d(torch.from_numpy(valid).float()[None, None], size)
    pooled = functional.adaptive_avg_pool2d(histograms, size) / share.clamp(min=LEAST_SHARE)
    result: Singles = pooled[0].numpy()
    return result


def fpfh(points: Floats, valid: Bools) -> Singles:
    """Histogram of each point: half its own, half the mean of its neighbours' by the inverse of their distance.

    Both halves as Open3D adds them; the distance is the text's, not its square.

    Args:
        points: (height, width, 3), finite, in mm; the third number is the distance from the sensor. Angles are computed
            in their precision.
        valid: (height, width), False where a point is none.

    Returns:
        (height, width, 33), each histogram adding up to 1, and 0 where there is no point or no neighbour.
    """
    normal, flat = normals(points, valid)
    pairs = _Pairs.of(points, normal.astype(points.dtype), flat)
    near = csr_array((pairs.weights.T.ravel(), _columns(pairs.steps, flat), _rows(pairs)), shape=(flat.size,) * 2)
    total = pairs.weights.sum(0)[:, None]
    sums = np.asarray(near @ pairs.shares, np.float32)
    others = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    result: Singles = ((pairs.shares + others) / 2).reshape(*valid.shape, NUMBERS)
    return result


def normals(points: Floats, valid: Bools) -> tuple[Doubles, Bools]:
    """Unit normals of the planes through the 5 x 5 points around each, towards the sensor, and where there is one.

    Args:
        points: (height, width, 3), finite.
        valid: (height, width).

    Returns:
        Normals (height, width, 3), and where a point and two others of its square are valid (height, width).

    Example:
        >>> rows, columns = np.mgrid[:5.0, :5.0]
        >>> normal, _ = normals(np.stack([columns, rows, 10 + columns], 2), np.ones((5, 5), bool))
        >>> normal[2, 2].round(3).tolist()
        [0.707, -0.0, -0.707]
    """
    centre = points[valid].mean(0, dtype=np.float64) if valid.any() else 0.0
    x: Doubles = np.where(valid[..., None], points - centre, 0.0).astype(np.float64)
    count = np.maximum(_around(valid.astype(np.float64)), 1e-12)
    mean = np.stack([_around(x[..., axis]) for axis in range(3)], 2) / count[..., None]
    spread = np.empty((*valid.shape, 3, 3))
    for first in range(3):
        for second in range(first, 3):
            product = _around(x[..., first] * x[..., second]) / count
            spread[..., first, second] = product - mean[..., first] * mean[..., second]
            spread[..., second, first] = spread[..., first, second]
    normal = np.linalg.eigh(spread)[1][..., 0]
    away = np.where(normal[..., 2:] > 0, -1.0, 1.0)
    return normal * away, valid & (count * (2 * NORMAL_REACH + 1) ** 2 > 2.5)


def _around(values: Doubles) -> Doubles:
    """Mean over the square around each; beyond the border there are zeros."""
    result: Doubles = uniform_filter(values, 2 * NORMAL_REACH + 1, mode="constant")
    return result


class _Pairs(NamedTuple):
    """What the pairs of near points say.

    Attributes:
        steps: (row, column) from a point to its neighbour, of each of the n neighbours in the disc.
        weights: (n, points) inverse distance, 0 where there is no such pair.
        shares: (points, 33) simplified histograms, of each point's own pairs.
    """

    steps: list[tuple[int, int]]
    weights: Singles
    shares: Singles

    @classmethod
    def of(cls, points: Floats, normal: Floats, valid: Bools) -> "_Pairs":
        """Every pair is looked at once, and counts for both its points: its angles do not depend on the order."""
        height, width = valid.shape
        forth = [step for step in _disc() if step > (0, 0)]
        steps = [*forth, *((-row, -column) for row, column in forth)]
        places, directions = (np.ascontiguousarray(each.transpose(2, 0, 1)) for each in (points, normal))
        bound = JUMP * REACH * _spacing(points, valid)
        weights = np.zeros((len(steps), height, width), np.float32)
        counts, size = np.zeros(NUMBERS * height * width, np.float32), height * width
        number_of = np.arange(size, dtype=np.int32).reshape(height, width)
        for number, (row, column) in enumerate(forth):
            here = slice(0, height - row), slice(max(0, -column), width - max(0, column))
            there = slice(row, height), slice(max(0, column), width + min(0, column))
            line = places[:, *there] - places[:, *here]
            distance = np.sqrt(_dot(line, line))
            near = valid[here] & valid[there] & (distance > 0) & (distance <= bound)
            weight = np.divide(1, distance, out=np.zeros_like(distance), where=near)
            line *= weight  # of length 1, or 0
            weights[number][here] = weights[number + len(forth)][there] = weight
            of_pair = near.astype(np.float32)
            for offset, bins in enumerate(_bins(directions[:, *here], directions[:, *there], line)):
                for end in (here, there):  # no point is twice in either
                    counts[number_of[end] + size * (offset * BINS + bins)] += of_pair
        by_point = np.ascontiguousarray(counts.reshape(NUMBERS, size).T)
        return cls(steps, weights.reshape(len(steps), -1), by_point / np.maximum(by_point[:, :BINS].sum(1), 1)[:, None])


def _bins(first: Floats, second: Floats, line: Floats) -> Iterator[NDArray[np.int32]]:
    """Bins (h, w) of the three angles between normals (3, h, w) of pairs, along the unit line from first to second.

    The frame is that of the normal that is nearer to the line, n: n itself, v = line x n and n x v. Its products with
    the other normal need no vector but one: they follow from those of the two normals and the line.
    """
    along_first, along_second, normals = _dot(first, line), _dot(second, line), _dot(first, second)
    turned = np.abs(along_first) < np.abs(along_second)  # then the line is seen from the other end
    source, target = np.where(turned, -along_second, along_first), np.where(turned, -along_first, along_second)
    length = np.sqrt(np.maximum(1 - source**2, 1e-12))  # of v
    crossed = first[1] * second[2] - first[2] * second[1], first[2] * second[0] - first[0] * second[2]
    across = _dot((*crossed, first[0] * second[1] - first[1] * second[0]), line)
    theta = np.arctan2((target - source * normals) / length, normals) / np.pi
    for share in (theta, across / length, source):
        yield np.clip(((share + 1) * (BINS / 2)).astype(np.int32), 0, BINS - 1)


def _dot(a: Floats | tuple[Floats, ...], b: Floats) -> Floats:
    """Scalar products (h, w) of vectors (3, h, w)."""
    product: Floats = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


def _disc() -> list[tuple[int, int]]:
    """Steps (row, column) to the neighbours of a point."""
    around = range(-int(REACH), int(REACH) + 1)
    return [(row, column) for row in around for column in around if 0 < row**2 + column**2 <= REACH**2]


def _columns(steps: list[tuple[int, int]], valid: Bools) -> NDArray[np.int32]:
    """Number of each neighbour of each point, point by point; beyond the border some other, which weighs 0."""
    height, width = valid.shape
    offsets = np.array([row * width + column for row, column in steps], np.int32)
    numbers: NDArray[np.int32] = np.arange(height * width, dtype=np.int32)[:, None] + offsets
    return np.clip(numbers, 0, height * width - 1, out=numbers).ravel()


def _rows(pairs: _Pairs) -> NDArray[np.int32]:
    """Where the neighbours of each point start."""
    count, points = pairs.weights.shape
    return np.arange(0, count * points + 1, count, dtype=np.int32)


def _spacing(points: Floats, valid: Bools) -> float:
    """Median distance of points that are neighbours in a row or a column; infinite where none are."""
    found = []
    for axis in (0, 1):
        both = np.logical_and(*(np.moveaxis(valid, axis, 0)[part] for part in (slice(1, None), slice(None, -1))))
        found.append(np.linalg.norm(np.diff(points, axis=axis), axis=2)[np.moveaxis(both, 0, axis)])
    distances = np.concatenate(found)
    return float(np.median(distances)) if len(distances) else np.inf


def _points(scan: Scan, mask: Bools | None, most: tuple[int, int]) -> tuple[Singles, Bools]:
    """Points (h, w, 3) of a scan, from their mean, at most so many, and which are valid."""
    height, width = scan.depth.shape
    at = np.ix_(*(np.linspace(0, size - 1, min(size, bound)).round().astype(int) for size, bound in
                  zip((height, width), most, strict=True)))  # fmt: skip
    if scan.x is not None and scan.y is not None:
        x, y = scan.x[at], scan.y[at]
    else:
        pitch = 1.0 if scan.pitch is None else scan.pitch
        y, x = (pitch * each[at] for each in np.mgrid[:height, :width])
    points = np.stack([x, y, scan.depth[at]], 2).astype(np.float64)
    valid: Bools = np.asarray(np.isfinite(points).all(2), np.bool_)
    if mask is not None:
        valid = valid & mask[at]
    centre = points[valid].mean(0) if valid.any() else 0.0
    return np.where(valid[..., None], points - centre, 0.0).astype(np.float32), valid
