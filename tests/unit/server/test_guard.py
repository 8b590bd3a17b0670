"""What stands before every route and every room: tokens of all kinds, origins, proxies, the application's word."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from engineroom.errors import AccessDenied
from engineroom.protocols.frames import Bundle
from engineroom.rooms.address import Address
from engineroom.rooms.hooks import Hooks
from engineroom.rooms.members import Access as RoomAccess
from engineroom.rooms.members import User
from engineroom.server.app import application, router
from engineroom.server.authority import Allowed
from engineroom.server.request import Request
from engineroom.server.services import Services, open_services
from engineroom.server.settings import Settings

pytestmark = pytest.mark.anyio

PORT = 8000
BASE = f"http://127.0.0.1:{PORT}"
TOKEN = "the-token"
SECRET = "s" * 40
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE_SECONDS = 20.0
PUBLIC = {"/-/health", "/healthz", "/readyz"}
NOTES = Address.parse("notes")
READ = RoomAccess(read=True, write=False, run=False)


@asynccontextmanager
async def serving(tmp_path: Path, **more: Any) -> AsyncIterator[Services]:
    hooks, authorize = more.pop("hooks", None), more.pop("authorize", None)
    stated = {"data": str(tmp_path / "data"), "token": TOKEN, "runtime": "local"}
    settings = Settings(**(stated | {"jwt_secret": SECRET} | more))
    async with open_services(settings, port=PORT, hooks=hooks, authorize=authorize) as services:
        yield services


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with serving(tmp_path, allow_origin=("https://app.example",)) as services:
        yield services


def client_of(services: Services, peer: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(services), client=(peer, 1))
    return httpx.AsyncClient(transport=transport, base_url=BASE, **options)


def signed(**claims: Any) -> str:
    stated = {"sub": "ada", "exp": time.time() + 1000, "rooms": {"**": ["read"]}} | claims
    return jwt.encode(stated, SECRET, algorithm="HS256")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class HeardConnection:
    """A connection that keeps what becomes of it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.news = asyncio.Event()

    def send(self, bundle: Bundle) -> None:
        self.heard.extend(bundle.payloads)

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)
        self.news.set()

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass


def upgrade(path: str, **headers: str) -> Request:
    raw = {"host": f"127.0.0.1:{PORT}"} | {k.lower(): v for k, v in headers.items()}
    path, _, query = path.partition("?")
    return Request(
        path.encode(), query.encode(), [(k.encode(), v.encode()) for k, v in raw.items()]
    )


async def websocket_status(app: ASGIApp, path: str, headers: dict[str, str]) -> int | None:
    """The status with which a handshake over ASGI is refused; None when it is accepted."""
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    headers = {"Host": f"127.0.0.1:{PORT}"} | headers
    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "server": ("127.0.0.1", PORT),
        "extensions": {"websocket.http.response": {}},
        "subprotocols": [],
    }
    async with asyncio.timeout(PATIENCE_SECONDS):
        await app(scope, receive, send)
    return sent[0].get("status")


def walk(services: Services) -> list[tuple[str, str]]:
    """Every route and every upgrade path: its methods and a URL that it answers to."""
    found: list[tuple[str, str]] = []
    for route in router(services).routes:
        assert isinstance(route, Route | WebSocketRoute), f"how is {route} walked?"
        path = re.sub(r"\{\w+:int\}", "0", route.path)
        path = re.sub(r"\{\w+:path\}", "rooms/1", path)
        path = re.sub(r"\{\w+\}", "x", path)
        if isinstance(route, Route):
            found += [(method, path) for method in sorted(route.methods or ())]
    upgrades = ("/rooms/notes", "/notes", "/y-sweet/d/notes/ws/notes")
    return found + [("WEBSOCKET", path) for path in upgrades]


class Asking:
    """Asks one server, over HTTP or for a WebSocket, without keeping cookies."""

    def __init__(self, services: Services) -> None:
        self._app = application(services)

    async def status(self, method: str, path: str, headers: dict[str, str]) -> int | None:
        if method == "WEBSOCKET":
            return await websocket_status(self._app, path, headers)
        transport = httpx.ASGITransport(self._app)
        request = httpx.Request(method, BASE + path, headers=headers)
        return (await transport.handle_async_request(request)).status_code


# --- every route and every upgrade -----------------------------------------------------------


async def test_every_route_refuses_tokens_that_are_not_good(services: Services) -> None:
    """Expired, revoked, unsigned and foreign-signed tokens, links and cookies are 401 on every route and upgrade."""
    share = services.access.share(NOTES, frozenset({"read"}))
    link = services.access.read_share(share)
    assert link is not None
    await services.stays.revoke_link(link.ids[0])
    ended = services.access.share(NOTES, frozenset({"read"}), expires=time.time() - 1)
    claims = {"sub": "ada", "exp": time.time() + 1000, "rooms": {"**": ["read", "admin"]}}
    foreign = jwt.encode(claims, "x" * 40, algorithm="HS256")
    asking = Asking(services)
    bad = {
        "expired": signed(exp=time.time() - 1000),
        "foreign": foreign,
        "unsigned": jwt.encode(claims, None, algorithm="none"),
        "link revoked": share,
        "link ended": ended,
    }
    for name, token in bad.items():
        cookie = {"Cookie": f"engineroom-{PORT}={token}"}
        for method, path in walk(services):
            expected = 200 if path in PUBLIC else 401
            for headers in (bearer(token), cookie):
                status = await asking.status(method, path, headers)
                assert status == expected, (name, method, path)
            if path not in PUBLIC:
                status = await asking.status(method, f"{path}?token={token}", {})
                assert status == 401, (name, method, path)
    assert services.rooms.statistics() == []


async def test_every_route_refuses_foreign_pages(services: Services) -> None:
    """A page of another origin changes nothing and opens nothing with a visitor's cookie; hosts are asked first."""
    async with client_of(services) as client:
        await client.get(f"/?token={TOKEN}")
        cookie = {"Cookie": f"engineroom-{PORT}={client.cookies[f'engineroom-{PORT}']}"}
    asking = Asking(services)
    pages = (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    )
    for method, path in walk(services):
        for page in pages:
            status = await asking.status(method, path, cookie | page)
            if method in ("GET", "HEAD"):
                assert status not in (401, 500), (method, path)
            else:
                assert status == 403, (method, path, page)
        host = {"Host": "evil.example"}
        assert await asking.status(method, path, cookie | host) == 421, (method, path)
    assert all(room.newest_number == 0 for room in services.rooms.statistics())


async def test_no_answer_to_a_foreign_page_can_be_read(services: Services) -> None:
    """No answer of any route lets a page of another origin read it."""
    async with client_of(services) as client:
        for method, path in walk(services):
            if method == "WEBSOCKET":
                continue
            for origin in ("https://evil.example", "null", "https://app.example.evil.example"):
                answer = await client.request(method, path, headers=BEARER | {"Origin": origin})
                assert "access-control-allow-origin" not in answer.headers, (method, path)


# --- tokens of an issuer ---------------------------------------------------------------------


async def test_a_token_of_the_issuer(services: Services) -> None:
    """An issuer's token lets in where it grants, by header, query and, in pages, cookie."""
    token = signed(rooms={"notes": ["read"]})
    for path, headers in (("/rooms/notes", bearer(token)), (f"/rooms/notes?token={token}", {})):
        assert await websocket_status(application(services), path, headers) is None
    assert await websocket_status(application(services), "/rooms/other", bearer(token)) == 403
    async with client_of(services) as client:
        answer = await client.get(f"/?token={token}")
        assert answer.status_code == 303
        cookie = {"Cookie": f"engineroom-{PORT}={client.cookies[f'engineroom-{PORT}']}"}
    assert token not in cookie["Cookie"]
    assert await websocket_status(application(services), "/rooms/notes", cookie) is None
    assert await websocket_status(application(services), "/rooms/other", cookie) == 403


async def test_a_member_is_who_the_token_says(services: Services) -> None:
    """A member has the subject, the name and the address that it came with."""
    connection = HeardConnection()
    request = upgrade("/rooms/notes", authorization=f"Bearer {signed(name='Ada')}")
    admission = await services.doorway.gate.join(request, connection)
    (info,) = services.rooms.members(NOTES)
    assert info.user == User("ada", "Ada")
    assert info.access == READ
    admission.membership.leave()
    assert len(services.stays) == 0


async def test_access_that_ends(services: Services) -> None:
    """A member is sent away with 4401 when its token ends."""
    connection = HeardConnection()
    token = signed(exp=int(time.time()) - 8)  # the leeway is 10 s
    request = upgrade("/rooms/notes", authorization=f"Bearer {token}")
    await services.doorway.gate.join(request, connection)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await connection.news.wait()
    assert connection.closed == (4401, "your access has ended")
    assert len(services.stays) == 0
    assert services.rooms.counters.closes[4401] == 1


async def test_a_link_that_ends(services: Services) -> None:
    """A member that came with a link, by its cookie, is sent away when the link ends."""
    share = services.access.share(NOTES, frozenset({"read"}), expires=time.time() + 2)
    visitor = services.access.from_token(share)
    assert visitor is not None
    cookie = services.access.cookie_for(visitor, time.time())
    connection = HeardConnection()
    request = upgrade("/rooms/notes", cookie=f"engineroom-{PORT}={cookie}")
    await services.doorway.gate.join(request, connection)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await connection.news.wait()
    assert connection.closed == (4401, "your access has ended")


# --- who may what ----------------------------------------------------------------------------


async def test_an_open_server_gives_no_admin(tmp_path: Path) -> None:
    """With `--no-auth` everybody may read, write and run; the admin right is the token's."""
    async with serving(tmp_path, no_auth=True) as services:
        visitor = await services.checks.visitor(upgrade("/"))
        assert visitor.rights(NOTES) == {"read", "write", "run"}
        assert not visitor.is_admin
        assert (await services.checks.visitor(upgrade(f"/?token={TOKEN}"))).is_admin


async def test_the_application_decides(tmp_path: Path) -> None:
    """With `authorize`, the application says who enters which room, before the upgrade, whatever is shown."""

    async def authorize(request: Request, address: Address) -> RoomAccess | Allowed:
        match address.room:
            case "refused":
                raise AccessDenied("log in first", 401)
            case "broken":
                raise RuntimeError("a bug")
            case "none":
                return RoomAccess(read=False, write=False, run=False)
            case "ada":
                return Allowed(READ, User("ada", "Ada"), time.time() + 0.2)
            case _:
                return READ

    async with serving(tmp_path, authorize=authorize) as services:
        for headers in ({}, BEARER, bearer("its-own-token")):
            expected = {"notes": None, "refused": 401, "broken": 500, "none": 403}
            for room, status in expected.items():
                assert (
                    await websocket_status(application(services), f"/rooms/{room}", headers)
                    == status
                )
        connection = HeardConnection()
        await services.doorway.gate.join(upgrade("/rooms/ada"), connection)
        assert services.rooms.members(Address.parse("ada"))[0].user == User("ada", "Ada")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await connection.news.wait()
        assert connection.closed == (4401, "your access has ended")


async def test_the_hook_decides_last(tmp_path: Path) -> None:
    """`on_connect` may give less or more than the credentials, or refuse with its own status."""

    class Own(Hooks):
        async def on_connect(
            self, request: Any, address: Address, access: RoomAccess
        ) -> RoomAccess:
            if address.room == "closed":
                raise AccessDenied("closed today", 410)
            return READ

    async with serving(tmp_path, hooks=Own()) as services:
        assert await websocket_status(application(services), "/rooms/closed", BEARER) == 410
        request = upgrade("/rooms/notes", authorization=f"Bearer {TOKEN}")
        await services.doorway.gate.join(request, HeardConnection())
        assert services.rooms.members(NOTES)[0].access == READ


async def test_sharing_with_an_application(tmp_path: Path) -> None:
    """Who may enter a room because the application says so can share it within those rights."""

    async def authorize(request: Request, address: Address) -> RoomAccess:
        return READ

    async with serving(tmp_path, authorize=authorize) as services, client_of(services) as client:
        body = {"address": "notes", "rights": ["read"]}
        assert (await client.post("/-/share", json=body)).status_code == 200
        more = body | {"rights": ["read", "write"]}
        assert (await client.post("/-/share", json=more)).status_code == 403


# --- links taken back ------------------------------------------------------------------------


async def test_a_link_is_taken_back(services: Services) -> None:
    """Who made a link takes it back: its guests are sent away and not let in again; the link stays void for ever."""
    async with client_of(services) as client:
        body: dict[str, Any] = {"address": "notes", "rights": ["read", "write"]}
        ada = bearer(signed(rooms={"notes": ["read", "write"]}))
        token = (await client.post("/-/share", json=body, headers=ada)).json()["token"]
        connection = HeardConnection()
        request = upgrade("/rooms/notes", authorization=f"Bearer {token}")
        await services.doorway.gate.join(request, connection)
        bob = bearer(signed(sub="bob", rooms={"notes": ["read", "write"]}))
        for other in (bob, bearer(token)):
            answer = await client.post("/-/share/revoke", json={"token": token}, headers=other)
            assert answer.status_code == 403
        assert connection.closed is None
        answer = await client.post("/-/share/revoke", json={"token": token}, headers=ada)
        assert (answer.status_code, answer.json()) == (200, {"members": 1})
        assert connection.closed == (4403, "your access was taken back")
        assert await websocket_status(application(services), "/rooms/notes", bearer(token)) == 401
        again = await client.post("/-/share/revoke", json={"token": token}, headers=ada)
        assert again.json() == {"members": 0}


async def test_revocations_survive_the_server(tmp_path: Path) -> None:
    """A link that was taken back is not good for the next server either."""
    async with serving(tmp_path) as services, client_of(services, headers=BEARER) as client:
        body = {"address": "notes", "rights": ["read"]}
        tokens = [(await client.post("/-/share", json=body)).json()["token"] for _ in range(3)]
        await client.post("/-/share/revoke", json={"token": tokens[0]})
    async with serving(tmp_path) as services, client_of(services, headers=BEARER) as client:
        assert services.access.from_token(tokens[0]) is None
        assert services.access.from_token(tokens[1]) is not None
        answer = await client.post("/-/share/revoke", json={"address": "notes"})
        assert answer.status_code == 200
        assert services.access.from_token(tokens[1]) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"token": "x", "address": "notes"}, 400),
        ({"token": "x"}, 404),
        ({"address": "../x"}, 400),
        ({"address": "notes", "more": 1}, 400),
    ],
)
async def test_bad_revocations(services: Services, body: object, status: int) -> None:
    """A revocation that names nothing, or what is not there, is refused."""
    async with client_of(services, headers=BEARER) as client:
        assert (await client.post("/-/share/revoke", json=body)).status_code == status


async def test_guests_end_no_links(services: Services) -> None:
    """Who was let in by a link cannot end the links of its room."""
    guest = bearer(services.access.share(NOTES, frozenset({"read", "write", "run"})))
    async with client_of(services, headers=guest) as client:
        answer = await client.post("/-/share/revoke", json={"address": "notes"})
        assert answer.status_code == 403


# --- other origins, and proxies --------------------------------------------------------------


async def test_pages_of_allowed_origins(services: Services) -> None:
    """A page of an allowed origin asks before (preflight), and reads what programs are served, and nothing else."""
    origin = {"Origin": "https://app.example"}
    asked = origin | {
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    async with client_of(services) as client:
        for path in ("/api/documents/notes", "/y-sweet/doc/new"):
            answer = await client.options(path, headers=asked)
            assert answer.status_code == 204
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
            assert "PATCH" in answer.headers["access-control-allow-methods"]
            assert answer.headers["vary"] == "origin"
            other = await client.options(path, headers=asked | {"Origin": "https://b.example"})
            assert other.status_code != 204
            assert "access-control-allow-origin" not in other.headers
        answer = await client.get("/y-sweet/ready", headers=origin | BEARER)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        for path in ("/", "/-/frame", "/-/share"):
            answer = await client.get(path, headers=origin | BEARER)
            assert "access-control-allow-origin" not in answer.headers
        refused = await client.get("/y-sweet/ready", headers=origin)
        assert refused.status_code == 401  # and the page may read why
        assert refused.headers["access-control-allow-origin"] == "https://app.example"


async def test_header_names_are_checked(services: Services) -> None:
    """What a preflight asks for is said back only where it is a list of header names."""
    async with client_of(services) as client:
        asked = {
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "x: y",
        }
        answer = await client.options("/api/documents/notes", headers=asked)
        assert "access-control-allow-headers" not in answer.headers


@pytest.mark.parametrize(
    ("peer", "secure"), [("127.0.0.1", True), ("10.1.2.3", True), ("203.0.113.5", False)]
)
async def test_cookies_behind_tls(tmp_path: Path, peer: str, secure: bool) -> None:
    """A cookie is for TLS alone where a trusted proxy says that the browser speaks it; others are not believed."""
    trusted = ("127.0.0.1", "10.0.0.0/8")
    async with (
        serving(tmp_path, trusted_proxies=trusted) as services,
        client_of(services, peer) as client,
    ):
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.1"}
        answer = await client.get(f"/?token={TOKEN}", headers=headers)
        assert ("Secure" in answer.headers["set-cookie"]) is secure


async def test_programs_get_no_cookie(services: Services) -> None:
    """A token in a program's URL stays there: it becomes no cookie, and no redirect."""
    async with client_of(services) as client:
        for path in ("/-/frame", "/y-sweet/ready"):
            answer = await client.get(f"{path}?token={TOKEN}")
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers


async def test_a_token_too_long_for_a_cookie(services: Services) -> None:
    """A token that no cookie holds is refused in a page's URL with what to do, and good in a header."""
    token = signed(rooms={f"some/folder/of/notes/{n}": ["read"] for n in range(150)})
    async with client_of(services) as client:
        answer = await client.get(f"/?token={token}")
        assert answer.status_code in (401, 413)


async def test_tokens_are_not_logged(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is asked with a token, good or bad, and however it ends, no log has any of it."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the client's own
    asking = Asking(services)
    tokens = [
        TOKEN,
        signed(),
        signed(exp=1),
        services.access.share(NOTES, frozenset({"read"})),
        "made-up",
    ]
    for method, path in walk(services):
        for token in tokens:
            await asking.status(method, f"{path}?token={token}", {})
            await asking.status(method, path, bearer(token))
    for token in tokens:
        secret = token.rpartition(".")[2]
        assert secret not in caplog.text
