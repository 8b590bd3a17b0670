"""Values: what a room's widgets and programs exchange. The last value of an address is kept.

The table here is the truth while the room is open; the document's root Map `values` is its shadow on disk, written by
the room alone, at most once in `settle_seconds`, so that a slider's journey does not become history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from pycrdt import Doc, Map

from engineroom.errors import EngineroomError, LimitExceeded
from engineroom.protocols.contents import check_plain_json
from engineroom.protocols.messages import Value, ValueChanged, ValueKind

from .address import check_value_address
from .limits import RoomLimits
from .plan import ValuePlan

ROOT = "values"


@dataclass(frozen=True, slots=True)
class Kept:
    """A value and the revision at which it was set."""

    value: Value
    revision: int


class Values:
    """Values by address, within the room's limits."""

    def __init__(self, limits: RoomLimits) -> None:
        self.revision = 0
        self._limits = limits
        self._bytes = 0
        self._kept: dict[str, Kept] = {}
        self._unsettled: dict[str, None] = {}
        self._watches: dict[int, dict[str, None]] = {}

    def get(self, address: str) -> Value | None:
        """The value at `address`, None when there is none.

        Raises:
            AddressError: `address` may not name a value.
        """
        kept = self._kept.get(check_value_address(address))
        return kept.value if kept else None

    def set(self, address: str, value: Value) -> ValueChanged:
        """Keep `value`; returns what is to be told.

        Raises:
            AddressError: `address` may not name a value.
            LimitExceeded: the value is too large, or there are too many.
            ProtocolError: it is JSON that a document cannot hold.
        """
        check_value_address(address)
        self._check_size(address, value)
        if value.kind is ValueKind.JSON:
            check_plain_json(value.data)
        self._keep(address, value)
        self._unsettled[address] = None
        return ValueChanged(address, self.revision, value)

    def _check_size(self, address: str, value: Value) -> None:
        limits, before = self._limits, self._kept.get(address)
        if len(value.data) > limits.value_bytes:
            raise LimitExceeded("value_bytes", limits.value_bytes)
        if before is None and len(self._kept) >= limits.room_values:
            raise LimitExceeded("room_values", limits.room_values)
        grown = len(value.data) - (len(before.value.data) if before else 0)
        if grown > 0 and self._bytes + grown > limits.values_bytes:
            raise LimitExceeded("values_bytes", limits.values_bytes)

    def _keep(self, address: str, value: Value) -> None:
        before = self._kept.get(address)
        self._bytes += len(value.data) - (len(before.value.data) if before else 0)
        self.revision += 1
        self._kept[address] = Kept(value, self.revision)

    def since(self, revision: int) -> Iterator[ValueChanged]:
        """All values that were set after `revision`, oldest first."""
        news = [(k.revision, a, k.value) for a, k in self._kept.items() if k.revision > revision]
        for number, address, value in sorted(news, key=lambda item: item[0]):
            yield ValueChanged(address, number, value)

    # --- programs that watch -----------------------------------------------------------------

    def watch(self, connection: int, pattern: str) -> list[tuple[str, Value | None]]:
        """Tell `connection` of `pattern` from now on; returns what it covers now.

        `pattern` is an address, or ends with `/*`: all below it.

        Raises:
            AddressError: it is neither.
            LimitExceeded: the connection watches too much.
        """
        below = pattern.removesuffix("*") if pattern.endswith("/*") else None
        if below is None:
            check_value_address(pattern)
        elif below != "/":
            check_value_address(below.rstrip("/"))
        watches = self._watches.setdefault(connection, {})
        if pattern not in watches and len(watches) >= self._limits.room_values:
            raise LimitExceeded("room_values", self._limits.room_values)
        watches[pattern] = None
        if below is None:
            return [(pattern, self.get(pattern))]
        return [(a, k.value) for a, k in self._kept.items() if a.startswith(below)]

    def unwatch(self, connection: int, pattern: str) -> None:
        """Undo `watch`; nothing happens when there was none."""
        self._watches.get(connection, {}).pop(pattern, None)

    def forget_connection(self, connection: int) -> None:
        """The program's connection has ended."""
        self._watches.pop(connection, None)

    def watchers(self, address: str) -> list[int]:
        """The connections that are told of `address`."""
        parts = address.split("/")
        patterns = {address} | {"/".join(parts[:n]) + "/*" for n in range(1, len(parts))}
        return [c for c, watches in self._watches.items() if not patterns.isdisjoint(watches)]

    def seed(self, plans: Iterable[ValuePlan]) -> list[ValueChanged]:
        """Give what has no value yet the page's; returns what is to be told. A seed alone is not worth storing."""
        told = []
        for plan in plans:
            if plan.address not in self._kept:
                told.append(self.set(plan.address, Value(ValueKind.JSON, plan.json.encode())))
                self._unsettled.pop(plan.address, None)
        return told

    # --- the shadow in the document ----------------------------------------------------------

    @property
    def unsettled(self) -> bool:
        """Whether the document's shadow is behind."""
        return bool(self._unsettled)

    def settle(self, doc: Doc[Any]) -> None:
        """Write what has changed into the document; to be called inside a transaction."""
        shadow = doc.get(ROOT, type=Map)
        unsettled, self._unsettled = self._unsettled, {}
        for address in unsettled:
            value = self._kept[address].value
            plain: Any = (
                value.data if value.kind is ValueKind.BYTES else msgspec.json.decode(value.data)
            )
            shadow[address] = plain

    def load(self, doc: Doc[Any]) -> None:
        """Take over what an earlier opening of the room left in the document.

        Members can have written anything there: what could not have been set is passed over.
        """
        shadow = doc.get(ROOT, type=Map)
        for address in list(shadow.keys())[: self._limits.room_values]:
            try:
                check_value_address(address)
                value = _value(shadow.get(address))
                self._check_size(address, value)
            except (EngineroomError, TypeError, ValueError, RecursionError):
                continue
            self._keep(address, value)


def _value(plain: Any) -> Value:
    """The value that stands in the document as `plain`.

    Raises:
        TypeError: it is a shared type, which a value never is.
    """
    if isinstance(plain, bytes | bytearray):
        return Value(ValueKind.BYTES, bytes(plain))
    return Value(ValueKind.JSON, msgspec.json.encode(whole_numbers(plain)))


def whole_numbers(plain: Any) -> Any:
    """`plain` with 3.0 as 3: a CRDT document keeps JavaScript's numbers, which know no difference."""
    if isinstance(plain, float) and plain.is_integer() and abs(plain) < 2**53:
        return int(plain)
    if isinstance(plain, list):
        return [whole_numbers(item) for item in plain]
    if isinstance(plain, dict):
        return {key: whole_numbers(item) for key, item in plain.items()}
    return plain
