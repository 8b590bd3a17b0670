/** Numbers, sizes and durations for people. Pure. */

/** `0.12 s`, `12.3 s`, `3 min 05 s`, `2 h 04 min`. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.max(0.01, seconds).toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/** As `duration`, in steps of a second: for what ticks. */
export function ticking(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return whole < 60 ? `${whole} s` : duration(whole);
}

function pad(number: number): string {
  return String(number).padStart(2, "0");
}

/** `812 bytes`, `12 kB`, `3.4 MB`. */
export function size(bytes: number): string {
  if (bytes < 1_000) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  if (bytes < 1_000_000) return `${Math.round(bytes / 1_000)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** A value as one line: text as it is, numbers short, bytes by their size, the rest as JSON. */
export function content(value: unknown): string {
  if (value === undefined || value === null) return "–";
  if (value instanceof Uint8Array) return size(value.length);
  if (typeof value === "string") return value;
  if (typeof value === "number") return number(value);
  return JSON.stringify(value);
}

/** Without the noise of binary fractions: 0.1 + 0.2 is `0.3`. */
export function number(value: number): string {
  return String(Number(value.toPrecision(12)));
}
