"""What is said of training files that were made in several ways."""

import logging

import pandas as pd

log = logging.getLogger(__name__)


def warn_of_mixture(*made: pd.Series) -> None:
    """Say so where those that train were made in several ways: what the ways differ by is taken as normal then.

    Args:
        made: one or several Series, with a value each of them: in words, how it was made.

    Example:
        >>> warn_of_mixture(pd.Series(["16000 Hz", "16000 Hz"]), pd.Series(["1 channel", "1 channel"]))
    """
    for each in made:
        counts = each.value_counts()
        if len(counts) > 1:
            log.warning(
                "Those that train were not made alike: %s. What that changes is taken as normal, and faults may hide "
                "in it: make all in one way, and new ones too.",
                ", ".join(f"{count} x {way}" for way, count in counts.items()),
            )
