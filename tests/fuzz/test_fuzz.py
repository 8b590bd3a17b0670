"""A minute of fuzzing: no bytes harm a decoder, a document or pycrdt. Longer by hand: `python -m tests.fuzz`."""

from __future__ import annotations

import pytest
from tests.fuzz.decoders import decoders
from tests.fuzz.search import search_decoders, search_updates
from tests.fuzz.trial import outcome

SEED = 20_251_120
DECODERS = decoders()


@pytest.mark.parametrize("name", DECODERS)
def test_corpus_does_no_harm(name: str) -> None:
    """Whatever earlier searches have found is still a message or a `ProtocolError`."""
    decoder = DECODERS[name]
    for frame in decoder.seeds:
        decoder.check(frame)


def test_no_decoder_is_harmed() -> None:
    """Frames that are nearly right bring a message, None or a `ProtocolError`, and a message reads as itself again."""
    tried, findings = search_decoders(SEED, 20)
    assert tried
    assert not findings, "\n\n".join(map(str, findings))


def test_no_document_is_harmed() -> None:
    """Updates that are nearly right leave a document that can be encoded, read, edited and opened again."""
    tried, findings = search_updates(SEED, 40)
    assert tried
    assert not findings, "\n\n".join(map(str, findings))


def test_harm_is_seen() -> None:
    """A child that fails, that never returns and that is killed are each told from one that does well."""
    assert outcome(lambda: None) == ""
    assert "ValueError" in outcome(lambda: int("x"))
    assert "did not return" in outcome(lambda: [None for _ in iter(int, 1)], seconds=0.3)
