"""The part of the demo's story about calls that last: streams, progress, started calls, pipes."""

from __future__ import annotations

import asyncio
import sys

import leveret
from leveret import Progress, Rabbit
from leveret.demo.narration import expect, section, show, tell
from leveret.demo.photos import Photos

_BAR = 30
"""Characters of the bar."""


async def show_a_stream(rabbit: Rabbit) -> None:
    """Items that come one by one, and a consumer that has enough."""
    section("Calls that last: a stream gives its items as they are made")
    came = [photo async for photo in rabbit.remote(Photos).scan(5)]
    show("[photo async for photo in rabbit.remote(Photos).scan(5)]", " ".join(came))
    expect(came == [f"photo-{n}" for n in range(1, 6)], "each item should come once, in order")
    async for photo in rabbit.remote(Photos).scan(1000):
        if photo == "photo-3":
            break
    tell("Of a stream of 1000 the consumer leaves after 3: the server stops, too.")


async def show_progress(rabbit: Rabbit) -> None:
    """A handler that says how far it is."""
    section("A handler says how far it is")
    reports: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        reports.append(progress)
        done = round((progress.fraction or 0) * _BAR)
        end = "\r" if sys.stdout.isatty() else "\n"
        print(f"  [{'#' * done:<{_BAR}}] {progress.text:<20}", end=end, flush=True)

    photos = rabbit.remote(Photos).with_options(on_progress=on_progress)
    result = await photos.develop(5)
    if sys.stdout.isatty():
        print()
    show("await photos.with_options(on_progress=bar).develop(5)", result)
    expect(reports, "the handler's progress should have come")


async def show_a_started_call(url: str) -> None:
    """A call whose client goes away, and another client that fetches the result."""
    section("A started call outlives its client")
    async with leveret.connect(url, name="first client") as first:
        await first.start(first.remote(Photos).album, key="summer", keep=60)(12)
    tell("One client has started it, with the key 'summer', and is gone. Another one asks:")
    async with leveret.connect(url, name="second client") as second:
        handle = second.attach(second.remote(Photos).album, "summer")
        state = (await handle.peek()).state
        result = await handle.result(timeout=30)
    show('await rabbit.attach(photos.album, "summer").peek()', state)
    show('await rabbit.attach(photos.album, "summer")', result)
    expect(state in {"waiting", "running", "done"}, "the call should be known")
    expect(result == "an album of 12 photos", "the second client should get the result")


async def show_a_pipe(rabbit: Rabbit) -> None:
    """Two stages with one call."""
    section("A pipe: each server hands its result to the next one, the caller waits once")
    photos = rabbit.remote(Photos)
    stamped = await asyncio.gather(
        *(rabbit.pipe(photos.shrink, photos.stamp)(f"photo-{n}") for n in range(1, 4))
    )
    show('await rabbit.pipe(photos.shrink, photos.stamp)("photo-1")', stamped[0])
    wanted = [f"small photo-{n} with a watermark" for n in range(1, 4)]
    expect(stamped == wanted, "each photo should have come through both stages")
