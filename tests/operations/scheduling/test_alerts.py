"""An alert is written whatever becomes of the webhook."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from endline.operations.scheduling.alerts import WEBHOOK, alert

TASK = SimpleNamespace(
    dag_id="endline_mirror_audio", task_id="train", run_id="scheduled__1", try_number=3, log_url="http://localhost/log"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delenv(WEBHOOK, raising=False)
    return tmp_path


def told(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "alerts.log").read_text().splitlines()]


def test_a_failed_task_and_a_run_that_took_too_long_are_told(home: Path) -> None:
    alert({"task_instance": TASK, "exception": RuntimeError("no disk")})
    alert({"dag_run": SimpleNamespace(dag_id="endline_mirror_audio", run_id="scheduled__2"), "reason": "timed_out"})
    task, run = told(home)
    assert task["text"] == "endline_mirror_audio: train failed after 3 tries (no disk); run scheduled__1."
    assert (task["task"], task["tries"], task["log"]) == ("train", 3, "http://localhost/log")
    assert run["text"] == "endline_mirror_audio: the run failed (timed_out); run scheduled__2."
    assert "webhook" not in task


def test_the_sentence_of_the_command_is_told_and_each_failure_once(home: Path) -> None:
    log = home / "logs/dag_id=endline_mirror_audio/run_id=scheduled__1/task_id=train/attempt=3.log"
    log.parent.mkdir(parents=True)
    events = (
        {"event": "Error: There is no file in /line4: see whether the drive is mounted."},
        {"event": "exit code 1"},
        [],
    )
    log.write_text("".join(f"{json.dumps(each)}\n" for each in events) + "half a li")
    alert({"task_instance": TASK, "exception": RuntimeError("Bash command failed.")})
    alert({"task_instance": TASK, "dag_run": TASK, "reason": "task_failure"})
    (only,) = told(home)
    assert only["reason"] == "There is no file in /line4: see whether the drive is mounted."


def test_a_webhook_is_told_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[dict[str, Any]] = []

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Chat) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{server.server_port}/secret")
        alert({"task_instance": TASK, "exception": RuntimeError("no disk")})
        thread.join()
    assert posted[0]["text"].startswith("endline_mirror_audio: train failed")
    assert told(home)[0]["webhook"] == "sent, answered 204"
    assert "secret" not in (home / "alerts.log").read_text()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/away", "file:///etc/passwd", "plant chat"])
def test_a_webhook_that_is_away_hides_nothing(home: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(WEBHOOK, url)
    alert({"task_instance": TASK, "exception": RuntimeError("no disk")})
    assert told(home)[0]["webhook"].startswith("not sent: ")
