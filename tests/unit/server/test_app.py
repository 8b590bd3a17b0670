"""The application's routes, and the guard before them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.routing import Route, WebSocketRoute

from engineroom.rooms.address import Address
from engineroom.server.app import application, router
from engineroom.server.headers import FRAME_POLICY, PAGE_POLICY
from engineroom.server.rights import MEMBER_RIGHTS
from engineroom.server.services import Services, open_services
from engineroom.server.settings import Settings
from engineroom.stores.outputs import OutputFiles

pytestmark = pytest.mark.anyio

PORT = 8000
BASE = f"http://127.0.0.1:{PORT}"
TOKEN = "the-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE_SECONDS = 20.0
PUBLIC = {"/-/health", "/healthz", "/readyz"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small site: pages at the root and in a folder, files beside them."""
    folder = tmp_path / "site"
    (folder / "guide").mkdir(parents=True)
    (folder / "index.md").write_text("# Start\n")
    (folder / "write.md").write_text('# Write\n\n<x-editor name="notes"></x-editor>\n')
    (folder / "hall.md").write_text("---\nroom: shared\n---\n# Hall\n")
    (folder / "guide/index.md").write_text("# Guide\n")
    (folder / "pump.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "data.csv").write_text("a,b\n1,2\n")
    (folder / ".secret").write_text("hidden")
    return folder


@pytest.fixture
async def services(site: Path, tmp_path: Path) -> AsyncIterator[Services]:
    """The site's services."""
    settings = Settings(site=str(site), data=str(tmp_path / "data"), token=TOKEN, runtime="local")
    async with open_services(settings, port=PORT) as services:
        yield services


@pytest.fixture
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client without any credential."""
    async with client_of(services) as client:
        yield client


@asynccontextmanager
async def client_of(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(services))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield client


async def websocket_status(services: Services, path: str, headers: dict[str, str]) -> int | None:
    """The status with which a handshake is refused; None when it is accepted."""
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
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
        await application(services)(scope, receive, send)
    return sent[0].get("status")


def walk(services: Services) -> list[tuple[str, str]]:
    """Every route of the application: its methods and a URL that it answers to."""
    found: list[tuple[str, str]] = []
    for route in router(services).routes:
        assert isinstance(route, Route | WebSocketRoute), f"how is {route} walked?"
        path = re.sub(r"\{\w+:int\}", "0", route.path)
        path = re.sub(r"\{\w+:path\}", "rooms/1", path)
        path = re.sub(r"\{\w+\}", "x", path)
        methods = sorted(route.methods or ()) if isinstance(route, Route) else ["WEBSOCKET"]
        found += [(method, path) for method in methods]
    return found


async def status_of(
    services: Services, method: str, path: str, headers: dict[str, str]
) -> int | None:
    if method == "WEBSOCKET":
        return await websocket_status(services, path, {"Host": f"127.0.0.1:{PORT}"} | headers)
    async with client_of(services) as client:
        return (await client.request(method, path, headers=headers)).status_code


# --- every route -----------------------------------------------------------------------------


async def test_every_route_asks_who_it_is(services: Services) -> None:
    """Without a token every route and upgrade is answered 401; only health answers, and says
    nothing.
    """
    routes = walk(services)
    assert {"GET", "HEAD", "POST", "WEBSOCKET"} <= {method for method, _ in routes}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "engineroom-8000=x.y.z"}):
        for method, path in routes:
            expected = 200 if path in PUBLIC else 401
            assert await status_of(services, method, path, headers) == expected, (method, path)
    assert services.rooms.statistics() == []


async def test_every_route_refuses_foreign_hosts(services: Services) -> None:
    """A foreign `Host` is 421 on every route and upgrade, with the token too."""
    for method, path in walk(services):
        for credential in ({}, BEARER):
            headers = {"Host": "evil.example:8000"} | credential
            assert await status_of(services, method, path, headers) == 421, (method, path)


async def test_foreign_origins_without_auth(site: Path, tmp_path: Path) -> None:
    """Open to all, a server still refuses foreign hosts, and foreign pages' posts and WebSockets."""
    settings = Settings(site=str(site), data=str(tmp_path / "data"), no_auth=True, runtime="local")
    async with open_services(settings, port=PORT) as services:
        assert services.token is None
        foreign = {"Origin": "http://127.0.0.1:3000"}
        for method, path in walk(services):
            host = {"Host": "evil.example"}
            assert await status_of(services, method, path, host) == 421, (method, path)
            if method in ("POST", "WEBSOCKET"):
                for query in ("", "?token=made-up"):
                    status = await status_of(services, method, path + query, foreign)
                    assert status == 403, (method, path, query)
                made_up = foreign | {"Authorization": "Bearer made-up"}
                assert await status_of(services, method, path, made_up) == 403, (method, path)
        own = {"Origin": BASE}
        assert (
            await websocket_status(services, "/rooms/a", {"Host": f"127.0.0.1:{PORT}"} | own)
            is None
        )


async def test_every_answer_has_the_security_headers(services: Services) -> None:
    """Whatever a route answers, the browser is told what it may do with it."""
    async with client_of(services) as client:
        for method, path in walk(services):
            if method == "WEBSOCKET":
                continue
            for headers in ({}, BEARER, {"Host": "evil.example"}):
                answer = await client.request(method, path, headers=headers)
                assert answer.headers["x-content-type-options"] == "nosniff", (method, path)
                assert answer.headers["referrer-policy"] == "same-origin"
                assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
                assert "server" not in answer.headers


async def test_health_says_nothing_private(client: httpx.AsyncClient) -> None:
    """Health is one word."""
    answer = await client.get("/-/health")
    assert answer.json() == {"status": "ok"}
    assert "set-cookie" not in answer.headers


# --- token and cookie ------------------------------------------------------------------------


async def test_token_becomes_a_cookie(client: httpx.AsyncClient) -> None:
    """A page's URL with the token answers 303 to the URL without it, and a cookie that lets the
    visitor in.
    """
    answer = await client.get(f"/write?room=a%20b&token={TOKEN}&x=%2F")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/write?room=a+b&x=%2F"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("engineroom-8000=")
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    assert (await client.get("/write?room=abc")).status_code == 200


async def test_a_redirect_stays_here(client: httpx.AsyncClient) -> None:
    """A path that looks like another host's URL does not become one when the token is taken out."""
    for path in ("//evil.example/a", "/\\evil.example/a"):
        url = httpx.URL(BASE).copy_with(raw_path=f"{path}?token={TOKEN}".encode())
        answer = await client.get(url)
        assert answer.headers["location"] == "/evil.example/a"


async def test_a_wrong_token(client: httpx.AsyncClient) -> None:
    """A wrong token in the URL is 401, but one beside a good cookie is only taken out."""
    assert (await client.get("/write?token=wrong")).status_code == 401
    await client.get(f"/?token={TOKEN}")
    assert (await client.get("/write?room=a&token=wrong")).headers["location"] == "/write?room=a"


async def test_denials_for_browsers_and_programs(client: httpx.AsyncClient) -> None:
    """A browser is shown a page, a program a line; neither learns the site's title."""
    browser = await client.get("/write", headers={"Accept": "text/html,*/*"})
    assert browser.headers["content-type"] == "text/html; charset=utf-8"
    assert "Start" not in browser.text
    program = await client.get("/write")
    assert program.text.count("\n") == 1
    assert program.headers["www-authenticate"] == "Bearer"


# --- pages and files -------------------------------------------------------------------------


async def test_a_new_room_for_each_visit(client: httpx.AsyncClient, services: Services) -> None:
    """A page without a room redirects to a new one each time, and starts nothing."""
    answers = [await client.get("/write?x=1", headers=BEARER) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {303}
    first, second = (parse_qs(urlsplit(a.headers["location"]).query) for a in answers)
    assert first["x"] == ["1"]
    assert first["room"] != second["room"]
    assert Address.parse(f"write@{first['room'][0]}")
    page = await client.get(answers[0].headers["location"], headers=BEARER)
    assert f"write@{first['room'][0]}" in page.text
    assert page.headers["content-security-policy"] == PAGE_POLICY
    assert services.rooms.statistics() == []


async def test_a_shared_page(client: httpx.AsyncClient, services: Services) -> None:
    """A page that states `room: shared` has one room, and no other can be joined."""
    page = await client.get("/hall", headers=BEARER)
    assert page.status_code == 200
    assert "hall@shared" in page.text
    headers = {"Host": f"127.0.0.1:{PORT}"} | BEARER
    assert await websocket_status(services, "/rooms/hall@shared", headers) is None
    assert await websocket_status(services, "/rooms/hall@other", headers) == 404
    assert await websocket_status(services, "/rooms/nowhere@a", headers) == 404


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/guide/", 303, "/guide/?room="),
        ("/guide", 303, "/guide/"),
        ("/write/", 303, "/write"),
        ("/index?room=a", 303, "/?room=a"),
        ("/nowhere", 404, None),
        ("/write?room=..", 404, None),
        ("/write?room=a%40b", 404, None),
        ("/write?room=", 404, None),
        ("/rooms/write@abc", 426, None),
        ("/-/nowhere", 404, None),
        ("/.secret", 404, None),
        ("/write.md", 404, None),
        ("/../data/token", 404, None),
        ("/%2e%2e/data/token", 404, None),
    ],
)
async def test_paths(
    client: httpx.AsyncClient, path: str, status: int, location: str | None
) -> None:
    """A path names a page, nearly names one, or is refused."""
    answer = await client.get(path, headers=BEARER)
    assert answer.status_code == status
    if location is not None:
        assert answer.headers["location"].startswith(location)


async def test_files_beside_the_pages(client: httpx.AsyncClient) -> None:
    """A file has its type, is confirmed by its ETag, and can be read in parts."""
    picture = await client.get("/pump.svg", headers=BEARER)
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.headers["cache-control"] == "no-cache"
    again = await client.get(
        "/pump.svg", headers=BEARER | {"If-None-Match": 'W/"x", ' + picture.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    part = await client.get("/data.csv", headers=BEARER | {"Range": "bytes=4-6"})
    assert (part.status_code, part.content) == (206, b"1,2")


async def test_query_with_too_many_fields(client: httpx.AsyncClient) -> None:
    """A query of a thousand fields is no token, and no failure of the server's."""
    answer = await client.get("/?" + "a=1&" * 1_000 + "token=x")
    assert answer.status_code == 401


async def test_a_share_token_opens_one_page(client: httpx.AsyncClient, services: Services) -> None:
    """Who was let into one room sees its page without the others, pictures, the bundle, and nothing
    else.
    """
    token = services.access.share(Address.parse("write@abc"), frozenset({"read", "write"}))
    answer = await client.get(f"/write?room=abc&token={token}")
    assert answer.headers["location"] == "/write?room=abc"
    page = await client.get("/write?room=abc")
    assert page.status_code == 200
    assert "Guide" not in page.text
    assert "Hall" not in page.text
    assert (await client.get("/write")).headers["location"] == "/write?room=abc"
    for path in ("/pump.svg", "/-/static/highlight.css", "/-/frame"):
        assert (await client.get(path)).status_code == 200, path
    for path in (
        "/",
        "/write?room=other",
        "/hall",
        "/guide/",
        "/data.csv",
        "/nowhere",
        "/nope.svg",
    ):
        assert (await client.get(path)).status_code == 403, path
    cookie = {"Cookie": f"engineroom-8000={client.cookies['engineroom-8000']}"}
    host = {"Host": f"127.0.0.1:{PORT}"}
    assert await websocket_status(services, "/rooms/write@abc", host | cookie) is None
    for path in ("/rooms/write@other", "/rooms/hall@shared", "/rooms/write", "/rooms/notes"):
        assert await websocket_status(services, path, host | cookie) == 403, path


async def test_a_page_that_changes_on_disk(
    client: httpx.AsyncClient, services: Services, site: Path
) -> None:
    """A page that changes on disk is served anew, and a new one is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        text = ""
        version = 0
        while "Changed" not in text:
            # Written again until the folder is watched: that has no sign from outside.
            version += 1
            (site / "write.md").write_text(f"# Changed\n\n{version}\n")
            await asyncio.sleep(0.05)
            text = (await client.get("/write?room=abc", headers=BEARER)).text


# --- the bundle and the frame ----------------------------------------------------------------


async def test_static_files(tmp_path: Path, services: Services) -> None:
    """Hashed names are kept by browsers for ever, others confirmed; nothing outside is reached."""
    bundle = tmp_path / "static/bundle"
    bundle.mkdir(parents=True)
    (tmp_path / "outside.js").write_text("no")
    (tmp_path / "static/.hidden").write_text("no")
    for name in ("engineroom.js", "engineroom.css", "python-D4x_-aB3.js", "inter-AbCd1234.woff2"):
        (bundle / name).write_text("x")
    transport = httpx.ASGITransport(application(services, tmp_path / "static"))
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=BEARER) as client:
        entry = await client.get("/-/static/engineroom.js")
        assert entry.headers["content-type"] == "text/javascript; charset=utf-8"
        assert entry.headers["cache-control"] == "no-cache"
        tag = {"If-None-Match": entry.headers["etag"]}
        assert (await client.get("/-/static/engineroom.js", headers=tag)).status_code == 304
        for name in ("python-D4x_-aB3.js", "inter-AbCd1234.woff2"):
            hashed = await client.get(f"/-/static/{name}")
            assert "immutable" in hashed.headers["cache-control"]
        for path in ("../outside.js", "%2e%2e/outside.js", ".hidden", "", "nope.js", "bundle"):
            url = httpx.URL(BASE).copy_with(raw_path=b"/-/static/" + path.encode())
            assert (await client.get(url)).status_code == 404, path


async def test_the_frame_has_its_own_policy(client: httpx.AsyncClient) -> None:
    """Outputs are shown in a document with an origin of its own and no way out."""
    answer = await client.get("/-/frame", headers=BEARER)
    assert answer.headers["content-security-policy"] == FRAME_POLICY
    assert FRAME_POLICY.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in FRAME_POLICY


async def test_whole_outputs(services: Services, tmp_path: Path) -> None:
    """A whole output is for those who may read its room, as text whatever it holds."""
    async with OutputFiles(tmp_path / "data/outputs") as outputs:
        outputs.keep("write@a b", "e1", 0, "<script>the whole</script>")
    token = services.access.share(Address.parse("write@a b"), frozenset({"read"}))
    url = "/-/outputs/e1/0/write@a%20b"
    async with client_of(services) as client:
        answer = await client.get(url, headers=BEARER)
        assert answer.text == "<script>the whole</script>"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        shared = {"Authorization": f"Bearer {token}"}
        assert (await client.get(url, headers=shared)).status_code == 200
        assert (await client.get("/-/outputs/e1/0/other", headers=shared)).status_code == 403
        for path in ("e2/0/write@a%20b", "e1/1/write@a%20b", "..%2f/0/write@a%20b"):
            answer = await client.get(f"/-/outputs/{path}", headers=BEARER)
            assert answer.status_code == 404, path


# --- sharing ---------------------------------------------------------------------------------


async def share(client: httpx.AsyncClient, body: object, **headers: str) -> httpx.Response:
    return await client.post("/-/share", json=body, headers=BEARER | headers)


async def test_share_gives_a_link(client: httpx.AsyncClient, services: Services) -> None:
    """A shared link's token holds the chosen rights in that room alone."""
    body = {"address": "guide/index@a b", "rights": ["read", "run"]}
    answer = (await share(client, body)).json()
    assert answer["url"] == f"/guide/?room=a+b&token={answer['token']}"
    visitor = services.access.from_token(answer["token"])
    assert visitor is not None
    assert visitor.rights(Address.parse("guide/index@a b")) == {"read", "run"}
    assert visitor.rights(Address.parse("guide/index@c")) == frozenset()


async def test_share_of_shared_pages_and_documents(client: httpx.AsyncClient) -> None:
    """A shared page's link names no room; a document alone has no page, only a token."""
    hall = (await share(client, {"address": "hall@shared", "rights": ["read"]})).json()
    assert hall["url"] == f"/hall?token={hall['token']}"
    notes = (await share(client, {"address": "notes/today", "rights": ["read"]})).json()
    assert notes["url"] is None


async def test_nobody_gives_what_they_lack(client: httpx.AsyncClient, services: Services) -> None:
    """A visitor of one room can share it with its own rights, and no others."""
    token = services.access.share(Address.parse("write@abc"), frozenset({"read", "write"}))
    headers = {"Authorization": f"Bearer {token}"}
    body: dict[str, object] = {"address": "write@abc", "rights": ["read", "write"]}
    assert (await client.post("/-/share", json=body, headers=headers)).status_code == 200
    for wrong in ({"rights": sorted(MEMBER_RIGHTS)}, {"address": "write@other"}):
        answer = await client.post("/-/share", json=body | wrong, headers=headers)
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"address": "a", "rights": []},
        {"address": "a", "rights": ["write"]},
        {"address": "a", "rights": ["read", "root"]},
        {"address": "a", "rights": ["read", "admin"]},
        {"address": "../a", "rights": ["read"]},
        {"address": "a", "rights": ["read"], "seconds": 0},
        {"address": "a", "rights": ["read"], "more": 1},
    ],
)
async def test_bad_shares(client: httpx.AsyncClient, body: object) -> None:
    """A request for a share that is not valid is 400."""
    assert (await share(client, body)).status_code == 400


async def test_share_is_for_our_pages(client: httpx.AsyncClient) -> None:
    """Another site's page cannot share with the visitor's cookie, nor as a form, nor at length."""
    await client.get(f"/?token={TOKEN}")
    body = {"address": "a", "rights": ["read"]}
    own = await client.post("/-/share", json=body, headers={"Origin": BASE})
    assert own.status_code == 200
    foreign = await client.post("/-/share", json=body, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    form = await client.post("/-/share", content=b"{}", headers={"Content-Type": "text/plain"})
    assert form.status_code == 415
    assert (await share(client, {"address": "a" * 30_000, "rights": ["read"]})).status_code == 413


# --- without a site --------------------------------------------------------------------------


async def test_documents_alone(tmp_path: Path) -> None:
    """Without a site every path is a document, and the start page says so."""
    settings = Settings(data=str(tmp_path / "data"), token=TOKEN, runtime="local")
    async with open_services(settings, port=PORT) as services, client_of(services) as client:
        start = await client.get("/", headers=BEARER)
        assert start.status_code == 200
        assert "y-websocket" in start.text
        assert (await client.get("/notes", headers=BEARER)).status_code == 404
        headers = {"Host": f"127.0.0.1:{PORT}"} | BEARER
        for path in ("/notes", "/notes/today", "/rooms/notes", "/a@b"):
            assert await websocket_status(services, path, headers) is None, path
        assert await websocket_status(services, "/", headers) == 404
        assert await websocket_status(services, "/-/health", headers) == 404


@pytest.mark.parametrize(
    ("room", "url", "said"),
    [
        ("write@abc", "/write?room=abc", "opens a new one"),
        ("hall@shared", "/hall", "until its document is created anew"),
    ],
)
async def test_the_page_of_a_deleted_room(
    client: httpx.AsyncClient, room: str, url: str, said: str
) -> None:
    """A room whose document was deleted says so in place of its page, until the document is created anew."""
    document = f"/api/documents/{room}"
    assert (await client.get(url, headers=BEARER)).status_code == 200
    assert (await client.put(document, headers=BEARER)).status_code == 201
    assert (await client.delete(document, headers=BEARER)).status_code == 204
    answer = await client.get(url, headers=BEARER)
    assert (answer.status_code, said in answer.text) == (404, True)
    assert (await client.get("/write?room=other", headers=BEARER)).status_code == 200
    assert (await client.put(document, headers=BEARER)).status_code == 201
    assert (await client.get(url, headers=BEARER)).status_code == 200
