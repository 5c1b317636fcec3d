"""Large messages are received into memory that the process has already."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MEASURE = """
import resource
from leveret.transport.large_buffers import keep_large_buffers

def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def message() -> None:
    parts = [b"x" * 131_072 for _ in range(8)]
    body = b"".join(parts)
    copy = body + b"y"

if {keep}:
    keep_large_buffers()
    keep_large_buffers()
for _ in range(5):
    message()
before = faults()
for _ in range(50):
    message()
print((faults() - before) // 50)
"""


def faults_per_message(*, keep: bool) -> int:
    """Pages that the system clears for each message of 1 MB, in a process of its own."""
    measure = [sys.executable, "-c", MEASURE.format(keep=keep)]
    return int(subprocess.run(measure, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep other rules")
def test_messages_of_a_megabyte_need_no_new_memory() -> None:
    assert faults_per_message(keep=False) > 100
    assert faults_per_message(keep=True) < 10
