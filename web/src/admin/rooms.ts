/** The list of rooms. A room is chosen by its address, a link that can be kept. */

import { amount, bytes, span } from "./figures";
import { copyOf, fill, keyed, part } from "./parts";
import type { RoomLine, ServerView } from "./state";

export class RoomList {
  readonly #rows = part("rooms", HTMLElement);
  readonly #note = part("rooms-note", HTMLElement);

  show(view: ServerView, prefix: string, chosen: string | undefined): void {
    keyed(this.#rows, view.rooms, (room) => room.address, makeRow, (row, room) => showRow(row, room, room.address === chosen));
    this.#note.textContent = noteOf(view, prefix);
  }
}

function noteOf(view: ServerView, prefix: string): string {
  if (view.rooms.length === 0) return prefix === "" ? "No room is open." : "No open room has such an address.";
  return view.rooms.length < view.room_count && prefix === "" ? `${view.rooms.length} of ${amount(view.room_count)} rooms.` : "";
}

function makeRow(room: RoomLine): HTMLElement {
  const row = copyOf("room-row");
  const link = row.querySelector("a");
  if (link !== null) link.href = `#${encodeURIComponent(room.address)}`;
  return row;
}

function showRow(row: HTMLElement, room: RoomLine, chosen: boolean): void {
  row.toggleAttribute("data-chosen", chosen);
  row.querySelector("a")?.setAttribute("aria-current", String(chosen));
  const state = stateOf(room);
  row.dataset["state"] = state.kind;
  fill(row, {
    address: room.address,
    members: amount(room.members),
    size: bytes(room.document_bytes),
    lag: room.unstored_bytes > 0 ? `${bytes(room.unstored_bytes)}, ${span(room.unstored_seconds)}` : "–",
    state: state.text,
  });
}

function stateOf(room: RoomLine): { kind: string; text: string } {
  if (room.failing !== "") return { kind: "bad", text: "Cannot be stored" };
  if (room.waiting_updates > 0) return { kind: "busy", text: `${amount(room.waiting_updates)} updates wait` };
  return room.members > 0 ? { kind: "good", text: "Open" } : { kind: "idle", text: "Empty" };
}
