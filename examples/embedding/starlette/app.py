"""Rooms in a Starlette application, below /collab; the application says who comes in.

uvicorn app:app
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import engineroom
from engineroom import Access, AccessDenied, Address

TOKENS = {"ada": Access(), "guest": Access(write=False)}


async def authorize(request: engineroom.Request, address: Address) -> Access:
    """What the bearer of this token may do in the room at `address`."""
    access = TOKENS.get(request.query_token or request.bearer_token or "")
    if access is None:
        raise AccessDenied("Show a token: ?token=ada or ?token=guest.", 401)
    return access


async def home(_request: Request) -> PlainTextResponse:
    """A page of the application's own."""
    return PlainTextResponse("Rooms are below /collab/rooms/.\n")


collab = engineroom.Application(data="documents", authorize=authorize)
app = Starlette(
    routes=[Route("/", home), Mount("/collab", collab)],
    lifespan=collab.lifespan,  # mounted applications hear nothing of it by themselves
)
