"""How the files that train were recorded: another way of recording is heard as a fault may be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

FEW_BITS = 16  # of a sample; the rounding of fewer is heard beside a quiet machine
REMEDY = "record it as they were, for it may be anomalous by that alone."


@dataclass(frozen=True)
class RecordedAs:
    """What the files of the training recordings are apart from their sound, see `file_facts`; each number once, rising.

    Attributes:
        rates: in Hz.
        channels: numbers of channels; empty where one of them is read by its number, whatever else there is.
        bits: of a sample; 0 where sound is compressed with loss.

    Example:
        >>> trained = RecordedAs(rates=(16_000,), channels=(1,), bits=(16,))
        >>> trained.remarks({"rate": 16_000, "channels": 2, "bits": 24})
        ['has 2 channel(s), those that train 1: record it as they were, for it may be anomalous by that alone.']
    """

    rates: tuple[int, ...]
    channels: tuple[int, ...]
    bits: tuple[int, ...]

    @classmethod
    def of(cls, training: pd.DataFrame, *, channel_by_number: bool = False) -> Self:
        """What some rows of a sample table have in `rate`, `channels` and `bits`."""
        return cls(
            _each(training["rate"]), () if channel_by_number else _each(training["channels"]), _each(training["bits"])
        )

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any] | None) -> Self | None:
        """What `dataclasses.asdict` wrote, or JSON gave back; None of a model that was trained before."""
        return None if plain is None else cls(**{name: tuple(values) for name, values in plain.items()})

    def remarks(self, row: Mapping[Any, Any]) -> list[str]:
        """What of a file is another than in all that train, by `rate`, `channels` and `bits` of its row."""
        said = []
        if row["rate"] not in self.rates:
            said.append(f"was recorded at {row['rate']} Hz, those that train at {_listed(self.rates)} Hz")
        if self.channels and row["channels"] not in self.channels:
            said.append(f"has {row['channels']} channel(s), those that train {_listed(self.channels)}")
        if row["bits"] == 0 and 0 not in self.bits:
            said.append("is compressed with loss (as MP3 is), those that train are not")
        elif row["bits"] and not any(self.bits):
            said.append("is not compressed, those that train are, with loss (as MP3 is)")
        elif row["bits"] < min(FEW_BITS, *self.bits):
            said.append(f"has {row['bits']} bits a sample, those that train {_listed(self.bits)}")
        return [f"{each}: {REMEDY}" for each in said]


def ways_of(training: pd.DataFrame, *, channel_by_number: bool = False) -> list[pd.Series]:
    """How each was recorded, in words, for `warn_of_mixture`: rate, channels, and what a sample has.

    Args:
        training: rows of a sample table with `rate`, `channels` and `bits`, see `file_facts`.
        channel_by_number: whether one channel is read, whatever else there is.

    Example:
        >>> [way[0] for way in ways_of(pd.DataFrame({"rate": [16_000], "channels": 2, "bits": 24}))]
        ['16000 Hz', '2 channel(s)', '16 bits or more']
    """
    rates, channels = training["rate"].astype(str) + " Hz", training["channels"].astype(str) + " channel(s)"
    bits = training["bits"].map(lambda bits: f"{bits} bits" if bits < FEW_BITS else f"{FEW_BITS} bits or more")
    samples = bits.mask(training["bits"] == 0, "compressed with loss (as MP3 is)")
    return [rates, samples] if channel_by_number else [rates, channels, samples]


def length_remark(seconds: float, usual: tuple[float, float], alike: float) -> list[str]:
    """What is to be said of a clip that is shorter or longer than all that train, one of which is repeated then.

    Args:
        seconds: of the clip.
        usual: seconds of the shortest and the longest clip that trains.
        alike: share of their length by which clips may differ.

    Example:
        >>> length_remark(3.0, (4.0, 4.0), alike=0.01)
        ['lasts 3 s, those that train 4 s: it is repeated, and may be anomalous by that alone.']
    """
    shortest, longest = usual
    span = f"{longest:.3g} s" if shortest >= (1 - alike) * longest else f"{shortest:.3g} to {longest:.3g} s"
    if seconds < (1 - alike) * shortest:
        return [f"lasts {seconds:.3g} s, those that train {span}: it is repeated, and may be anomalous by that alone."]
    if seconds > (1 + alike) * longest:
        return [
            f"lasts {seconds:.3g} s, those that train {span}: they are repeated, and it may be anomalous by that alone."
        ]
    return []


def _each(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({int(value) for value in values}))


def _listed(numbers: Iterable[int]) -> str:
    return " or ".join(map(str, numbers))
