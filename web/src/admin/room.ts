/** One room: its figures, its members, and what can be done about them. */

import { amount, bytes, span } from "./figures";
import { copyOf, fill, keyed, part } from "./parts";
import { ask, inPath, type MemberLine, type RoomView } from "./state";

const RIGHTS = ["read", "write", "run"] as const;

/** Does something, then has the page look again; says what went wrong. */
export type Act = (action: string, body: unknown) => Promise<boolean>;

export class RoomPanel {
  readonly #panel = part("room", HTMLElement);
  readonly #members = part("members", HTMLElement);
  readonly #note = part("members-note", HTMLElement);
  readonly #act: Act;
  #address = "";

  constructor(act: Act) {
    this.#act = act;
    part("room-close", HTMLButtonElement).addEventListener("click", () => this.#close());
    const dialog = part("delete", HTMLDialogElement);
    part("room-delete", HTMLButtonElement).addEventListener("click", () => this.#askToDelete(dialog));
    part("delete-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#delete(dialog);
    });
    part("delete-cancel", HTMLButtonElement).addEventListener("click", () => dialog.close());
    part("delete-address", HTMLInputElement).addEventListener("input", () => this.#checkTyped());
  }

  /** Looks at the room at `address`; undefined: at none. */
  async look(address: string | undefined, now: number): Promise<void> {
    this.#panel.hidden = address === undefined;
    if (address === undefined) return;
    this.#address = address;
    this.#show(await ask<RoomView>(`rooms/${inPath(address)}`), now);
  }

  #show(view: RoomView, now: number): void {
    const room = view.room;
    fill(this.#panel, {
      address: this.#address,
      size: room === null ? "–" : bytes(room.document_bytes),
      number: room === null ? "–" : `${amount(room.durable_number)} of ${amount(room.newest_number)}`,
      lag: room === null || room.unstored_bytes === 0 ? "–" : `${bytes(room.unstored_bytes)}, ${span(room.unstored_seconds)}`,
      opened: room === null ? "not open" : `${span(now - room.opened)} ago`,
      failing: room === null ? "" : room.failing,
    });
    part("room-close", HTMLButtonElement).disabled = room === null;
    keyed(this.#members, view.members, (member) => String(member.id), (member) => this.#makeRow(member), (row, member) =>
      showMember(row, member, now),
    );
    const left = view.member_count - view.members.length;
    this.#note.textContent = view.member_count === 0 ? "Nobody is here." : left > 0 ? `And ${amount(left)} more.` : "";
  }

  #makeRow(member: MemberLine): HTMLElement {
    const row = copyOf("member-row");
    const about = { address: this.#address, member: member.id };
    row.querySelector("[data-do=disconnect]")?.addEventListener("click", () => void this.#act("disconnect", about));
    for (const box of boxes(row)) {
      box.addEventListener("change", () => {
        const rights = boxes(row).filter((each) => each.checked).map((each) => each.value);
        void this.#act("change-rights", { ...about, rights });
      });
    }
    return row;
  }

  #close(): void {
    void this.#act("close-room", { address: this.#address });
  }

  #askToDelete(dialog: HTMLDialogElement): void {
    fill(dialog, { address: this.#address });
    part("delete-address", HTMLInputElement).value = "";
    this.#checkTyped();
    dialog.showModal();
  }

  #checkTyped(): void {
    const typed = part("delete-address", HTMLInputElement).value;
    part("delete-confirm", HTMLButtonElement).disabled = typed !== this.#address;
  }

  async #delete(dialog: HTMLDialogElement): Promise<void> {
    const confirmation = part("delete-address", HTMLInputElement).value;
    dialog.close();
    if (await this.#act("delete-document", { address: this.#address, confirmation })) location.hash = "";
  }
}

function boxes(row: HTMLElement): HTMLInputElement[] {
  return [...row.querySelectorAll<HTMLInputElement>("input[type=checkbox]")];
}

function showMember(row: HTMLElement, member: MemberLine, now: number): void {
  fill(row, {
    name: member.name === "" ? member.user : `${member.name} (${member.user})`,
    source: member.source === "" ? "–" : member.source,
    dialect: member.dialect,
    since: `${span(now - member.since)}`,
  });
  for (const box of boxes(row)) {
    if (box !== document.activeElement) box.checked = RIGHTS.some((right) => right === box.value && member.rights.includes(right));
    box.setAttribute("aria-label", `${member.name || member.user} may ${box.value}`);
  }
}

