"""The one exception that users meet."""


class EndlineError(Exception):
    """A problem that the user can mend; its message is a sentence that names the file (or option) and the remedy.

    The command line prints the sentence alone, without a traceback.
    """
