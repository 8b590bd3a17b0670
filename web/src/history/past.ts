/**
 * A document's past, as the server keeps it: asked over HTTP, checked before anything reads it.
 *
 * It knows the API and nothing of pages. Every call throws an `Error` whose message is for the visitor.
 */

import { isRecord } from "../records";

export interface Version {
  readonly id: string;
  /** The newest number of the log that it holds. */
  readonly number: number;
  /** Seconds since the epoch. */
  readonly time: number;
  readonly kind: string;
  readonly name: string;
  readonly user: string;
}

/** A record of the log, without its update. */
export interface LogRecord {
  readonly number: number;
  readonly time: number;
  readonly user: string;
}

/** `user` has brought the clocks from `start` up to `end` of a client. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly user: string;
}

/** What is known of a document's past at one moment. */
export interface Overview {
  readonly versions: readonly Version[];
  readonly records: readonly LogRecord[];
  /** The latest name of each user, empty where there is none. */
  readonly names: ReadonlyMap<string, string>;
  readonly clients: ReadonlyMap<number, readonly Stretch[]>;
  readonly newest: number;
  readonly snapshot: number;
}

const UPDATE_TYPE = "application/vnd.yjs.update";
/** The slider is no use with more; what is older is reached by versions. */
const MAX_RECORDS = 10_000;
const NO_CONNECTION = "There is no connection now. Try again when it is back.";

export class Past {
  readonly #url: string;

  /** `own` is where Engineroom's own URLs begin, `…/-/`. */
  constructor(own: URL, address: string) {
    const path = address.split("/").map((part) => encodeURIComponent(part)).join("/");
    this.#url = new URL(`../api/documents/${path}`, own).href;
  }

  async overview(): Promise<Overview> {
    const list = record(await this.#json("versions"));
    const newest = whole(list["number"]);
    return {
      versions: entries(list["versions"]).map(version),
      records: await this.#records(Math.max(0, newest - MAX_RECORDS)),
      names: new Map(Object.entries(record(list["users"])).map(([id, user]) => [id, text(record(user)["name"])])),
      clients: new Map(Object.entries(record(list["clients"])).map(([id, stretches]) => [Number(id), entries(stretches).map(stretch)])),
      newest,
      snapshot: whole(list["snapshot"]),
    };
  }

  /** A version's encoding (one update, V1); `@17` is the state after record 17. */
  async read(id: string): Promise<Uint8Array> {
    const answer = await this.#ask("GET", `versions/${encodeURIComponent(id)}`, { accept: UPDATE_TYPE });
    return new Uint8Array(await answer.arrayBuffer());
  }

  /** Keeps the state after record `number`, or without one the present, under a name. */
  async keep(name: string, number?: number): Promise<Version> {
    const answer = await this.#ask("POST", "versions", { body: { name, ...(number === undefined ? {} : { number }) } });
    return version(await answer.json());
  }

  async rename(id: string, name: string): Promise<void> {
    await this.#ask("PATCH", `versions/${encodeURIComponent(id)}`, { body: { name } });
  }

  /** Whether anything was different. */
  async restore(id: string): Promise<boolean> {
    const answer = await this.#ask("POST", `versions/${encodeURIComponent(id)}/restore`, {});
    return record(await answer.json())["before"] !== null;
  }

  async #records(after: number): Promise<LogRecord[]> {
    const records: LogRecord[] = [];
    for (let from: number | null = after; from !== null; ) {
      const piece = record(await this.#json(`history?updates=false&after=${from}`));
      records.push(...entries(piece["records"]).map(logRecord));
      from = piece["next"] === null || records.length >= MAX_RECORDS ? null : whole(piece["next"]);
    }
    return records;
  }

  async #json(path: string): Promise<unknown> {
    return (await this.#ask("GET", path, { accept: "application/json" })).json();
  }

  async #ask(method: string, path: string, { accept, body }: { accept?: string; body?: unknown }): Promise<Response> {
    const headers = { Accept: accept ?? "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await fetch(`${this.#url}/${path}`, { method, headers, ...sent }).catch(() => undefined);
    if (answer === undefined) throw new Error(NO_CONNECTION);
    if (!answer.ok) throw new Error(await refusal(answer));
    return answer;
  }
}

async function refusal(answer: Response): Promise<string> {
  const said: unknown = await answer.json().catch(() => undefined);
  const words = isRecord(said) ? [said["title"], said["detail"]].filter((part) => typeof part === "string" && part !== "") : [];
  return words.length > 0 ? words.join(": ") : `The server answered ${answer.status}.`;
}

// --- what the server said ------------------------------------------------------------------------

function version(value: unknown): Version {
  const said = record(value);
  const { id, kind, name, user } = said;
  return { id: text(id), number: whole(said["number"]), time: whole(said["time"]), kind: text(kind), name: text(name), user: text(user) };
}

function logRecord(value: unknown): LogRecord {
  const said = record(value);
  return { number: whole(said["number"]), time: whole(said["time"]), user: text(said["user"]) };
}

function stretch(value: unknown): Stretch {
  const [start, end, user] = entries(value);
  return { start: whole(start), end: whole(end), user: text(user) };
}

function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

function entries(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function whole(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
