/**
 * One WebSocket to a room, opened again whenever it is lost.
 *
 * The law: bytes in, bytes out, and when to try again. It knows nothing of documents or of what the frames mean.
 * After a loss it waits 100 ms · 2ⁿ with jitter, at most 2.5 s, and not at all when the browser says that it is
 * online or visible again. Silence for 20 s is answered with a probe, 10 s more without a word with a new socket.
 * What the server will not take back (a link no longer valid, a broken rule) stops it for good.
 */

import { Lifetime, Signal } from "./signals";
import { SUBPROTOCOL } from "./protocol";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 2_500;
const SILENCE_MS = 20_000;
const PROBE_MS = 10_000;
const WATCH_MS = 5_000;

/** Why there will be no further attempt. */
export type StopCode = "not_allowed" | "protocol" | "too_big" | "replaced" | "deleted";

export type ConnectionState =
  | { readonly kind: "connecting"; readonly attempt: number }
  | { readonly kind: "open" }
  | { readonly kind: "waiting"; readonly attempt: number }
  | { readonly kind: "stopped"; readonly code: StopCode; readonly text: string };

/** Close codes after which another attempt would end the same way; the others are worth one. Source: errors.py. */
const FINAL_CODES: ReadonlyMap<number, { code: StopCode; text: string }> = new Map([
  [1009, { code: "too_big", text: "A change on this page is larger than the server takes. Copy your text, then reload." }],
  [4400, { code: "protocol", text: "This page and the server do not understand each other. Reload the page." }],
  [4401, { code: "not_allowed", text: "Your link is no longer valid. Ask for a new one." }],
  [4409, { code: "replaced", text: "This room has begun anew. Copy what you want to keep, then reload the page." }],
  [4410, { code: "deleted", text: "This room has been deleted. Copy what you want to keep: it is nowhere else." }],
  [4403, { code: "not_allowed", text: "Your link does not open this room. Ask for a new one." }],
]);

export interface ConnectionOptions {
  /** Asks over HTTP whether this visitor may still enter: a browser does not tell why a handshake was refused. */
  readonly mayEnter: () => Promise<boolean>;
  /** Makes the server say something. Called when it has been silent for long. */
  readonly probe: () => void;
  readonly makeSocket?: (url: string) => WebSocket;
}

export class Connection {
  readonly changed = new Signal<ConnectionState>();
  readonly received = new Signal<Uint8Array>();
  readonly #life = new Lifetime();
  readonly #url: string;
  readonly #options: ConnectionOptions;
  #state: ConnectionState = { kind: "connecting", attempt: 0 };
  #socket: WebSocket | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #heardAt = 0;
  #probedAt: number | undefined;

  constructor(url: string, options: ConnectionOptions) {
    this.#url = url;
    this.#options = options;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Opens the first socket. Call it once. */
  open(): void {
    this.#life.every(WATCH_MS, () => this.#watch());
    this.#life.on(window, "online", () => this.#hurry());
    this.#life.on(document, "visibilitychange", () => {
      if (document.visibilityState === "visible") this.#hurry();
    });
    this.#connect();
  }

  /** Sends one frame; false when there is no open socket to send it on. */
  send(frame: Uint8Array): boolean {
    if (this.#state.kind !== "open" || this.#socket === undefined) return false;
    this.#socket.send(frame);
    return true;
  }

  /** Ends the connection for good, and says why. */
  stop(code: StopCode, text: string): void {
    if (this.#state.kind === "stopped") return;
    this.#life.end();
    clearTimeout(this.#retry);
    this.#drop();
    this.#become({ kind: "stopped", code, text });
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    this.changed.emit(state);
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#drop();
    this.#probedAt = undefined;
    this.#become({ kind: "connecting", attempt: this.#attempt });
    const socket = this.#options.makeSocket?.(this.#url) ?? new WebSocket(this.#url, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#heard();
      this.#become({ kind: "open" });
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      this.#heard();
      this.#attempt = 0;
      if (event.data instanceof ArrayBuffer) this.received.emit(new Uint8Array(event.data));
    };
    socket.onclose = (event) => this.#lost(event.code, opened);
  }

  #heard(): void {
    this.#heardAt = Date.now();
    this.#probedAt = undefined;
  }

  #lost(code: number, opened: boolean): void {
    this.#socket = undefined;
    const final = FINAL_CODES.get(code);
    if (final !== undefined) return this.stop(final.code, final.text);
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    this.#retry = setTimeout(() => this.#connect(), delay * (0.5 + Math.random() / 2));
    this.#become({ kind: "waiting", attempt: this.#attempt });
    if (!opened && this.#attempt % 3 === 2) void this.#askWhetherAllowed();
  }

  async #askWhetherAllowed(): Promise<void> {
    if (await this.#options.mayEnter()) return;
    this.stop("not_allowed", "Your link is no longer valid. Ask for a new one.");
  }

  #hurry(): void {
    if (this.#state.kind === "waiting") this.#connect();
    else if (this.#state.kind === "open") this.#probe();
  }

  #probe(): void {
    if (this.#probedAt !== undefined) return;
    this.#probedAt = Date.now();
    this.#options.probe();
  }

  #watch(): void {
    if (this.#state.kind === "waiting" || this.#state.kind === "stopped") return;
    const now = Date.now();
    if (this.#state.kind === "open" && now - this.#heardAt < SILENCE_MS && this.#probedAt === undefined) return;
    // a sleeping tab wakes late: it asks before it gives up on a socket that may be well
    if (this.#probedAt === undefined) this.#probe();
    else if (now - this.#probedAt >= PROBE_MS) {
      this.#attempt += 1;
      this.#connect();
    }
  }

  /** Forgets the socket: nothing that it still says will be heard. */
  #drop(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
