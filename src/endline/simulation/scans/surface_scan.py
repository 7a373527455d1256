"""The embedded default data of the station `surface_scan`: simulated pairs of a photograph and a scan.

The layout is that of MVTec 3D-AD (Bergmann et al., VISAPP 2022): `<category>/{train,validation,test}/<defect>` with
`rgb/NNN.png`, `xyz/NNN.tiff` (height, width, 3; mm; 0 where nothing was measured) and, of tested parts, `gt/NNN.png`.
Dent, bump, hole and bent change the depth alone: the photograph is that of the undamaged part, bit for bit, as if the
light were too even to show them. A stain changes the photograph alone; cut and contamination change both. Outside of
the mask neither differs from the undamaged part's.

Difficulty was chosen, not found: strengths are log-uniform (`KINDS`), so low at one end that local statistics of the
depth miss many.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter

from endline.errors import EndlineError
from endline.simulation.images.surface_texture import REFERENCE, Shot, sensor_noise
from endline.simulation.scans.part_defects import Damage, bent, bump, contamination, cut, dent, hole, stain
from endline.simulation.scans.parts import CATEGORIES, Part
from endline.simulation.scans.scanner import Scanner, digitised, photograph, positions
from endline.simulation.simulated_folder import SimulatedFolder, check_least

TRIES = 50
RECIPE = 1  # raise it whenever the same settings would give other pairs
LEAST_DEPTH = 0.08  # mm of change that belongs to a mask
LEAST_GREY = 2.0  # grey levels of 255 that do
LEAST_SEEN = 0.5  # share of a mask that the scanner measures of the whole part

# Each kind's defect, with its least and greatest strength in its own measure: from a second look to plain.
KINDS: dict[str, tuple[Callable[[Part, float, np.random.Generator], Damage], tuple[float, float]]] = {
    "bent": (bent, (3.0, 7.0)),
    "bump": (bump, (2.0, 5.0)),
    "contamination": (contamination, (1.2, 3.0)),
    "cut": (cut, (1.5, 3.5)),
    "dent": (dent, (2.0, 5.0)),
    "hole": (hole, (4.0, 10.0)),
    "stain": (stain, (0.45, 0.9)),
}
DEPTH_ONLY = ("bent", "bump", "dent", "hole")
COLOUR_ONLY = ("stain",)


@dataclass(frozen=True)
class ScanSimulation:
    """Settings of a simulated set.

    Attributes:
        categories: names of `CATEGORIES`, as a list or separated by commas; `all` for every one.
        normals: pairs of good parts to train on, of each category, at least 0.
        validation_normals: further ones that are held out of training, at least 0.
        test_normals: pairs of good parts to test on, of each category, at least 0.
        faulty: pairs of damaged parts of each category, at least 0, dealt evenly to the kinds of `KINDS`.
        strength: factor on the strengths of `KINDS`, above 0.
        noise: factor on the scanner's noise, at least 0.
        size: height and width in pixels, at least 128; a larger pair shows the same view.
        seed: seed of the whole set, at least 0; a pair depends on (seed, its category, its folder, its number) alone.

    Example:
        >>> ScanSimulation(categories="bagel,foam").chosen
        ('bagel', 'foam')
    """

    categories: str | tuple[str, ...] = "all"
    normals: int = 50
    validation_normals: int = 10
    test_normals: int = 20
    faulty: int = 28
    strength: float = 1.0
    noise: float = 1.0
    size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(self, normals=0, validation_normals=0, test_normals=0, faulty=0, noise=0, size=128, seed=0)
        if not 0 < self.strength < np.inf:  # also refuses NaN
            raise EndlineError(f"The simulation's strength is {self.strength}; give a number above 0.")
        for name in self.chosen:
            if name not in CATEGORIES:
                raise EndlineError(
                    f"The simulation knows no category '{name}': choose all, or some of {', '.join(CATEGORIES)}."
                )
        if not self.chosen:
            raise EndlineError(f"The simulation has no category: choose all, or some of {', '.join(CATEGORIES)}.")
        if self.normals + self.validation_normals + self.test_normals + self.faulty == 0:
            raise EndlineError("The simulation has no pairs; set normals, test_normals or faulty above 0.")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The categories, each once."""
        if self.categories == "all":
            return tuple(CATEGORIES)
        names = self.categories.split(",") if isinstance(self.categories, str) else self.categories
        return tuple(dict.fromkeys(stripped for name in names if (stripped := str(name).strip())))


@dataclass(frozen=True)
class Pair:
    """A photograph and a scan of one part.

    Attributes:
        image: uint8 (size, size, 3).
        depth: float32 (size, size), mm from the sensor, NaN where nothing was measured.
        mask: bool (size, size), where the defect changed one of them.

    Example:
        >>> made = synthesise("foam", "good", np.random.default_rng(0), 128)
        >>> made.image.shape, made.depth.shape, bool(made.mask.any())
        ((128, 128, 3), (128, 128), False)
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    mask: NDArray[np.bool_]


def synthesise(
    category: str, kind: str, rng: np.random.Generator, size: int, *, strength: float = 1.0, noise: float = 1.0
) -> Pair:
    """Return one pair of a part that is "good" or has a defect of a kind of `KINDS`.

    The part, the sensors and the defect draw from children of `rng`: the same generator with another kind gives the
    same part, seen by the same sensors, with and without the defect.

    Args:
        category: of `CATEGORIES`.
        kind: "good", or of the defect.
        rng: is spawned from.
        size: height and width in pixels.
        strength: factor on the kind's strength.
        noise: factor on the scanner's noise.

    Raises:
        EndlineError: for an unknown kind.
    """
    if kind != "good" and kind not in KINDS:
        raise EndlineError(f"The simulation knows no defect {kind!r}; choose good, {', '.join(KINDS)}.")
    part_rng, shot_rng, scan_rng, noise_rng, defect_rng = rng.spawn(5)
    part = Part.draw(category, part_rng, size)
    shot, scanner = Shot.draw(shot_rng), Scanner.draw(scan_rng, size, noise)
    picture, depth = photograph(part, shot), scanner.measure(part.height)
    grain = sensor_noise(picture, noise_rng)
    image = digitised(picture, grain)
    if kind == "good":
        return Pair(image, depth, np.zeros((size, size), dtype=np.bool_))
    draw, strengths = KINDS[kind]
    chosen = strength * float(np.exp(defect_rng.uniform(*np.log(strengths))))
    for _ in range(TRIES):  # a defect that no sensor sees is none
        damage = draw(part, chosen, defect_rng)
        damaged = damage.apply(part)
        seen = part if kind in DEPTH_ONLY else damaged
        mask = _mask(part, damaged, picture, photograph(seen, shot))
        if mask.any() and np.isfinite(depth)[mask].mean() > LEAST_SEEN:
            break
    else:
        raise EndlineError(
            f"In {TRIES} tries no {kind} of a {category} was seen: choose another seed, or a larger strength or size."
        )
    if kind not in DEPTH_ONLY:
        image = np.where(mask[:, :, None], digitised(photograph(damaged, shot), grain), image)
    if kind not in COLOUR_ONLY:
        depth = np.where(mask, scanner.measure(damaged.height), depth)
    return Pair(image, depth, mask)


def _mask(good: Part, damaged: Part, before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the damage is: in the height, or in the photograph; without gaps and specks."""
    scale = len(before) / REFERENCE
    deep = np.abs(damaged.height - good.height) > LEAST_DEPTH
    seen = gaussian_filter(np.abs(after - before).mean(axis=2), 0.7 * scale) > LEAST_GREY / 255
    margin = max(round(2 * scale), 1)
    whole = binary_opening(binary_closing(np.pad(deep | seen, margin, mode="edge"), _disc(2 * scale)), _disc(scale))
    return np.asarray(whole[margin:-margin, margin:-margin])


def _disc(radius: float) -> NDArray[np.bool_]:
    steps = np.arange(-int(radius), int(radius) + 1)
    return np.asarray(steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2)


def simulate(folder: Path, settings: ScanSimulation, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the simulated set to `folder` and return it; a complete set of the same settings is left alone.

    Layout: that of MVTec 3D-AD, see above, and `simulation.json`. The set is written beside `folder` and moved there
    when it is complete, so that a killed simulation leaves nothing that is ever read. A simulated set of other settings
    is replaced, since its own settings bring it back; a folder with any other file is never touched.

    Args:
        folder: where the set shall lie; its parents are made.
        settings: see `ScanSimulation`.
        progress: called with (pairs written, pairs in all) after each pair.

    Raises:
        EndlineError: `folder` holds files that no simulation wrote, or the disk cannot be written.
    """
    pairs = list(_deal(settings))
    names = "|".join(CATEGORIES)
    simulated = SimulatedFolder(
        contents="scans",
        note="simulated photographs and depth scans of parts, lengths in mm; no real part was scanned",
        recipe=RECIPE,
        settings=_plain(settings),
        files=tuple(file for item in pairs for file in item.files),
        pattern=rf"({names})/(train|validation|test)/[a-z]+/(rgb/\d+\.png|xyz/\d+\.tiff|gt/\d+\.png)",
        megabytes=int(len(pairs) * settings.size**2 * 12 / 1e6) + 1,
    )

    def write(beside: Path) -> None:
        for done, item in enumerate(pairs, start=1):
            rng = np.random.default_rng([settings.seed, *item.numbers])
            made = synthesise(
                item.category, item.kind, rng, settings.size, strength=settings.strength, noise=settings.noise
            )
            _write_pair(made, [beside / file for file in item.files])
            if progress is not None:
                progress(done, len(pairs))

    return simulated.fill(folder, write)


@dataclass(frozen=True)
class _Item:
    """One pair of a set: its category, its part of the set, its kind and its number among these."""

    category: str
    part: str
    kind: str
    number: int

    @property
    def files(self) -> tuple[str, ...]:
        """Photograph, scan and, of a tested part, mask."""
        folder = f"{self.category}/{self.part}/{self.kind}"
        written = (f"{folder}/rgb/{self.number:03d}.png", f"{folder}/xyz/{self.number:03d}.tiff")
        return (*written, f"{folder}/gt/{self.number:03d}.png") if self.part == "test" else written

    @property
    def numbers(self) -> tuple[int, int, int]:
        """What its random numbers come from: more pairs in one folder change none in another."""
        folders = ("train", "validation", "test", *KINDS)
        place = folders.index(self.part if self.kind == "good" else self.kind)
        return list(CATEGORIES).index(self.category), place, self.number


def _deal(settings: ScanSimulation) -> Iterator[_Item]:
    counts = {
        ("train", "good"): settings.normals,
        ("validation", "good"): settings.validation_normals,
        ("test", "good"): settings.test_normals,
    }
    for place, kind in enumerate(KINDS):
        counts["test", kind] = len(range(place, settings.faulty, len(KINDS)))
    for category in settings.chosen:
        for (part, kind), count in counts.items():
            yield from (_Item(category, part, kind, number) for number in range(count))


def _plain(settings: ScanSimulation) -> dict[str, object]:
    """The settings as JSON gives them back."""
    return asdict(settings) | {"categories": list(settings.chosen)}


def _write_pair(pair: Pair, paths: list[Path]) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pair.image).save(paths[0], compress_level=1)  # noise cannot be compressed much, only slowly
    points = np.nan_to_num(positions(pair.depth), nan=0.0)
    tifffile.imwrite(paths[1], points, photometric="minisblack", planarconfig="contig", compression="zlib")
    if len(paths) > 2:
        Image.fromarray(pair.mask.astype(np.uint8) * np.uint8(255)).save(paths[2])
