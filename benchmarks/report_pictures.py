"""Pictures of reports for the documentation: a small simulated run of each station, photographed by Chromium.

Writes `docs/pictures/<station>_<part>.png`, each with the report's banner that says that its data are simulated.
Run, with `chromium` on the PATH: `.venv/bin/python benchmarks/report_pictures.py` (three minutes).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from main_job import copy_project

PROJECT = Path(__file__).parents[1]
PICTURES = PROJECT / "docs/pictures"
RUNS = {  # station -> parameters of the run, as in docs/quick_start but for the detector of mirror_audio
    "mirror_audio": "raw=simulated,normals=40,faulty=12",
    "machine_audio": "raw=simulated,group=fan,train_clips=40,target_clips=6,normals=8,faulty=8",
    "surface_image": "raw=simulated,normals=40,test_normals=10,faulty=12",
    "surface_scan": "raw=simulated,group=tyre,categories=tyre,normals=24,validation_normals=6,test_normals=8,faulty=12",
    "robot_cycle": "raw=simulated,normals=40,test_normals=10,faulty=12",
}
SHOWN = {  # part of a report -> style that hides the rest
    "summary": "nav, footer, section:not(#curves) {display: none !important}",
    "exhibit": "#top, nav, footer, #summary, section:not(#exhibits), h2, h3, .cards ~ .cards, audio, "
    "article:nth-of-type(n+2) {display: none !important} .cards {grid-template-columns: 1fr !important}",
}
WIDTH, HEIGHT, MARGIN = 1180, 3000, 16  # pixels of the window, and what stays around the page
COLOURS = 128  # of a picture


def photograph(report: Path, style: str, target: Path) -> None:
    """A report as a picture, cut to what the style leaves."""
    page = report.with_name("shown.html")
    page.write_text(report.read_text().replace("</head>", f"<style>{style}</style></head>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
    command = ["chromium", *options, f"--screenshot={target}", "--virtual-time-budget=4000", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    picture = Image.open(target).convert("RGB")
    ground = Image.new("RGB", picture.size, picture.getpixel((0, HEIGHT - 1)))
    box = ImageChops.difference(picture, ground).getbbox()
    assert box is not None, f"{page} is empty"
    cut = picture.crop((0, 0, WIDTH, min(HEIGHT, box[3] + MARGIN)))
    cut.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    """Run each station in a copy of the project, and photograph its report."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder))
        for station in sys.argv[1:] or RUNS:
            command = [sys.executable, "-m", "kedro", "run", f"--pipeline={station}", f"--params={RUNS[station]}"]
            subprocess.run(command, cwd=project, check=True)
            [report] = (project / f"data/08_reporting/{station}/report.html").glob("*/report.html")
            for part, style in SHOWN.items():
                photograph(report, style, PICTURES / f"{station}_{part}.png")


if __name__ == "__main__":
    main()
