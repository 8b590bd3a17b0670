"""What the end of a connection means."""

import pytest
from pycrdt import Doc

from engineroom.client import OtherHistory
from engineroom.client.endings import of_close, of_refusal
from engineroom.errors import AccessDenied, LimitExceeded, ProtocolError


@pytest.mark.parametrize("status", [401, 403, 404, 421])
def test_a_refusal_is_final(status: int) -> None:
    """A handshake that is refused for what was asked is not worth another try."""
    failure = of_refusal(status, "No.\n")
    assert isinstance(failure, AccessDenied)
    assert (failure.status, failure.reason) == (status, "No.")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_that_cannot_now_is_asked_again(status: int) -> None:
    """A server or a proxy in trouble, or one that says "later", is asked again."""
    assert of_refusal(status, "") is None


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4408, 4410])
def test_a_lost_connection_is_made_again(code: int) -> None:
    """Restarts, broken lines and closed rooms are no reason to give up."""
    assert of_close(code, "", Doc(), 0) is None


@pytest.mark.parametrize(("code", "status"), [(4401, 401), (4403, 403)])
def test_access_that_ended_is_final(code: int, status: int) -> None:
    """An expired token and a revoked right end the connection with an error that says so."""
    failure = of_close(code, "expired", Doc(), 0)
    assert isinstance(failure, AccessDenied)
    assert (failure.status, failure.reason) == (status, "expired")


def test_another_history_keeps_the_replica() -> None:
    """When the document was made anew, the error holds the replica and how much of it may be unsaved."""
    document: Doc = Doc()
    failure = of_close(4409, "", document, 3)
    assert isinstance(failure, OtherHistory)
    assert failure.document is document
    assert failure.unacknowledged == 3


@pytest.mark.parametrize("code", [4400, 1002, 1003, 1007])
def test_a_broken_protocol_is_final(code: int) -> None:
    """The same bytes would be refused again."""
    assert isinstance(of_close(code, "bad", Doc(), 0), ProtocolError)


def test_a_limit_that_the_same_change_would_meet_is_final() -> None:
    """A document that is too large stays too large; the error names the limit."""
    failure = of_close(4429, "limit reached: document_bytes = 1048576", Doc(), 1)
    assert isinstance(failure, LimitExceeded)
    assert (failure.limit, failure.allowed) == ("document_bytes", 1048576)
    assert isinstance(of_close(1009, "", Doc(), 0), LimitExceeded)


@pytest.mark.parametrize("limit", ["members", "messages_per_second", "awareness_per_second"])
def test_a_limit_that_passes_is_tried_again(limit: str) -> None:
    """A full room empties, and haste ends."""
    assert of_close(4429, f"limit reached: {limit} = 5", Doc(), 0) is None
