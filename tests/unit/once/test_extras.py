"""The clients of Redis and PostgreSQL are extras: nobody pays for them who does not use them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from leveret.once import PostgresOnce, RedisOnce


def test_importing_the_stores_imports_no_client() -> None:
    program = (
        "import sys, leveret.once; print({'redis', 'asyncpg'} & {name.partition('.')[0] for name in"
        " sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_store_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.exceptions", None)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ImportError, match=r"pip install 'leveret\[redis\]'"):
        RedisOnce("redis://localhost")
    with pytest.raises(ImportError, match=r"pip install 'leveret\[postgres\]'"):
        PostgresOnce("postgresql://localhost")
