"""The exceptions of endline: one that users meet, and one that becomes a row of the rejected table."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeVar

ErrorT = TypeVar("ErrorT", bound=BaseException)


class EndlineError(Exception):
    """A problem that the user can mend; its message is a sentence that names the file (or option) and the remedy.

    The command line prints the sentence alone, without a traceback.

    Example:
        >>> str(EndlineError("There is no folder /data/x: correct it."))
        'There is no folder /data/x: correct it.'
    """


class FileRejected(Exception):
    """A raw file that cannot be used: one row of the rejected table, not the end of a run.

    `reason` says what is wrong with the file, `remedy` what to do; the message joins them to a sentence.

    Example:
        >>> str(FileRejected("the file is empty (0 bytes)", "record it again"))
        'the file is empty (0 bytes): record it again.'
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}.")
        self.reason = reason
        self.remedy = remedy


def nearest(name: str, known: Iterable[str]) -> str:
    """What to write instead of a name that is not known: the end of a sentence.

    Example:
        >>> nearest("smok", ["paper", "smoke"])
        "did you mean 'smoke'? Known are paper, smoke."
        >>> nearest("x", ["paper", "smoke"])
        'choose one of paper, smoke.'
    """
    names = sorted(known)
    close = get_close_matches(name, names, 1)
    advice = f"did you mean '{close[0]}'? Known are" if close else "choose one of"
    return f"{advice} {', '.join(names)}."


def cause_of(error: BaseException | None, wanted: type[ErrorT]) -> ErrorT | None:
    """The first error of a type in the chain of causes of `error`, itself included; None where there is none.

    Kedro wraps what a node or a dataset raises, sometimes more than once.

    Example:
        >>> try:
        ...     try:
        ...         raise EndlineError("The disk is full.")
        ...     except EndlineError as inner:
        ...         raise RuntimeError("node failed") from inner
        ... except RuntimeError as outer:
        ...     print(cause_of(outer, EndlineError))
        The disk is full.
    """
    while error is not None and not isinstance(error, wanted):
        error = error.__cause__
    return error
