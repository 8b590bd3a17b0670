/**
 * The room's values as this page sees them.
 *
 * The law: what this page has set shows at once and stays until the room has said so and nothing of ours is on its way,
 * so that a slider never jumps back under the hand. Revisions grow within one connection; older ones are ignored.
 */

import { contentOf, equalBytes, type FromMember, type Value } from "./protocol";
import { Signal } from "./signals";

interface Known {
  readonly revision: number;
  readonly value: Value;
}

interface Own {
  readonly request: number;
  readonly value: Value;
  /** The room has answered `Done`. */
  done: boolean;
  /** The room has told everybody this very value. */
  told: boolean;
}

export class Values {
  /** Emits the address whose shown value changed. */
  readonly changed = new Signal<string>();
  readonly #known = new Map<string, Known>();
  readonly #own = new Map<string, Own>();

  /** What to show for `address`: any JSON content, bytes, or undefined when nobody has set it. */
  get(address: string): unknown {
    const value = this.#own.get(address)?.value ?? this.#known.get(address)?.value;
    return value && contentOf(value);
  }

  /** Shows `value` from now on; returns the message that asks the room for it. */
  set(address: string, value: Value, request: number): FromMember {
    this.#own.set(address, { request, value, done: false, told: false });
    this.changed.emit(address);
    return { type: "setValue", request, address, value };
  }

  /** The room has told a value. */
  told(address: string, revision: number, value: Value): void {
    const known = this.#known.get(address);
    if (known !== undefined && revision < known.revision) return;
    this.#known.set(address, { revision, value });
    const own = this.#own.get(address);
    if (own !== undefined) {
      own.told ||= value.kind === own.value.kind && equalBytes(value.data, own.value.data);
      if (own.done) this.#own.delete(address);
    }
    this.changed.emit(address);
  }

  /** The room has answered `request`; true when it was one of these. */
  answered(request: number, { refused }: { refused: boolean }): boolean {
    for (const [address, own] of this.#own) {
      if (own.request !== request) continue;
      own.done = true;
      if (refused || own.told) this.#own.delete(address);
      this.changed.emit(address);
      return true;
    }
    return false;
  }

  /** The connection ended: the next one's revisions may begin anew. */
  parted(): void {
    for (const [address, known] of this.#known) this.#known.set(address, { ...known, revision: 0 });
  }

  /** What the room has not answered, to ask it again on a new connection. */
  rejoined(): FromMember[] {
    const asked: FromMember[] = [];
    for (const [address, { request, value, done }] of this.#own) {
      if (done) this.#own.delete(address);
      else asked.push({ type: "setValue", request, address, value });
    }
    return asked;
  }
}
