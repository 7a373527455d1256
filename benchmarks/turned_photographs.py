"""Copies of a folder of photographs, each turned to an angle and moved to a place drawn at random, with its masks.

Real parts at any angle were not at hand; these are real photographs of parts that stand upright, turned by the
computer, so that the figures upright tell what the angle costs. Each is laid on a square of its background's colour,
the median of its border, into which its own border fades; no part of it is cut off. Masks below `ground_truth/` go with
the photograph of the same folder and stem below `test/`.
Run: `.venv/bin/python benchmarks/turned_photographs.py FOLDER TARGET`, then `kedro sweep turned_bottles --raw=TARGET`.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from endline.evidence.images.finding_parts import background_of

SUFFIXES = {".jpg", ".jpeg", ".png"}
FADING = 12  # pixels in which a photograph's border becomes the colour around it
PLAY = 0.04  # of the diagonal, by which a photograph is moved to each side


def laid(photograph: Image.Image, turn: float, move: tuple[float, float]) -> Image.Image:
    """A photograph turned by degrees and moved by shares of its diagonal, on a square that holds all of it.

    Example:
        >>> laid(Image.new("RGB", (30, 40)), 45.0, (0.0, 0.0)).size
        (54, 54)
    """
    mask = photograph.mode == "L"
    pixels = np.asarray(photograph, np.float32)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width = pixels.shape[:2]
    diagonal = float(np.hypot(height, width))
    side = int(np.ceil(diagonal * (1 + 2 * PLAY)))
    behind = np.zeros(1, np.float32) if mask else background_of(pixels)
    if not mask:
        down, right = np.mgrid[:height, :width]
        depth = np.minimum.reduce([down, height - 1 - down, right, width - 1 - right]) / FADING
        pixels = behind + (pixels - behind) * np.clip(depth, 0, 1)[..., None]
    square = np.tile(behind, (side, side, 1))
    top, left = (
        (side - length) // 2 + round(share * diagonal) for length, share in zip((height, width), move, strict=True)
    )
    square[top : top + height, left : left + width] = pixels
    filled = tuple(int(value) for value in behind)
    image = Image.fromarray(np.squeeze(square.round().astype(np.uint8)))
    return image.rotate(turn, Image.Resampling.NEAREST if mask else Image.Resampling.BICUBIC, fillcolor=filled)


def pose_of(name: str, seed: int) -> tuple[float, tuple[float, float]]:
    """Degrees and shares of the diagonal by which the photograph of a name is turned and moved."""
    rng = np.random.default_rng([seed, *hashlib.sha256(name.encode()).digest()[:8]])
    turn, down, right = rng.uniform((0, -PLAY, -PLAY), (360, PLAY, PLAY))
    return float(turn), (float(down), float(right))


def turned(folder: Path, target: Path, seed: int) -> int:
    """Write the copies; returns how many photographs there are."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    for file in track(files, "Turning", transient=True):
        part = file.relative_to(folder)
        is_mask = part.parts[0] == "ground_truth"
        name = Path("test", *part.parts[1:]) if is_mask else part
        image = Image.open(file).convert("L" if is_mask else "RGB")
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        laid(image, *pose_of(name.with_suffix("").as_posix(), seed)).save(target / part, quality=95)
    return len(files)


def main() -> None:
    """Write and say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{turned(given.folder, given.target, given.seed)} photographs and masks, turned, in {given.target}")


if __name__ == "__main__":
    main()
