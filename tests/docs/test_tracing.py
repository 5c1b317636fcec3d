"""The code in docs/tracing.md runs, in a process of its own, and does what is said of it."""

from __future__ import annotations

import re
import subprocess
import sys

from leveret.tracing import names
from tests.docs.fences import ROOT, blocks

TRACING = "docs/tracing.md"

CALLS = """
import asyncio
import leveret
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))

class Desk(leveret.Service):
    @leveret.method
    async def work(self) -> int:
        return 7

async def main():
    async with leveret.connect("embedded://") as rabbit, rabbit.serving(Desk()):
        await rabbit.remote(Desk).work()

asyncio.run(main())
print([(span.kind.name, span.name) for span in exporter.get_finished_spans()])
"""


def test_the_snippets_have_calls_traced() -> None:
    snippets = [block.text for block in blocks(TRACING, "python")]
    assert len(snippets) == 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*snippets, CALLS])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "('CLIENT', 'desk.work')" in done.stdout
    assert "('SERVER', 'desk.work')" in done.stdout


def test_the_attributes_and_durations_are_those_of_the_code() -> None:
    text = (ROOT / TRACING).read_text()
    told = set(re.findall(r"`((?:leveret|rpc|server|error)\.[a-z_.]+)`", text))
    written = {
        value
        for name, value in vars(names).items()
        if name.isupper() and isinstance(value, str) and re.fullmatch(r"[a-z_]+\.[a-z_.]+", value)
    }
    assert written <= told
    assert told - written <= {"leveret.tracing.uninstrument"}
