"""What the stack stands on: configuration, processes, ports."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from configparser import RawConfigParser
from pathlib import Path

import psutil
import pytest

from scripts import homes, processes
from scripts.stack import Stack, StackError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"]


def test_the_configuration_is_its_owners_alone(tmp_path: Path) -> None:
    password = homes.write_config(tmp_path, "http://127.0.0.1:1", None, {"core.parallelism": "2", "new.key": "5%"})
    for name in ("airflow.cfg", "fernet.key", "passwords.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    config = RawConfigParser()
    config.read(tmp_path / "airflow.cfg")
    assert (config["core"]["parallelism"], config["new"]["key"]) == ("2", "5%")
    assert json.loads(config["dag_processor"]["dag_bundle_config_list"])[0]["name"] == "ready_made"
    assert len(password) >= 16


def test_a_home_keeps_its_keys(tmp_path: Path) -> None:
    before = homes.write_config(tmp_path, "http://127.0.0.1:1", tmp_path, {}), (tmp_path / "fernet.key").read_text()
    after = homes.write_config(tmp_path, "http://127.0.0.1:2", None, {}), (tmp_path / "fernet.key").read_text()
    assert before == after


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        assert processes.free_port(wanted) not in (0, wanted)
    free = processes.free_port()
    assert processes.free_port(free) == free


def test_a_process_that_will_not_end_is_killed(tmp_path: Path) -> None:
    started = processes.spawn(DEAF, os.environ, tmp_path / "log", tmp_path)
    processes.wait_until("it", lambda: "deaf" in (tmp_path / "log").read_text(), 20)
    processes.end(processes.tree(started.pid), patience=0.2)
    started.wait(timeout=10)
    assert not psutil.pid_exists(started.pid)


def test_processes_are_found_by_their_home(tmp_path: Path) -> None:
    home = tmp_path.resolve()
    ours = processes.spawn(SLEEP, {**os.environ, "AIRFLOW_HOME": str(home)}, home / "log", home)
    other = processes.spawn(SLEEP, {**os.environ, "AIRFLOW_HOME": str(home / "other")}, home / "log", home)
    try:
        assert [process.pid for process in processes.of_home(home)] == [ours.pid]
    finally:
        for started in (ours, other):
            started.kill()
            started.wait(timeout=10)


def test_components_end_with_the_program_that_started_them(tmp_path: Path) -> None:
    program = f"""
import os, sys, time
from pathlib import Path
from scripts import processes
child = processes.spawn({SLEEP!r}, os.environ, Path({str(tmp_path / "log")!r}), Path({str(tmp_path)!r}))
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=homes.ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive


def test_two_programs_do_not_share_a_home(tmp_path: Path) -> None:
    first, second = Stack(tmp_path), Stack(tmp_path)
    (tmp_path / "run").mkdir()
    first._take()
    with pytest.raises(StackError, match="another program runs an Airflow in"):
        second._take()
    first.stop()
    second._take()
    second.stop()


def test_a_component_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    (tmp_path / "run").mkdir()
    stack._pids["scheduler"] = processes.spawn(
        [sys.executable, "-c", "print('no room'); exit(3)"], os.environ, stack.log_path("scheduler"), tmp_path
    )
    stack._pids["scheduler"].wait(timeout=20)
    with pytest.raises(StackError, match=r"(?s)scheduler ended with 3:.*no room"):
        stack.check()


def test_waiting_has_an_end() -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="the thing was not ready after 0 s"):
        processes.wait_until("the thing", lambda: False, 0.2)
    assert time.monotonic() - begun < 5
