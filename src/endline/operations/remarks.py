"""What is said of an item while it is judged, to be kept with its verdict."""

import logging
import threading
from types import TracebackType
from typing import Self

OURS = "endline"  # the logger above all of ours


class Remarks(logging.Handler):
    """Warnings that endline gives in this thread, while it is entered; they go on to wherever they went before.

    Example:
        >>> with Remarks() as remarks:
        ...     remarks.emit(logging.makeLogRecord({"msg": "a.png is stretched.", "levelno": logging.WARNING}))
        >>> remarks.taken(), remarks.taken()
        ('a.png is stretched.', '')
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self._said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning; errors say why there is no verdict, which is not this."""
        if record.thread != self._thread or record.levelno != logging.WARNING:
            return
        self._said.append(" ".join(record.getMessage().split()))
        if not logging.getLogger().handlers and logging.lastResort is not None:
            logging.lastResort.handle(record)  # which writes to stderr where nobody listens, as this handler does now

    def taken(self) -> str:
        """What has been said since it was asked last, sentence after sentence, each once."""
        said, self._said = " ".join(dict.fromkeys(self._said)), []
        return said

    def __enter__(self) -> Self:
        logging.getLogger(OURS).addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger(OURS).removeHandler(self)
