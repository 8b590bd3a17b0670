"""Rooms in a FastAPI application, whose endpoints read and change the same documents.

uvicorn app:app
"""

from __future__ import annotations

import logging

from fastapi import FastAPI
from pycrdt import Doc, Text

import engineroom
from engineroom import Address, Hooks, MemberInfo

logger = logging.getLogger("uvicorn.error")


class Log(Hooks):
    """Says who comes and goes."""

    def on_join(self, address: Address, member: MemberInfo) -> None:
        """Returns at once: it runs in the event loop."""
        logger.info("%s came into %s", member.user.id, address)

    def on_leave(self, address: Address, member: MemberInfo) -> None:
        """A reload is a leave and a join."""
        logger.info("%s left %s", member.user.id, address)


collab = engineroom.Application(data="documents", token="secret", hooks=Log())  # noqa: S106
app = FastAPI(lifespan=collab.lifespan)
app.mount("/collab", collab)


@app.get("/notes/{name}")
async def read(name: str) -> dict[str, str]:
    """The text as it is now."""
    async with collab.rooms.open(f"notes/{name}") as room:
        return {"text": str(room.document.get("text", type=Text))}


@app.post("/notes/{name}")
async def add(name: str, line: str) -> dict[str, str]:
    """A line more, durable when this is answered."""

    def change(document: Doc) -> str:
        text = document.get("text", type=Text)
        text += line + "\n"
        return str(text)

    async with collab.rooms.open(f"notes/{name}") as room:
        return {"text": await room.edit(change)}
