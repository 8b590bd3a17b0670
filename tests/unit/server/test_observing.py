"""What is seen of a server: health, metrics, the admin page's routes, logs."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from engineroom.errors import StoreError
from engineroom.protocols.frames import Bundle
from engineroom.protocols.yjs import YjsDialect
from engineroom.rooms.address import Address
from engineroom.rooms.members import Access, User
from engineroom.rooms.open_room import RoomStatistics
from engineroom.server.app import application
from engineroom.server.health import PROBE_SECONDS, Health
from engineroom.server.http_log import HttpLog
from engineroom.server.lag import LoopLag
from engineroom.server.logs import JsonLines, TextLines, configure_logging
from engineroom.server.network import listen
from engineroom.server.services import Services, open_services
from engineroom.server.settings import Settings
from engineroom.server.webhooks.queue import Letter
from engineroom.server.webhooks.subscription import Webhook
from engineroom.testing.server_process import ServerProcess

pytestmark = pytest.mark.anyio

PORT = 8000
TOKEN = "the-token"
METRICS_TOKEN = "metrics-token-0001"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
HOOK = Webhook(url="https://hooks.example.org/secret-path", secret="s" * 16, rooms="hooked/*")


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """A server of documents alone, with a webhook."""
    settings = Settings(
        data=str(tmp_path / "data"),
        token=TOKEN,
        runtime="local",
        metrics_token=METRICS_TOKEN,
        webhooks=(HOOK,),
        http_body_bytes=2_048,
    )
    async with open_services(settings, port=PORT) as services:
        yield services


@pytest.fixture
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client without any credential."""
    transport = httpx.ASGITransport(application(services))
    base = f"http://127.0.0.1:{PORT}"
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        yield client


class Connection:
    """A member's transport that remembers how it was closed."""

    def __init__(self) -> None:
        self.closed: list[int] = []

    def send(self, bundle: Bundle) -> None:
        """Nobody listens."""

    def close(self, code: int, reason: str) -> None:
        """The room sends the member away."""
        self.closed.append(code)

    def hold(self) -> None:
        """Nothing is read here."""

    def release(self) -> None:
        """Nothing is read here."""


@asynccontextmanager
async def joined(services: Services, address: str) -> AsyncIterator[Connection]:
    connection = Connection()
    membership = await services.rooms.join(
        Address.parse(address),
        connection,
        user=User("eve", "Eve"),
        access=Access(run=True),
        dialect=YjsDialect(),
        source="192.0.2.1",
    )
    yield connection
    membership.leave()


async def put(client: httpx.AsyncClient, path: str) -> None:
    headers = ADMIN | {"content-type": "text/plain"}
    answer = await client.put(f"/api/documents/{path}?root=text", content="Hello", headers=headers)
    assert answer.status_code == 201, answer.text


# --- health ----------------------------------------------------------------------------------


async def test_a_server_that_is_well(client: httpx.AsyncClient) -> None:
    """Anybody may ask whether the server answers and is ready."""
    for path in ("/healthz", "/-/health"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert set(answer.json()["checks"].values()) == {"ok"}


async def test_a_room_that_cannot_be_stored(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing room makes the server not ready; only an admin is told which, and why."""
    room = RoomStatistics(
        address="secret/name",
        members=1,
        document_bytes=10,
        newest_number=2,
        durable_number=1,
        failing="the disk is full",
        unstored_bytes=7,
        unstored_seconds=3.0,
        waiting_updates=0,
        opened=0.0,
    )
    monkeypatch.setattr(services.rooms, "statistics", lambda: [room])
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert answer.json()["checks"]["store"] == "failing"
    assert "secret" not in answer.text
    assert "disk" not in answer.text
    told = (await client.get("/readyz", headers=ADMIN)).json()
    assert told["rooms"] == [
        {
            "address": "secret/name",
            "reason": "the disk is full",
            "unstored_bytes": 7,
            "unstored_seconds": 3.0,
        }
    ]


async def test_a_data_folder_that_cannot_be_written() -> None:
    """The data folder is tried once in a while, and the server is not ready while that fails."""
    now, calls, failing = [0.0], [0], [False]

    async def probe() -> None:
        calls[0] += 1
        if failing[0]:
            raise StoreError("no space left")

    class Rooms:
        def statistics(self) -> list[RoomStatistics]:
            """No room is open."""
            return []

    health = Health(Rooms(), probe, clock=lambda: now[0])
    assert (await health.readiness()).status == "ready"
    failing[0] = True
    assert (await health.readiness()).status == "ready"
    assert calls == [1]
    now[0] += PROBE_SECONDS
    found = await health.readiness()
    assert (found.status, found.checks["data"]) == ("not_ready", "failing")
    assert found.reasons == {"data": "no space left"}
    failing[0] = False
    now[0] += PROBE_SECONDS
    assert (await health.readiness()).status == "ready"


async def test_a_server_that_drains(client: httpx.AsyncClient, services: Services) -> None:
    """A server that is going down answers, and is not ready."""
    services.observing.health.draining = True
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 200


# --- metrics ---------------------------------------------------------------------------------


async def test_who_may_read_metrics(client: httpx.AsyncClient, services: Services) -> None:
    """Metrics are for admins and for the metrics token, which opens nothing else."""
    share = services.access
    assert share is not None
    with_token = {"authorization": f"Bearer {METRICS_TOKEN}"}
    assert (await client.get("/metrics")).status_code == 401
    assert (
        await client.get("/metrics", headers={"authorization": "Bearer wrong"})
    ).status_code == 401
    for headers in (ADMIN, with_token):
        assert (await client.get("/metrics", headers=headers)).status_code == 200
    for path in ("/api/documents", "/-/admin/state", "/-/admin"):
        assert (await client.get(path, headers=with_token)).status_code == 401, path


async def test_metrics_are_parsed(client: httpx.AsyncClient, services: Services) -> None:
    """Metrics follow Prometheus' conventions, in both of its forms, and count what happened."""
    await put(client, "notes/a")
    await client.get("/api/documents/none", headers=ADMIN)
    services.rooms.counters.closes[4429] += 2
    services.rooms.counters.limits["members"] += 3
    async with joined(services, "notes/a"):
        text = (await client.get("/metrics", headers=ADMIN)).text
        accept = {"accept": "application/openmetrics-text;version=1.0.0"}
        openmetrics = await client.get("/metrics", headers=ADMIN | accept)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert list(parse_openmetrics(openmetrics.text))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name, family in families.items():
        assert name.startswith(("engineroom_", "process_")), name
        assert family.documentation.endswith("."), name
        for sample in family.samples:
            assert family.type != "counter" or sample.name.endswith(("_total", "_created")), name
            assert "address" not in sample.labels

    def value(name: str, **labels: str) -> float:
        family = families[name]
        return next(s.value for s in family.samples if labels.items() <= s.labels.items())

    assert value("engineroom_members") == 1
    assert value("engineroom_rooms") >= 1
    assert value("engineroom_joins") == 1
    assert value("engineroom_store_appends") >= 1
    assert value("engineroom_closes", code="4429") == 2
    assert value("engineroom_limits_reached", limit="members") == 3
    assert value("engineroom_http_requests", method="PUT", status="201") == 1
    assert value("engineroom_http_requests", method="GET", status="404") == 1
    assert value("engineroom_webhooks_waiting") == 0
    assert value("engineroom_rooms_failing") == 0
    assert value("engineroom_event_loop_lag_seconds") >= 0
    assert value("process_resident_memory_bytes") > 1_000_000
    assert "notes/a" not in text


async def test_the_lag_of_the_loop() -> None:
    """What blocks the event loop shows as its lag."""
    async with LoopLag() as lag:
        assert lag.worst_seconds == 0.0
        loop = asyncio.get_running_loop()
        lag._ran(loop.time() - 3.0)
        assert lag.worst_seconds >= 3.0


async def test_the_bound_of_bodies(client: httpx.AsyncClient) -> None:
    """An update is taken up to `http_body_bytes`."""
    headers = ADMIN | {"content-type": "application/vnd.yjs.update"}
    for size, status in ((2_049, 413), (2_048, 400)):
        body = b"\xff" * size
        answer = await client.put("/api/documents/a", content=body, headers=headers)
        assert answer.status_code == status


# --- the admin page's routes -----------------------------------------------------------------


ACTIONS: dict[str, dict[str, Any]] = {
    "close-room": {"address": "notes/a"},
    "disconnect": {"address": "notes/a", "member": 1},
    "change-rights": {"address": "notes/a", "member": 1, "rights": ["read"]},
    "delete-document": {"address": "notes/a", "confirmation": "notes/a"},
    "revive-letter": {"number": 1},
    "discard-letter": {"number": 1},
}


async def test_the_server_as_admins_see_it(client: httpx.AsyncClient, services: Services) -> None:
    """The page's state has the rooms by the chosen order, and one room its members."""
    await put(client, "notes/a")
    await put(client, "notes/b")
    async with joined(services, "notes/b"):
        state = (
            await client.get("/-/admin/state?order=members&prefix=notes/", headers=ADMIN)
        ).json()
        assert [room["address"] for room in state["rooms"]] == ["notes/b", "notes/a"]
        assert (state["room_count"], state["member_count"], state["status"]) == (2, 1, "ready")
        assert state["counters"]["joins"] == 1
        assert state["webhooks"]["hooks"] == [
            {"host": "hooks.example.org", "rooms": "hooked/*", "events": ["change"]}
        ]
        assert "secret-path" not in json.dumps(state)
        room = (await client.get("/-/admin/rooms/notes/b", headers=ADMIN)).json()
    (member,) = room["members"]
    assert member["rights"] == ["read", "write", "run"]
    assert (member["user"], member["name"], member["source"]) == ("eve", "Eve", "192.0.2.1")
    closed = (await client.get("/-/admin/rooms/none", headers=ADMIN)).json()
    assert closed == {"room": None, "member_count": 0, "members": []}
    wrong = await client.get("/-/admin/state?order=size", headers=ADMIN)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_query")


async def test_admins_act(client: httpx.AsyncClient, services: Services) -> None:
    """A member's rights are changed, it is disconnected, its room closed, its document deleted."""
    await put(client, "notes/a")

    async def act(action: str, **body: Any) -> Any:
        answer = await client.post(f"/-/admin/{action}", json=body, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        return answer.json()["done"]

    async with joined(services, "notes/a") as connection:
        address = Address.parse("notes/a")
        (member,) = services.rooms.members(address)
        about = {"address": "notes/a", "member": member.id}
        assert await act("change-rights", **about, rights=["read"])
        assert services.rooms.members(address)[0].access.rights == ["read"]
        assert await act("disconnect", **about)
        assert connection.closed == [4403]
        assert not await act("disconnect", **about)
        assert await act("close-room", address="notes/a")
        assert not await act("close-room", address="notes/a")
    body = {"address": "notes/a", "confirmation": "notes"}
    answer = await client.post("/-/admin/delete-document", json=body, headers=ADMIN)
    assert answer.status_code == 400
    assert await act("delete-document", address="notes/a", confirmation="notes/a")
    assert (await client.get("/api/documents/notes/a", headers=ADMIN)).status_code == 404


async def test_admins_see_dead_letters(client: httpx.AsyncClient, services: Services) -> None:
    """What webhooks gave up is listed, tried again and discarded."""
    webhooks = services.observing.webhooks
    assert webhooks is not None
    queue = webhooks.queue
    await queue.put([Letter("gone", f"msg_{n}", "join", f"a/{n}", b"{}") for n in range(2)])
    for delivery in (await queue.take_due("gone", 2))[0]:
        await queue.give_up(delivery, error="answered 500")
    dead = (await client.get("/-/admin/state", headers=ADMIN)).json()["webhooks"]["dead"]
    assert [(each["document"], each["error"]) for each in dead] == [
        ("a/1", "answered 500"),
        ("a/0", "answered 500"),
    ]
    for action, letter in (("discard-letter", dead[0]), ("revive-letter", dead[1])):
        body = {"number": letter["number"]}
        for done in (True, False):
            answer = await client.post(f"/-/admin/{action}", json=body, headers=ADMIN)
            assert answer.json() == {"done": done}
    assert (queue.waiting, queue.dead) == (1, 0)


async def test_the_page_is_for_admins_alone(client: httpx.AsyncClient, services: Services) -> None:
    """Without the admin right nothing is shown and nothing done; nor by a form or a page of another site."""
    await put(client, "notes/a")
    answer = await client.post(
        "/-/share",
        json={"address": "notes/a", "rights": ["read", "write", "run"]},
        headers=ADMIN,
    )
    guest = {"authorization": f"Bearer {answer.json()['token']}"}
    cookie_client = client
    for headers, status in (({}, 401), (guest, 403)):
        for path in ("/-/admin", "/-/admin/state", "/-/admin/rooms/notes/a"):
            assert (await client.get(path, headers=headers)).status_code == status, path
        for action, body in ACTIONS.items():
            answer = await client.post(f"/-/admin/{action}", json=body, headers=headers)
            assert answer.status_code == status, action
    await cookie_client.get(f"/-/admin?token={TOKEN}")
    assert (await cookie_client.get("/-/admin")).status_code == 200
    for action, body in ACTIONS.items():
        foreign = await cookie_client.post(
            f"/-/admin/{action}", json=body, headers={"origin": "https://evil.example"}
        )
        assert foreign.status_code == 403, action
        form = await cookie_client.post(f"/-/admin/{action}", data=body)
        assert form.status_code == 415, action
    assert (await cookie_client.get("/api/documents/notes/a")).status_code == 200


# --- logs ------------------------------------------------------------------------------------


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What is logged below `engineroom`."""
    kept: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.rendered = JsonLines().format(record)
            record.line = TextLines().format(record)
            kept.append(record)

    logger, handler = logging.getLogger("engineroom"), Keeper()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield kept
    logger.removeHandler(handler)
    logger.setLevel(level)


async def test_requests_have_ids(
    client: httpx.AsyncClient, records: list[logging.LogRecord]
) -> None:
    """A request's id is in its answer and in every line that is logged for it; its token is in none."""
    answer = await client.get(
        f"/api/documents/a?token={TOKEN}", headers={"x-request-id": "from-the-proxy.1"}
    )
    assert answer.headers["x-request-id"] == "from-the-proxy.1"
    lines = [json.loads(record.rendered) for record in records]
    (line,) = [line for line in lines if line["logger"] == "engineroom.http"]
    assert line["request"] == "from-the-proxy.1"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/documents/a", 404)
    assert all(TOKEN not in record.rendered for record in records)
    for strange in ("x" * 65, "a b", "\r\n", ""):
        made = await client.get("/healthz", headers={"x-request-id": strange.strip() or "?"})
        assert made.headers["x-request-id"] != strange


async def test_what_outlives_a_request_is_not_its_own(records: list[logging.LogRecord]) -> None:
    """A task that a request starts has the request's id only until the request is answered."""
    go, logger = asyncio.Event(), logging.getLogger("engineroom.test")
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        logger.info("during")
        await go.wait()
        logger.info("after", extra={"room": "a", "member": 3})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.create_task(later()))
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    answers: Counter[tuple[str, int]] = Counter()
    transport = httpx.ASGITransport(HttpLog(app, answers))
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        await client.request("BREW", "/", headers={"x-request-id": "r1"})
    go.set()
    await tasks[0]
    during, after = (r for r in records if r.name == "engineroom.test")
    assert json.loads(during.rendered)["request"] == "r1"
    assert during.line.endswith("during [r1]")
    assert "request" not in json.loads(after.rendered)
    assert json.loads(after.rendered)["room"] == "a"
    assert json.loads(after.rendered)["member"] == 3
    assert answers == {("other", 200): 1}


def test_lines_of_json() -> None:
    """A line is one JSON object, whatever is logged; an error's traceback is in it."""
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        record = logging.LogRecord(
            "engineroom.x", logging.ERROR, "", 1, "what %s", ("\n",), (type(error), error, None)
        )
    line = JsonLines().format(record)
    assert "\n" not in line
    fields = json.loads(line)
    assert (fields["level"], fields["message"], fields["logger"]) == (
        "error",
        "what \n",
        "engineroom.x",
    )
    assert "ValueError" in fields["error"]


def test_configuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format and the level are as the settings say; libraries say only what is wrong."""
    made: dict[str, Any] = {}
    monkeypatch.setattr(logging, "basicConfig", lambda **stated: made.update(stated))
    configure_logging("debug", "json")
    assert made["level"] == "DEBUG"
    assert isinstance(made["handlers"][0].formatter, JsonLines)
    configure_logging("info")
    assert isinstance(made["handlers"][0].formatter, TextLines)
    assert logging.getLogger("httpx").level == logging.WARNING


def test_a_server_that_logs_json(tmp_path: Path) -> None:
    """With `log_format = "json"` every line on stderr is an object."""
    config, log = tmp_path / "engineroom.toml", tmp_path / "server.log"
    config.write_text('log_format = "json"\n')
    with ServerProcess(None, "--config", str(config), data=tmp_path / "data", log=log):
        pass
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines
    assert {"time", "level", "logger", "message"} <= lines[0].keys()


def test_answers_wait_for_nobody() -> None:
    """An answer of two writes is not held back until its first part is acknowledged."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
