"""What the processes of test_processes.py do; it imports little, since every process imports it anew."""

import logging
import os
import signal
import time
from pathlib import Path

from endline.operations.sweep.job import Job, Outcome


def act(job: Job) -> Outcome:
    """Do what the job's parameter `do` says."""
    do = job.parameters["do"]
    if do == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "exit":
        os._exit(3)
    if do == "log":
        print("not for the terminal")
        logging.getLogger("endline.station").warning("A word from run %d.", job.parameters["n"])
    if do == "wait":
        Path(job.parameters["file"]).write_text(str(os.getpid()))
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            Path(job.parameters["file"]).write_text("closed")
            raise
    return Outcome({"process": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}, version=job.version)
