"""The bounds of a room, on everything that a member or a program can make grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """Bytes, counts and seconds. Each has a test that reaches it."""

    room_members: int = 1_000
    """Members of one room; the next one is refused with close code 4429."""
    update_bytes: int = 16 << 20
    """One update of a document, and what may wait for missing dependencies."""
    reader_update_bytes: int = 1 << 20
    """One update of who may only read: what answers Step 1, and brings nothing. Reading one takes time."""
    reader_update_structs: int = 20_000
    """Structs of one update of who may only read."""
    reader_bytes_per_second: float = 1 << 20
    """What one member who may only read may say, on average over two seconds; past it, it is closed with 4429."""
    waiting_updates: int = 10_000
    """Updates that may wait for missing dependencies."""
    unstored_bytes: int = 64 << 20
    """What may wait for a disk that fails or does not keep up; past it, who changes more is closed with 1013."""
    document_bytes: int = 256 << 20
    """A document's whole encoding; an update that would pass it is refused with close code 4429."""
    document_types: int = 100_000
    """Shared types (Maps, Arrays, elements…) that updates may bring while a room is open. Nested ones are freed
    recursively below pycrdt, which ends a process whose stack is too small; the server's allows for these."""
    update_deletions: int = 100_000
    """Ranges that one update may delete."""
    update_structs: int = 200_000
    """Structs (insertions, about) of one update: reading one takes some microseconds. A document that was edited
    100,000 times has about so many, and comes as one update where it is brought to a new server."""
    messages_per_second: float = 20_000.0
    bytes_per_second: float = 32 << 20
    """What one member may say, on average over two seconds; past it, it is closed with 4429."""
    awareness_clients: int = 2_000
    awareness_bytes: int = 4 << 20
    """Presence of one room in all; what a member says past it is not shown."""
    member_awareness_clients: int = 100
    member_awareness_bytes: int = 256 << 10
    """Presence that one member speaks for; past it, it is closed with 4429."""
    awareness_per_second: float = 500.0
    """States that one member may change; past it, it is closed with 4429. What says nothing new does not count."""
    message_bytes: int = 64 << 10
    """One stateless message; past it, its sender is closed with 4429."""
    room_values: int = 1_000
    value_bytes: int = 1 << 20
    values_bytes: int = 32 << 20
    """Values of one room, each, and all together."""
    queued_evaluations: int = 64
    """Evaluations that wait for one engine."""
    code_bytes: int = 1 << 20
    """The source of one evaluation."""
    stream_bytes: int = 256 << 10
    """What stays of one stream output in the document (UTF-8); the whole is kept beside it."""
    evaluation_outputs: int = 500
    """Outputs of one evaluation."""
    output_bytes: int = 8 << 20
    """One rich output."""
    evaluation_bytes: int = 64 << 20
    """Rich outputs and errors of one evaluation in all."""
    screen_bytes: int = 256 << 10
    """What a newcomer is shown of a terminal."""
    input_bytes: int = 64 << 10
    """One piece of input for a terminal or a program that asked."""
    held_bytes: int = 1 << 20
    """Acknowledgements and answers held for a member whose connection is full; past it, it is closed with 4408."""
    linger_seconds: float = 30.0
    """How long an empty room stays open."""
    evaluation_seconds: float = 3_600.0
    """How long a room without members stays open for an evaluation."""
    awareness_tick_seconds: float = 0.05
    output_frame_seconds: float = 0.04
    settle_seconds: float = 1.0
    """How soon a changed value is written into the document."""
    compact_bytes: int = 32 << 10
    """The log's tail from which a snapshot may take its place (when it also is larger than the snapshot)."""
    history_seconds: float = 0.0
    """How long records stay readable after a snapshot has taken their place."""
    history: bool = True
    """Whether rooms keep versions by themselves; a page may have its own."""
    history_interval_seconds: float = 600.0
    """A version is kept so long after the first change since the last one."""
    history_pause_seconds: float = 60.0
    history_pause_updates: int = 20
    """And after a pause of that many seconds, when at least so many updates came before it."""
    versions: int = 500
    """Versions of one document. Past it, those kept by themselves go, and none is made by hand."""
    versions_bytes: int = 256 << 20
    """Their encodings in all."""
    authors: int = 20_000
    """Stretches of clocks whose author is remembered, most often one for each visit of somebody who writes."""
    other_history: Literal["refuse", "fork"] = "refuse"
    """What becomes of a member that brings the history of a document which was rebuilt since: closed with 4409, or
    moved to a room of its own history. A page's rooms always refuse."""
