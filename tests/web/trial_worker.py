"""A worker whose jobs need no model: they wait, count, write files, take memory, die."""

import os
import signal
import time
from pathlib import Path

import psutil
from tqdm import tqdm as _  # noqa: F401  imported before, as a library might

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.web.worker import main


def execute(job):
    """Do what the job says."""
    files = Path(job["folder"]) / "files"
    match job["do"]:
        case "write":
            time.sleep(job.get("seconds", 0))
            (files / "answer.csv").write_text("a,b\n1,2\n")
            get_logger("trial").warning("written into %s", files / "answer.csv")
            return {"answer": {"pid": os.getpid(), "cwd": os.getcwd(), "seen": os.listdir()}}
        case "count":
            import tqdm

            for _ in tqdm.tqdm(range(job["steps"]), "counting", disable=True):
                time.sleep(job["seconds"])
            return {"answer": job["steps"]}
        case "half":
            (files / "half.csv").write_text("half")
            time.sleep(60)
        case "stubborn":  # as a long call into compiled code is
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            (files / ".deaf").touch()
            time.sleep(60)
        case "memory":
            block = bytearray(job["bytes"])
            block[::4096] = b"x" * len(block[::4096])
            time.sleep(job.get("seconds", 60))
            return {"answer": {"pid": os.getpid(), "rss": psutil.Process().memory_info().rss}}
        case "refuse":
            raise UserError("the file is\nnot there")
        case "crash":
            raise KeyError("a bug")
        case "die":
            os._exit(3)
        case "print":
            os.write(1, b'{"event": "done", "job": null}\n')
            return {"answer": "printed"}
        case "save":  # as a training does
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                time.sleep(job["seconds"])
                (files / "saved.csv").write_text("saved")
                raise
    return {}


if __name__ == "__main__":
    main(execute)
