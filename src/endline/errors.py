"""The exceptions of endline: one that users meet, and one that becomes a row of the rejected table."""


class EndlineError(Exception):
    """A problem that the user can mend; its message is a sentence that names the file (or option) and the remedy.

    The command line prints the sentence alone, without a traceback.
    """


class FileRejected(Exception):
    """A raw file that cannot be used: one row of the rejected table, not the end of a run.

    `reason` says what is wrong with the file, `remedy` what to do; the message joins them to a sentence.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}.")
        self.reason = reason
        self.remedy = remedy
