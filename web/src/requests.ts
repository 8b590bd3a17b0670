/**
 * What was asked of the room and is not answered yet.
 *
 * The law: every request is answered once, refused once, or given up when the connection ends; only those that the
 * room runs once however often it is asked (evaluations, by their id) outlive a connection and are asked again.
 */

import type { Completions, FromMember } from "./protocol";

/** The room refused; `code` is stable, the message is for people. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  constructor(
    readonly code: string,
    reason: string,
  ) {
    super(reason);
  }
}

export type Answer = { readonly type: "done" } | Completions;

interface Open {
  readonly message: FromMember;
  readonly again: boolean;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (refusal: Refusal) => void;
}

const MAX_OPEN = 1_000;

export class Requests {
  readonly #open = new Map<number, Open>();
  #last = 0;

  /** A number that no other request of this page has. */
  number(): number {
    this.#last += 1;
    return this.#last;
  }

  /** Remembers `message` under `request`. With `again` it will be asked anew after a lost connection. */
  ask(request: number, message: FromMember, { again }: { again: boolean }): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#open.size >= MAX_OPEN) return reject(new Refusal("too_many", "Too many requests wait for an answer."));
      this.#open.set(request, { message, again, resolve, reject });
    });
  }

  done(request: number): void {
    this.#take(request)?.resolve({ type: "done" });
  }

  completed(answer: Completions): void {
    this.#take(answer.request)?.resolve(answer);
  }

  /** True when `request` was one of these; then whoever asked has been told. */
  refused(request: number, code: string, reason: string): boolean {
    const open = this.#take(request);
    open?.reject(new Refusal(code, reason));
    return open !== undefined;
  }

  /** Gives up what cannot be asked twice. */
  lost(): void {
    for (const [request, open] of this.#open) {
      if (!open.again) this.refused(request, "connection_lost", "The connection was lost. Try again when it is back.");
    }
  }

  /** What is to be asked again, oldest first. */
  outstanding(): FromMember[] {
    return [...this.#open.values()].filter((open) => open.again).map((open) => open.message);
  }

  #take(request: number): Open | undefined {
    const open = this.#open.get(request);
    this.#open.delete(request);
    return open;
  }
}
