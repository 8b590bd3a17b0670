"""The room itself: document, presence, members, values, evaluations, terminals.

`room.Room.receive(batch, now) -> effects` decides everything and does no I/O; `open_rooms` owns the one task per open
room that feeds it and carries its effects out. The protocols that the server injects (`Store`, `Programs`) are
declared here.
"""
