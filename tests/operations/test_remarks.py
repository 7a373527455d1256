"""What is warned of while an item is judged, and who hears it."""

import logging
import threading

from endline.operations.remarks import Remarks

log = logging.getLogger("endline.evidence.somewhere")


def test_warnings_of_endline_in_this_thread_alone_are_taken():
    with Remarks() as remarks:
        log.warning("first\n  of %d", 2)
        log.warning("second")
        log.warning("second")
        log.info("no warning")
        log.error("an error is a reason")
        logging.getLogger("another").warning("of another package")
        other = threading.Thread(target=log.warning, args=("of another item",))
        other.start()
        other.join()
        assert remarks.taken() == "first of 2 second"
        assert remarks.taken() == ""
    log.warning("too late")
    assert remarks.taken() == ""


def test_a_warning_still_reaches_stderr_where_nobody_listens(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log.warning("before")
    with Remarks() as remarks:
        log.warning("meanwhile")
    assert remarks.taken() == "meanwhile"
    assert capsys.readouterr().err == "before\nmeanwhile\n"
