/**
 * The stops of the slider: versions, and between them, where the log is kept, what somebody wrote in one go. Pure.
 *
 * The law: every stop can be shown. A state between versions can, when no record is missing since a state that is kept.
 */

import type { LogRecord, Overview, Version } from "./past";

export interface Stop {
  /** What the server knows it by. */
  readonly id: string;
  readonly number: number;
  readonly time: number;
  /** `now`, `changes`, or the kind of a version. */
  readonly kind: string;
  readonly name: string;
  /** Who wrote since the stop before, where that is known; empty ids are the server. */
  readonly users: readonly string[];
}

/** Writing of one person with no longer pause is one stop. */
const PAUSE_SECONDS = 20;
const LONGEST_SECONDS = 120;

/** All stops, oldest first; the last one is the present. `now` is in seconds since the epoch. */
export function timeline(overview: Overview, now: number): Stop[] {
  const present: Stop = { id: "now", number: overview.newest, time: now, kind: "now", name: "", users: [] };
  const kept = overview.versions.map((version) => stopOf(version));
  const taken = new Set([...kept.map(({ number }) => number), overview.newest]);
  const between = moments(reachable(overview)).filter(({ number }) => !taken.has(number));
  const stops = [...kept, ...between, present].sort((a, b) => a.number - b.number || order(a) - order(b) || a.time - b.time);
  return stops.map((stop, index) => ({ ...stop, users: usersBetween(overview.records, stops[index - 1]?.number ?? 0, stop.number) }));
}

function stopOf({ id, number, time, kind, name }: Version): Stop {
  return { id, number, time, kind, name, users: [] };
}

/** The present comes after all versions of the same state. */
function order(stop: Stop): number {
  return stop.kind === "now" ? 1 : 0;
}

/** The records whose states can be had: those that follow, without a gap, a state that is kept. */
function reachable({ versions, records, snapshot }: Overview): LogRecord[] {
  const bases = new Set([0, snapshot, ...versions.map(({ number }) => number)]);
  return records.filter(({ number }) => {
    const follows = bases.has(number - 1);
    if (follows) bases.add(number);
    return follows;
  });
}

/** The last record of each piece of writing, as a stop. */
function moments(records: readonly LogRecord[]): Stop[] {
  const stops: Stop[] = [];
  let moment: { readonly since: number; readonly writer: string } | undefined;
  records.forEach((record, index) => {
    moment = { since: moment?.since ?? record.time, writer: record.user || (moment?.writer ?? "") };
    const next = records[index + 1];
    if (next !== undefined && continues(moment, record, next)) return;
    stops.push({ id: `@${record.number}`, number: record.number, time: record.time, kind: "changes", name: "", users: [] });
    moment = undefined;
  });
  return stops;
}

/** What the server itself writes (outputs, notes) goes with whoever is writing. */
function continues(moment: { readonly since: number; readonly writer: string }, record: LogRecord, next: LogRecord): boolean {
  const isSameWriter = next.user === "" || moment.writer === "" || next.user === moment.writer;
  // a page's seed has no time of its own
  const pause = record.time === 0 ? 0 : next.time - record.time;
  const length = moment.since === 0 ? 0 : next.time - moment.since;
  return isSameWriter && pause <= PAUSE_SECONDS && length <= LONGEST_SECONDS;
}

function usersBetween(records: readonly LogRecord[], after: number, upTo: number): readonly string[] {
  const users = records.filter(({ number }) => number > after && number <= upTo).map(({ user }) => user);
  return [...new Set(users)];
}

/** Where to be after a reload of the timeline: at the same stop, or else the nearest one before it. */
export function indexOf(stops: readonly Stop[], stop: Stop | undefined): number {
  if (stop === undefined) return stops.length - 1;
  const same = stops.findIndex(({ id }) => id === stop.id);
  if (same >= 0) return same;
  const later = stops.findIndex(({ number }) => number > stop.number);
  return Math.max(0, (later < 0 ? stops.length : later) - 1);
}

const KINDS: Readonly<Record<string, string>> = {
  now: "Now",
  hand: "Kept by hand",
  time: "Kept automatically",
  activity: "Kept automatically",
  restore: "Before a restore",
  changes: "Changes",
};

/** What a stop is, for people: its name or else its kind. */
export function titleOf({ name, kind }: Stop): string {
  return name === "" ? (KINDS[kind] ?? "Version") : name;
}

/** `14:32:05`, with the day where it is another one. */
export function timeOf(stop: Stop, now: Date): string {
  const time = new Date(stop.time * 1_000);
  const clock = time.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (time.toDateString() === now.toDateString()) return clock;
  const year = time.getFullYear() === now.getFullYear() ? {} : ({ year: "numeric" } as const);
  return `${time.toLocaleDateString(undefined, { day: "numeric", month: "short", ...year })}, ${clock}`;
}
