"""A crowd whose cursors move: every member says where it is so many times a second, and hears of all the others.

A few of them look into what they hear; the others count bytes, so that the load is no slower than the server.
`echo` has every member send back the states it hears that are new to it, as y-websocket's own clients do.
"""

from __future__ import annotations

import asyncio
import itertools
import time

from report import Figures, percentile

from .members import BOUND_SECONDS, Member, Take, go, join, pause_until
from .wire import AWARENESS_KIND, Envelope, awareness_frame, awareness_states, buf, var_uint

FIRST_CLIENT = 1_000
LOOKING = 10


def state(client: int, clock: int) -> bytes:
    """What an editor says of its user, some 120 bytes."""
    at = (client * 7919 + clock) % 100_000
    return (
        f'{{"user":{{"name":"Member {client}","color":"#30bced","colorLight":"#30bced33"}},'
        f'"cursor":{{"anchor":{at},"head":{at + 3}}}}}'
    ).encode()


class Crowd:
    """What has been said, and when it was heard by those who look."""

    def __init__(self, members: int) -> None:
        self.sent_at: list[list[float]] = [[] for _ in range(members)]
        self.latencies: list[float] = []
        self.bytes = 0
        self.newest: list[list[int]] = [[-1] * members for _ in range(LOOKING)]

    def listener(self, number: int) -> Take:
        return self._looking(number) if number < LOOKING else self._counting

    def _counting(self, frame: bytes) -> None:
        self.bytes += len(frame)

    def _looking(self, number: int) -> Take:
        newest = self.newest[number]

        def take(frame: bytes) -> None:
            if frame[:1] != AWARENESS_KIND:
                return
            now = time.perf_counter()
            self.bytes += len(frame)
            for client, clock, _ in awareness_states(frame):
                member = client - FIRST_CLIENT
                if clock > newest[member]:
                    newest[member] = clock
                    if member != number and clock < len(self.sent_at[member]):
                        self.latencies.append(now - self.sent_at[member][clock])

        return take

    def undelivered(self) -> int:
        """Members whose last state somebody who looks has not heard."""
        return sum(
            last < len(sent) - 1
            for number, newest in enumerate(self.newest)
            for member, (last, sent) in enumerate(zip(newest, self.sent_at, strict=True))
            if member != number
        )


class Echo:
    """One y-websocket client: it sends back each state that it has not heard before."""

    def __init__(self, own: int, heard: Take) -> None:
        self.member: Member | None = None
        self._own = own
        self._heard = heard
        self._clocks: dict[int, int] = {}

    def take(self, frame: bytes) -> None:
        self._heard(frame)
        if frame[:1] != AWARENESS_KIND:
            return
        news = []
        for client, clock, text in awareness_states(frame):
            if client != self._own and clock > self._clocks.get(client, -1):
                self._clocks[client] = clock
                news.append(var_uint(client) + var_uint(clock) + buf(text))
        if news and self.member is not None:
            self.member.send(AWARENESS_KIND + buf(var_uint(len(news)) + b"".join(news)))


async def awareness(
    url: str, envelope: Envelope, members: int, rate: float, seconds: float, *, echo: bool
) -> Figures:
    """Everyone moves `rate` times a second, each at its own moment."""
    crowd = Crowd(members)
    present: list[Member] = []
    for number in range(members):
        take = crowd.listener(number)
        if echo:
            client = Echo(FIRST_CLIENT + number, take)
            client.member = await join(url, client.take, envelope=envelope)
            present.append(client.member)
        else:
            present.append(await join(url, take, envelope=envelope))
    for number, member in enumerate(present):
        say(crowd, member, number)
    await asyncio.sleep(1)
    await go()
    heard, crowd.latencies, crowd.bytes = crowd.latencies, [], 0
    started = time.perf_counter()
    turns = itertools.cycle(range(members))
    for turn in range(int(members * rate * seconds)):
        await pause_until(started + turn / (members * rate))
        number = next(turns)
        say(crowd, present[number], number)
    sending = time.perf_counter() - started
    await all_heard(crowd)
    assert not any(member.ended for member in present), "a member was disconnected"
    return {
        "heard_before": len(heard),
        "heard": len(crowd.latencies),
        "states": members * rate * seconds * min(LOOKING, members),
        "undelivered": crowd.undelivered(),
        "sending_seconds": sending,
        "megabytes": crowd.bytes / 1e6,
        "seconds": time.perf_counter() - started,
        "p50_ms": percentile(crowd.latencies, 0.5) * 1e3,
        "p95_ms": percentile(crowd.latencies, 0.95) * 1e3,
    }


def say(crowd: Crowd, member: Member, number: int) -> None:
    """Where this member is now."""
    clock = len(crowd.sent_at[number])
    client = FIRST_CLIENT + number
    crowd.sent_at[number].append(time.perf_counter())
    member.send(awareness_frame(client, clock, state(client, clock)))


async def all_heard(crowd: Crowd) -> None:
    """Returns when nothing is undelivered; after the bound all the same: it is a figure."""
    end = time.perf_counter() + min(10, BOUND_SECONDS)
    while crowd.undelivered() and time.perf_counter() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
