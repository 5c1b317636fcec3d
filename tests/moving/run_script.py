"""Runs a program of examples/moving/, `run_script.py SCRIPT ARGUMENT...`, as Python itself would.

The tests fork it (tests/behaviour/forked_programs.py) with what most of these programs import.
"""

from __future__ import annotations

import os
import runpy
import sys

# Imported once, for all forks.
import aio_pika.patterns  # noqa: F401
import pika  # noqa: F401
import uvloop  # noqa: F401

import leveret.blocking  # noqa: F401

if __name__ == "__main__":
    os.dup2(1, 2)
    sys.argv = sys.argv[1:]
    sys.path[0] = os.getcwd()  # noqa: PTH109 - what Python has there is text
    runpy.run_path(sys.argv[0], run_name="__main__")
