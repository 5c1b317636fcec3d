"""How far a call is: what its handler reports, and the body of the message that tells of it.

    {"fraction": 0.4, "text": "page 4"}

Both may be absent. A message without a body says no more than that the handler is alive.
"""

from __future__ import annotations

from math import inf
from typing import Final

import msgspec

from leveret.contract import Progress
from leveret.wire.error_texts import shortened

LONGEST_TEXT: Final = 1_000
"""Characters of a text that travel; what is longer is cut."""
_ROUNDING: Final = 1e-9
"""By so much a sum of fractions may miss 0 or 1 without being a mistake."""


def progress_of(fraction: float | None, text: str) -> Progress:
    """What a handler reports; its text in a form that travels, without lone surrogates.

    :raises ValueError: if the fraction is not from 0 to 1.
    :raises TypeError: if the fraction is not a number, or the text is not a text.
    """
    if fraction is not None:
        if isinstance(fraction, str | bytes):
            raise TypeError(f"progress is a number from 0 to 1, or None; got {fraction!r}")
        given = fraction
        try:
            fraction = float(given)
        except OverflowError:  # as of 10**400
            fraction = inf
        if not -_ROUNDING <= fraction <= 1 + _ROUNDING:  # NaN is not, either
            raise ValueError(f"progress is a number from 0 to 1, or None; got {given!r:.100}")
        fraction = min(max(fraction, 0.0), 1.0)
    if not isinstance(text, str):
        raise TypeError(f"the text of a progress must be text; got {text!r}")
    text = shortened(text, LONGEST_TEXT)
    if not text.isascii():  # a file's name that is no UTF-8 has surrogates
        text = text.encode("utf-8", "replace").decode()
    return Progress(fraction=fraction, text=text)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Progress).decode


def encode_progress(progress: Progress) -> bytes:
    """The body of a message that tells of it."""
    return _encode(progress)


def decode_progress(body: bytes) -> Progress | None:
    """What a body tells of; None for one that tells nothing, or cannot be read."""
    if not body:
        return None
    try:
        told = _decode(body)
        return progress_of(told.fraction, told.text)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        return None
