"""What `make test` says where pytest itself fails in a worker of pytest-xdist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFTEST = """
from tests.broken_runs import BrokenRuns

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(BrokenRuns(config))

def pytest_runtest_logfinish(nodeid):
    if "breaks" in nodeid:
        raise OSError("the disk is full")
"""
TESTS = """
def test_fails():
    assert 1 == 2

def test_breaks():
    pass
"""


def test_a_broken_run_ends_with_what_broke_it_and_the_tests_that_failed(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-n1", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert "INTERNALERROR" in run.stdout
    end = "\n".join(run.stdout.splitlines()[-40:])
    assert "FAILED BEFORE: call of test_some.py::test_fails" in end
    assert "assert 1 == 2" in end
    assert end.endswith("OSError: the disk is full")
