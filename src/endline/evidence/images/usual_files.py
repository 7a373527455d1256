"""What the files of training photographs are, and what is to be said of a new one that is none of their sort."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from endline.samples import TRAIN

FEW = 0.5  # of the usual pixels, below which a photograph has few


@dataclass(frozen=True)
class UsualFiles:
    """What all training photographs are as files: a new one that is another looks anomalous without a fault.

    Attributes:
        colours: 1 where all are grey, 3 where all have colours; None where there are both.
        jpeg: whether any is a JPEG file.
        smallest, usual: the least and the median number of pixels.

    Example:
        >>> usual = UsualFiles(colours=3, jpeg=False, smallest=300_000, usual=307_200)
        >>> usual.unlike({"height": 480, "width": 640, "colours": 1.0, "quantisation": 0.0}, (384, 384))
        ['is grey, and those that train have colours: take and save it as those were.']
    """

    colours: int | None
    jpeg: bool
    smallest: int
    usual: int

    def unlike(self, row: Mapping[Any, Any], shown: tuple[int, int]) -> list[str]:
        """What is to be said of a photograph that is unlike them.

        Args:
            row: of the sample table, with `height`, `width`, `colours` and `quantisation`.
            shown: height and width that photographs are resized to.
        """
        said = []
        if self.colours is not None and row["colours"] != self.colours:
            words = ("is grey, and those that train have colours", "has colours, and those that train are grey")
            said.append(f"{words[int(row['colours'] != 1)]}: take and save it as those were.")
        if row["quantisation"] > 0 and not self.jpeg:
            said.append(
                "is a JPEG file, and none of those that train is: what its compression changes may count as a fault. "
                "Save it as those were."
            )
        pixels, needed = int(row["height"] * row["width"]), shown[0] * shown[1]
        size = f"has {row['width']:.0f} x {row['height']:.0f} pixels"
        if pixels < self.smallest and pixels < FEW * self.usual:
            said.append(
                f"{size}, {100 * pixels / self.usual:.0f} % of what those that train have: it is not as sharp as they "
                "are, and that may count as a fault. Take it at their resolution."
            )
        elif pixels < needed <= self.smallest:
            said.append(
                f"{size}, fewer than the {shown[1]} x {shown[0]} that it is shown with, unlike those that train: it is "
                "not as sharp as they are, and that may count as a fault. Take it at their resolution."
            )
        return said


def ways_of(training: pd.DataFrame) -> list[pd.Series]:
    """How each photograph was taken, in words, for `warn_of_mixture`: with or without colours, and how it was saved.

    Args:
        training: rows of a sample table with `colours` and `quantisation`.

    Example:
        >>> [way[0] for way in ways_of(pd.DataFrame({"colours": [3.0], "quantisation": 0.0}))]
        ['in colour', 'without loss']
    """
    colours, saved = training["colours"] == 1, training["quantisation"] > 0
    return [
        colours.map({True: "grey", False: "in colour"}),
        saved.map({True: "as JPEG, with loss", False: "without loss"}),
    ]


def usual_files(samples: pd.DataFrame) -> UsualFiles | None:
    """What the files of the training photographs are; None where none trains.

    Args:
        samples: the sample table, with `split`, `height`, `width`, `colours` and `quantisation`.

    Example:
        >>> samples = pd.DataFrame({"split": "train", "height": [30, 40], "width": 10, "colours": 3.0})
        >>> usual_files(samples.assign(quantisation=0.0))
        UsualFiles(colours=3, jpeg=False, smallest=300, usual=350)
    """
    training = samples[samples["split"] == TRAIN]
    if training.empty:
        return None
    colours, pixels = training["colours"].unique(), training["height"] * training["width"]
    return UsualFiles(
        colours=int(colours[0]) if len(colours) == 1 else None,
        jpeg=bool((training["quantisation"] > 0).any()),
        smallest=int(pixels.min()),
        usual=int(pixels.median()),
    )
