"""Engineroom: rooms where people and programs work on the same document.

What stands here is the public interface; it is loaded when it is first asked for, so that `import engineroom` costs
nothing. `__init__.pyi` tells it to type checkers; a test holds the two equal.
"""

from importlib import import_module

__version__ = "0.1.0"

_PLACES = {
    "client": "Channel Connection ConnectionLost OtherHistory WebsocketProvider connect",
    "errors": "AccessDenied AddressError EngineroomError LimitExceeded ProtocolError RoomClosed "
    "SettingsError StoreError",
    "rooms.address": "Address",
    "rooms.handles": "RoomHandle",
    "rooms.hooks": "Hooks",
    "rooms.members": "Access MemberInfo User",
    "rooms.open_rooms": "Rooms",
    "server.authority": "Allowed",
    "server.embedding": "Application Server serve",
    "server.request": "Request",
}
_EXPORTS = {name: module for module, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
