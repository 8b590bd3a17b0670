/** Numbers for people who look after a server. Pure. */

/** `812 B`, `12 kB`, `3.4 MB`, `1.2 GB`. */
export function bytes(count: number): string {
  if (count < 1_000) return `${Math.round(count)} B`;
  if (count < 1_000_000) return `${(count / 1_000).toFixed(count < 10_000 ? 1 : 0)} kB`;
  if (count < 1_000_000_000) return `${(count / 1_000_000).toFixed(1)} MB`;
  return `${(count / 1_000_000_000).toFixed(1)} GB`;
}

/** `0`, `0.4`, `12`, `1 234`, `1.2 M`. */
export function amount(count: number): string {
  if (count > 0 && count < 10 && !Number.isInteger(count)) return count.toFixed(1);
  if (count >= 1_000_000) return `${(count / 1_000_000).toFixed(1)} M`;
  return Math.round(count).toLocaleString("en").replaceAll(",", "\u202f");
}

/** `3 ms`, `1.2 s`, `4 min`, `3 h`, `2 days`. */
export function span(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1_000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** How much a counter grew a second, between two looks. */
export function rate(before: Look | undefined, now: Look, counter: string): number {
  if (before === undefined || now.time <= before.time || now.started !== before.started) return 0;
  const grown = (now.counters[counter] ?? 0) - (before.counters[counter] ?? 0);
  return Math.max(0, grown / (now.time - before.time));
}

interface Look {
  readonly time: number;
  readonly started: number;
  readonly counters: Readonly<Record<string, number>>;
}
