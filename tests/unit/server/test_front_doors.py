"""The front doors: which path leads where, and what is asked at each."""

from __future__ import annotations

from typing import Any, cast

import pytest

from engineroom.errors import AccessDenied
from engineroom.protocols.messages import Dialect
from engineroom.rooms.address import Address
from engineroom.server.doorway import Admission
from engineroom.server.front_doors import FrontDoors
from engineroom.server.gate import Gate
from engineroom.server.hocuspocus_socket import HocuspocusSocket
from engineroom.server.lobby import Lobby
from engineroom.server.request import Request
from engineroom.server.ysweet_socket import YSweetSocket

pytestmark = pytest.mark.anyio


class FakeGate:
    """A gate that says what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses = False

    async def check(self, request: Request) -> None:
        self.asked.append("check")
        if self.refuses:
            raise AccessDenied("not from there", 403)

    async def join(self, request: Request, connection: object) -> Admission:
        self.asked.append("join")
        return Admission(cast(Any, self), "chosen")

    async def enter(
        self, request: Request, address: Address, connection: object, dialect: Dialect
    ) -> object:
        self.asked.append(f"enter {address} {dialect.name}")
        return self


async def opened(path: bytes, gate: FakeGate) -> Admission:
    async with Lobby() as lobby:
        doors = FrontDoors(cast(Gate, gate), lobby)
        admission = await doors.join(Request(path, b"", []), cast(Any, None))
        if isinstance(admission.membership, HocuspocusSocket):
            admission.membership.leave()
        return admission


@pytest.mark.parametrize(
    "path", [b"/rooms/a", b"/a", b"/hocuspocus/a", b"/y-sweet", b"/rooms/y-sweet/a"]
)
async def test_other_paths_are_the_gates(path: bytes) -> None:
    """What is no door of its own goes to the gate as it is."""
    gate = FakeGate()
    assert (await opened(path, gate)).subprotocol == "chosen"
    assert gate.asked == ["join"]


async def test_hocuspocus_is_checked_and_let_in() -> None:
    """Host and origin are asked before the socket is; who it is comes later."""
    gate = FakeGate()
    assert isinstance((await opened(b"/hocuspocus", gate)).membership, HocuspocusSocket)
    assert gate.asked == ["check"]


async def test_a_y_sweet_document_is_entered_at_its_name() -> None:
    """The room is the one of that name, in y-sweet's dialect."""
    gate = FakeGate()
    admission = await opened(b"/y-sweet/d/my_doc-1/ws/my_doc-1", gate)
    assert isinstance(admission.membership, YSweetSocket)
    assert gate.asked == ["check", "enter my_doc-1 ysweet"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/y-sweet/d/a/ws/b", 400),
        (b"/y-sweet/d/a%2Fb/ws/a%2Fb", 400),
        (b"/y-sweet/d//ws/", 400),
        (b"/y-sweet/d/" + b"a" * 256 + b"/ws/" + b"a" * 256, 400),
        (b"/y-sweet/d/a/ws", 404),
        (b"/y-sweet/doc/ws/a", 404),
    ],
)
async def test_a_y_sweet_url_that_is_none_is_refused(path: bytes, status: int) -> None:
    """Before anything is entered."""
    gate = FakeGate()
    with pytest.raises(AccessDenied) as denied:
        await opened(path, gate)
    assert denied.value.status == status
    assert gate.asked == ["check"]


@pytest.mark.parametrize("path", [b"/hocuspocus", b"/y-sweet/d/a/ws/a"])
async def test_a_foreign_page_is_refused_at_every_door(path: bytes) -> None:
    """What the gate's checks refuse comes in nowhere."""
    gate = FakeGate()
    gate.refuses = True
    with pytest.raises(AccessDenied):
        await opened(path, gate)
    assert gate.asked == ["check"]
