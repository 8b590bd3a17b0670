/**
 * The room's terminals: their messages to whoever shows them, and the sizes at which this page does.
 *
 * The law: what comes before somebody shows a terminal is kept, from its last screen on and bounded; a size is told again
 * after each new connection.
 */

import type { FromMember, TerminalMessage } from "./protocol";

const MAX_KEPT_BYTES = 4 * 1024 * 1024;

type Listener = (message: TerminalMessage) => void;

interface Size {
  readonly columns: number;
  readonly rows: number;
}

export class Terminals {
  readonly #listeners = new Map<string, Listener>();
  readonly #kept = new Map<string, TerminalMessage[]>();
  readonly #sizes = new Map<string, Size>();

  /** Hears all that `terminal` says, beginning with its screen. One listener a terminal. */
  listen(terminal: string, listener: Listener): () => void {
    this.#listeners.set(terminal, listener);
    for (const message of this.#kept.get(terminal) ?? []) listener(message);
    this.#kept.delete(terminal);
    return () => {
      if (this.#listeners.get(terminal) === listener) this.#listeners.delete(terminal);
      this.#sizes.delete(terminal);
    };
  }

  receive(message: TerminalMessage): void {
    const listener = this.#listeners.get(message.terminal);
    if (listener !== undefined) listener(message);
    else this.#keep(message);
  }

  /** Remembers the size at which this page shows `terminal`; returns the message that says so. */
  resize(terminal: string, size: Size): FromMember {
    this.#sizes.set(terminal, size);
    return { type: "terminalResize", terminal, ...size };
  }

  /** What the room is to be told after a new connection. */
  rejoined(): FromMember[] {
    return [...this.#sizes].map(([terminal, size]) => ({ type: "terminalResize", terminal, ...size }));
  }

  #keep(message: TerminalMessage): void {
    const kept = message.type === "terminalScreen" ? [] : (this.#kept.get(message.terminal) ?? []);
    kept.push(message);
    // the oldest output goes first; the screen at the front stays
    while (kept.length > 2 && bytesOf(kept) > MAX_KEPT_BYTES) kept.splice(1, 1);
    this.#kept.set(message.terminal, kept);
  }
}

function bytesOf(messages: readonly TerminalMessage[]): number {
  return messages.reduce((sum, message) => sum + ("data" in message ? message.data.length : 0), 0);
}
