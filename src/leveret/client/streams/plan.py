"""The call of a stream before it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from leveret.client.middleware import CallNext, OutgoingCall
from leveret.client.streams.opening import StreamOpener, StreamTerms
from leveret.client.streams.sending import Source

__all__ = ["Plan"]


class Plan:
    """What one stream is called with, and on what terms.

    :param source: what is uploaded, if anything is.
    :param chain: makes of what is innermost the middleware around it; None if there is none.
    :param terms_with: gives the terms with another timeout and other metadata.
    :param with_carrier: gives the terms with more metadata, of whoever traces the stream.
    """

    def __init__(
        self,
        opener: StreamOpener,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: StreamTerms,
        *,
        source: Source | None,
        outgoing: Callable[[tuple[Any, ...], dict[str, Any]], OutgoingCall],
        chain: Callable[[CallNext], CallNext] | None,
        terms_with: Callable[[OutgoingCall], StreamTerms],
        with_carrier: Callable[[Mapping[str, str]], StreamTerms],
    ) -> None:
        self.opener = opener
        self.args = args
        self.kwargs = kwargs
        self.terms = terms
        self.source = source
        self.outgoing = outgoing
        self.chain = chain
        self.terms_with = terms_with
        self.with_carrier = with_carrier
