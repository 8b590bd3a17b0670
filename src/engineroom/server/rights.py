"""Rights: what one may do, by name, and as rooms know it.

`read` sees a room, `write` changes its document and values, `run` runs its programs. `admin` looks after the server's
rooms and documents themselves; it is `server/`'s alone, rooms do not know it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, cast, get_args

from engineroom.errors import AccessDenied
from engineroom.rooms.members import Access as RoomAccess

Right: TypeAlias = Literal["read", "write", "run", "admin"]
Rights: TypeAlias = frozenset[Right]

ALL_RIGHTS: Rights = frozenset(get_args(Right))
MEMBER_RIGHTS: Rights = ALL_RIGHTS - {"admin"}
"""What links and a server that is open to all may give."""
NO_RIGHTS: Rights = frozenset()


def parse_rights(names: Iterable[str]) -> Rights:
    """The rights of a link with these names; writing and running include reading.

    Raises:
        AccessDenied: status 400: a name is unknown, or there is none.
    """
    rights = frozenset(names)
    if not rights or not rights <= MEMBER_RIGHTS or "read" not in rights:
        raise AccessDenied(
            "rights are a list of read, write and run; read is always among them", 400
        )
    return cast(Rights, rights)


def room_access(rights: Rights) -> RoomAccess:
    """The rights as rooms know them."""
    return RoomAccess(read="read" in rights, write="write" in rights, run="run" in rights)


def rights_of(access: RoomAccess) -> Rights:
    """The rights that a room gives."""
    return cast(Rights, frozenset(access.rights))
