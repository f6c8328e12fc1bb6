import { show, wrong } from "./errors.js";

/** Numbers with the units h, m and s, such as "1h30m", or whole seconds. */
export type Duration = string | number;

const UNITS: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1 };
const MAX_SECONDS = 2 ** 32 - 1;

/** Whole seconds of `"1h30m"` or of a number of seconds. */
export function seconds(value: Duration, what = "timeout"): number {
  const total = typeof value === "string" ? parse(value, what) : value;
  if (typeof total !== "number" || !Number.isInteger(total)) {
    throw wrong(`hm: a ${what} must be a string or a whole number of seconds, not ${show(value)}`);
  }
  if (total <= 0) {
    throw wrong(`hm: a ${what} must be at least one second, got ${show(value)}`, 'write for example "30s" or "5m"');
  }
  if (total > MAX_SECONDS) throw wrong(`hm: a ${what} must be at most ${MAX_SECONDS} seconds, got ${show(value)}`);
  return total;
}

function parse(text: string, what: string): number {
  const trimmed = text.trim();
  if (!/^([0-9]+[hms])+$/.test(trimmed)) {
    throw wrong(
      `hm: ${show(text)} is not a ${what}`,
      'write numbers with the units h, m and s, for example "30s", "5m" or "1h30m"',
    );
  }
  let total = 0;
  for (const part of trimmed.match(/[0-9]+[hms]/g) ?? []) {
    total += Number(part.slice(0, -1)) * (UNITS[part.slice(-1)] ?? 0);
  }
  return total;
}
