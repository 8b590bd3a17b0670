/** What the server says of itself, and how it is asked. The shapes are those of `server/admin_view.py`. */

export interface RoomLine {
  readonly address: string;
  readonly members: number;
  readonly document_bytes: number;
  readonly newest_number: number;
  readonly durable_number: number;
  readonly unstored_bytes: number;
  readonly unstored_seconds: number;
  readonly waiting_updates: number;
  readonly failing: string;
  readonly opened: number;
}

export interface MemberLine {
  readonly id: number;
  readonly user: string;
  readonly name: string;
  readonly rights: readonly string[];
  readonly dialect: string;
  readonly source: string;
  readonly since: number;
}

export interface DeadLetter {
  readonly number: number;
  readonly host: string;
  readonly event: string;
  readonly document: string;
  readonly made: number;
  readonly attempts: number;
  readonly error: string;
}

export interface WebhooksView {
  readonly hooks: readonly { readonly host: string; readonly rooms: string; readonly events: readonly string[] }[];
  readonly statistics: Readonly<Record<string, number>>;
  readonly dead: readonly DeadLetter[];
}

export interface ServerView {
  readonly version: string;
  readonly time: number;
  readonly started: number;
  readonly status: string;
  readonly checks: Readonly<Record<string, string>>;
  readonly loop_lag_seconds: number;
  readonly member_count: number;
  readonly room_count: number;
  readonly rooms: readonly RoomLine[];
  readonly counters: Readonly<Record<string, number>>;
  readonly closes: Readonly<Record<string, number>>;
  readonly limits: Readonly<Record<string, number>>;
  readonly webhooks: WebhooksView | null;
}

export interface RoomView {
  readonly room: RoomLine | null;
  readonly member_count: number;
  readonly members: readonly MemberLine[];
}

/** The server refused, or did not answer; the message is for people. */
export class Refused extends Error {}

const PATIENCE_MS = 10_000;

/** The JSON at `path`, below the admin page. */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(`admin/${path}`, { ...init, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw new Refused("The server does not answer.");
  }
  if (answer.ok) return (await answer.json()) as T;
  const said = (await answer.json().catch(() => ({}))) as { detail?: string; title?: string };
  throw new Refused(said.detail ?? said.title ?? `The server answered ${answer.status}.`);
}

/** Has the server do something; whether there was anything to do. */
export async function tell(action: string, body: unknown): Promise<boolean> {
  const headers = { "content-type": "application/json" };
  const answer = await ask<{ done: boolean }>(action, { method: "POST", headers, body: JSON.stringify(body) });
  return answer.done;
}

/** A room's address as it stands in a path. */
export function inPath(address: string): string {
  return address.split("/").map(encodeURIComponent).join("/");
}
