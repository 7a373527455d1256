"""The embedded default data of the station `surface_image`: simulated photographs of ground metal surfaces.

The layout is that of MVTec AD (Bergmann et al., CVPR 2019): `train/good`, `test/good`, `test/<kind>` and
`ground_truth/<kind>`, here of the one category `surface`. Parts differ in their texture, form, albedo and
gloss, and lie a little differently; light, exposure and lens differ from photograph to photograph. A
defect changes the surface of a part that is otherwise drawn like all others and is photographed by the
same light: outside of its mask the photograph is the same, bit for bit, with and without it.

Difficulty was chosen, not found: strengths are log-uniform (`KINDS`). With the defaults, a Gaussian
(Ledoit-Wolf) on all stride-16 features of EfficientNet-Lite0, fitted on the 150 good parts, tells the 80
damaged parts from the 40 other good ones by their oddest place with AUROC 0.88 (crack 0.93, dent 0.86,
pit 1.00, scratch 0.96, stain 0.86, worn 0.64); by a photograph's mean features with 0.71. Measured once,
by hand, with RECIPE 1.

By `pose` the surfaces are plates on a table, upright or at any angle and place; by `exposure` the photographs differ in
brightness more than the lamp's own spread: what nobody aligned, and no camera held constant.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter

from endline.errors import EndlineError
from endline.simulation.images.placed_part import Pose
from endline.simulation.images.surface_defects import Damage, crack, dent, pit, scratch, stain, worn
from endline.simulation.images.surface_texture import REFERENCE, Shot, Surface, sensor_noise
from endline.simulation.simulated_folder import SimulatedFolder, check_least

POSES = ("whole", "aligned", "any")
TRIES = 50
RECIPE = 1  # raise it whenever the same settings would give other photographs
CATEGORY = "surface"
# Each kind's defect, with its least and greatest strength in its own measure: from a second look to plain.
KINDS: dict[str, tuple[Callable[[int, float, np.random.Generator], Damage], tuple[float, float]]] = {
    "crack": (crack, (0.35, 0.85)),
    "dent": (dent, (0.09, 0.22)),
    "pit": (pit, (0.12, 0.7)),
    "scratch": (scratch, (0.22, 0.8)),
    "stain": (stain, (0.12, 0.32)),
    "worn": (worn, (0.7, 1.0)),
}


@dataclass(frozen=True)
class SurfaceSimulation:
    """Settings of a simulated set; the defaults have the size of a category of MVTec AD.

    Attributes:
        normals: photographs of good parts to train on, at least 0.
        test_normals: photographs of good parts to test on, at least 0.
        faulty: photographs of damaged parts, at least 0, dealt evenly to the kinds of `KINDS`.
        size: height and width in pixels, at least 128, lest pits be lost; a larger photograph shows the same view.
        pose: `whole`: the surface fills the photograph; `aligned`: a plate of it lies upright in the middle of a table;
            `any`: it lies at any angle and place.
        exposure: standard deviation of the logarithm of a photograph's exposure, beside that of the lamp; at least 0.
        seed: seed of the whole set, at least 0; a photograph depends on (seed, its folder, its number) alone.

    Example:
        >>> SurfaceSimulation(normals=10).size
        256
    """

    normals: int = 150
    test_normals: int = 40
    faulty: int = 80
    size: int = 256
    seed: int = 0
    pose: str = "whole"
    exposure: float = 0.0

    def __post_init__(self) -> None:
        check_least(self, normals=0, test_normals=0, faulty=0, size=128, seed=0, exposure=0)
        if self.pose not in POSES:
            raise EndlineError(f"The simulation knows no pose '{self.pose}': choose one of {', '.join(POSES)}.")
        if self.normals + self.test_normals + self.faulty == 0:
            raise EndlineError("The simulation has no photographs; set normals, test_normals or faulty above 0.")


@dataclass(frozen=True)
class Photograph:
    """`image`, uint8 of (size, size, 3), and `mask`, bool of (size, size): where the defect changed it.

    Example:
        >>> Photograph(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.bool_)).mask.shape
        (8, 8)
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def synthesise(
    kind: str, rng: np.random.Generator, size: int, *, pose: str = "whole", exposure: float = 0.0
) -> Photograph:
    """Return one photograph of a part that is "good" or has a defect of a kind of `KINDS`.

    The part, the shot, the sensor's noise, the defect, pose and exposure draw from children of `rng`: the same
    generator with another kind gives the same part in the same light, with and without the defect.

    Args:
        kind: "good", or of the defect.
        rng: is spawned from.
        size: height and width in pixels.
        pose: as `SurfaceSimulation` has it.
        exposure: as `SurfaceSimulation` has it.

    Raises:
        EndlineError: for an unknown kind.
    """
    if kind != "good" and kind not in KINDS:
        raise EndlineError(f"The simulation knows no defect {kind!r}; choose good, {', '.join(KINDS)}.")
    part_rng, shot_rng, noise_rng, defect_rng, pose_rng, exposure_rng = rng.spawn(6)
    surface = Surface.draw(part_rng, size)
    shot = Shot.draw(shot_rng)
    gain = np.float32(np.exp(exposure * exposure_rng.standard_normal()))
    lying = {"whole": None, "aligned": Pose.aligned(), "any": Pose.draw(pose_rng)}[pose]

    def taken(seen: Surface) -> NDArray[np.float32]:
        lit = shot.take(seen)
        return gain * (lit if lying is None else lying.laid(lit))

    good = taken(surface)
    noise = sensor_noise(good, noise_rng)
    image = _digitise(good + noise)
    if kind == "good":
        return Photograph(image, np.zeros((size, size), dtype=np.bool_))
    draw, strengths = KINDS[kind]
    strength = float(np.exp(defect_rng.uniform(*np.log(strengths))))
    for _ in range(TRIES):  # a defect that no part of the plate shows is none
        damaged = taken(draw(size, strength, defect_rng).apply(surface))
        mask = _visible(np.abs(damaged - good).mean(axis=2))
        if mask.any():
            break
    else:
        raise EndlineError(f"In {TRIES} tries no {kind} fell on the plate: choose another seed, or a larger size.")
    return Photograph(_damage(image, _digitise(damaged + noise), mask), mask)


def _digitise(photograph: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(255 * np.clip(photograph, 0, 1)).astype(np.uint8)


def _visible(change: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell where a change amounts to a grey level on the average of some pixels; without gaps and specks.

    The two flanks of a dent are brighter and darker: without closing, its mask would have a seam where they meet.
    """
    scale = len(change) / REFERENCE
    margin = max(round(3 * scale), 1)
    visible = np.pad(gaussian_filter(change, 0.7 * scale) > 1 / 255, margin, mode="edge")
    whole = binary_opening(binary_closing(visible, _disc(3 * scale)), _disc(1.5 * scale))
    return np.asarray(whole[margin:-margin, margin:-margin])


def _disc(radius: float) -> NDArray[np.bool_]:
    steps = np.arange(-int(radius), int(radius) + 1)
    return np.asarray(steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2)


def _damage(image: NDArray[np.uint8], damaged: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Put the damaged pixels into the mask; each differs by a grey level at least, so that the mask is exact."""
    merged = np.where(mask[:, :, None], damaged, image)
    same = mask & np.all(damaged == image, axis=2)
    merged[same] = np.where(image[same] < 128, image[same] + 1, image[same] - 1)
    return merged


def simulate(folder: Path, settings: SurfaceSimulation, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the simulated set to `folder` and return it; a complete set of the same settings is left alone.

    Layout: `surface/train/good/000.png` ..., `surface/test/good/...`, `surface/test/<kind>/...` (RGB),
    `surface/ground_truth/<kind>/000_mask.png` ... (grey, 0 or 255) and `simulation.json`. The set is written
    beside `folder` and moved there when it is complete, so that a killed simulation leaves nothing that is
    ever read. A simulated set of other settings is replaced, since its own settings bring it back; a folder
    with any other file is never touched.

    Args:
        folder: where the set shall lie; its parents are made.
        settings: see `SurfaceSimulation`.
        progress: called with (photographs written, photographs in all) after each photograph.

    Raises:
        EndlineError: `folder` holds files that no simulation wrote, or the disk cannot be written.
    """
    photographs = list(_deal(settings))
    masks = [_mask_name(kind, number) for part, kind, number in photographs if kind != "good"]
    simulated = SimulatedFolder(
        contents="photographs",
        note="simulated photographs of ground metal surfaces; no real part was photographed",
        recipe=RECIPE,
        settings=asdict(settings),
        files=(*(_image_name(*photograph) for photograph in photographs), *masks),
        pattern=rf"{CATEGORY}/((train|test)/[a-z]+/\d+|ground_truth/[a-z]+/\d+_mask)\.png",
        megabytes=int(len(photographs) * settings.size**2 * 3 / 1e6) + 1,
    )

    def write(beside: Path) -> None:
        for done, (part, kind, number) in enumerate(photographs, start=1):
            # Numbered by its folder: more photographs in one folder change none in another.
            place = ("train", "test", *KINDS).index(part if kind == "good" else kind)
            rng = np.random.default_rng([settings.seed, place, number])
            made = synthesise(kind, rng, settings.size, pose=settings.pose, exposure=settings.exposure)
            _save(made.image, beside / _image_name(part, kind, number))
            if kind != "good":
                _save(made.mask.astype(np.uint8) * np.uint8(255), beside / _mask_name(kind, number))
            if progress is not None:
                progress(done, len(photographs))

    return simulated.fill(folder, write)


def _deal(settings: SurfaceSimulation) -> Iterator[tuple[str, str, int]]:
    """Part of the set, kind and number of every photograph."""
    counts = {("train", "good"): settings.normals, ("test", "good"): settings.test_normals}
    for place, kind in enumerate(KINDS):
        counts["test", kind] = len(range(place, settings.faulty, len(KINDS)))
    for (part, kind), count in counts.items():
        yield from ((part, kind, number) for number in range(count))


def _image_name(part: str, kind: str, number: int) -> str:
    return f"{CATEGORY}/{part}/{kind}/{number:03d}.png"


def _mask_name(kind: str, number: int) -> str:
    return f"{CATEGORY}/ground_truth/{kind}/{number:03d}_mask.png"


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)  # noise cannot be compressed much, only slowly
