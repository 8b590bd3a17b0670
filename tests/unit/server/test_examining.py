"""Documents that are opened away from here, good ones and bad ones."""

import os
import time
from collections.abc import Iterator

import pytest
from pycrdt import Doc, Text

from engineroom.rooms.storage import Record, StoredDocument
from engineroom.server import examining
from engineroom.server.examining import ExaminationFailed, Examiner, examine

LINEAGE = "lineage"


@pytest.fixture
def examiner() -> Iterator[Examiner]:
    with Examiner() as examiner:
        yield examiner


def typed(text: str) -> list[bytes]:
    doc: Doc[Text] = Doc()
    updates: list[bytes] = []
    doc.observe(lambda event: updates.append(event.update))
    root = doc.get("text", type=Text)
    for character in text:
        root += character
    return updates


def stored(updates: list[bytes]) -> StoredDocument:
    records = tuple(Record(n, 1.0, "ada", update) for n, update in enumerate(updates, 1))
    return StoredDocument(LINEAGE, None, 0, records, len(records))


def text_of(encoding: bytes) -> str:
    doc: Doc[Text] = Doc()
    doc.apply_update(encoding)
    return str(doc.get("text", type=Text))


def test_a_sound_document_can_take_its_logs_place(examiner: Examiner) -> None:
    """Its encoding carries everything; several are opened one after another, by one child."""
    for text in ("hello", "world"):
        examined = examiner.examine(text, stored(typed(text)))
        assert text_of(examined.encoding) == text
        assert examined.replaceable


def test_a_document_that_waits_is_not_replaceable(examiner: Examiner) -> None:
    """What waits for a missing update is counted, and would be lost by a snapshot."""
    first, _, third, fourth = typed("four")
    examined = examiner.examine("a", stored([first, third, fourth]))
    assert (examined.waiting, examined.replaceable) == (2, False)


def test_records_that_cannot_be_applied_are_named(examiner: Examiner) -> None:
    """Poison is left out by its number; pycrdt alone would panic on the second later on."""
    first, second = typed("ab")
    poison = bytes.fromhex("01016101000000")
    examined = examiner.examine("a", stored([first, b"rubbish", poison, second]))
    assert examined.refused == (2, 3)
    assert not examined.replaceable
    assert text_of(examined.encoding) == "ab"


def die(path: str, document: StoredDocument) -> None:
    """What a panic that aborts looks like."""
    os._exit(6)


def hang(path: str, document: StoredDocument) -> None:
    """What never returns."""
    time.sleep(3600)


def panic(path: str, document: StoredDocument) -> None:
    """What pyo3 raises."""
    raise BaseException("panicked")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(die, r"ends the process"), (hang, r"does not open within 1 s"), (panic, r"panicked")],
)
def test_a_document_that_breaks_its_child_breaks_no_other(
    fault: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and the next document is opened by a new child."""
    import multiprocessing

    get_context = multiprocessing.get_context
    # A child that is forked has what was put in the place of `examine`.
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: get_context("fork"))
    with Examiner(seconds=1) as examiner:
        monkeypatch.setattr(examining, "examine", fault)
        with pytest.raises(ExaminationFailed, match=reason):
            examiner.examine("a", stored(typed("a")))
        monkeypatch.setattr(examining, "examine", examine)
        examiner._end()
        assert text_of(examiner.examine("a", stored(typed("a"))).encoding) == "a"


def test_a_path_that_is_no_address_is_opened_all_the_same() -> None:
    """A document may have come in under any name."""
    assert text_of(examine("../a", stored(typed("a"))).encoding) == "a"
