"""What the broker says when it breaks something off, as a text."""

from __future__ import annotations

from leveret.errors import ChannelClosed, ConnectionClosed


def test_an_error_shows_the_words_and_the_code_of_the_broker() -> None:
    error = ChannelClosed(404, "NOT_FOUND - no queue 'grüße'")
    assert str(error) == "NOT_FOUND - no queue 'grüße' (AMQP 404)"


def test_words_that_are_no_text_can_be_written_to_every_log() -> None:
    words = b"no exchange 'levere\x8b'".decode(errors="surrogateescape")
    error = ConnectionClosed(504, words)
    assert str(error) == r"no exchange 'levere\udc8b' (AMQP 504)"
    assert error.reply_text == words
    assert str(error).encode().isascii()
