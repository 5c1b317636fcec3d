"""The service whose work lasts."""

from __future__ import annotations

import pytest

from leveret.demo.photos import Photos


async def test_photos_are_scanned_one_by_one() -> None:
    assert [photo async for photo in Photos().scan(3)] == ["photo-1", "photo-2", "photo-3"]


async def test_the_stages_of_the_pipe_fit_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    photos = Photos()
    assert await photos.stamp(await photos.shrink("it")) == "small it with a watermark"
    assert await photos.album(2) == "an album of 2 photos"
    assert capsys.readouterr().out == "making an album\n"
