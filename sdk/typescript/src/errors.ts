/** What a pipeline got wrong. The message says what, and after "fix:" what to write instead. */
export class PipelineError extends Error {
  override readonly name: string = "PipelineError";
}

/** An error whose message has the problem first and then, on its own line, the way out of it. */
export function wrong(problem: string, fix?: string): PipelineError {
  return new PipelineError(fix === undefined ? problem : `${problem}\n  fix: ${fix}`);
}

/** How a value is shown in a message. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (typeof value === "bigint" || typeof value === "symbol") return String(value);
  if (Array.isArray(value)) return "an array";
  if (value !== null && typeof value === "object") {
    const maker = (value as { constructor?: { name?: string } }).constructor?.name;
    return maker === undefined || maker === "Object" ? "an object" : maker;
  }
  return String(value);
}

/** `value`, which must be a string that is not empty. */
export function requireText(value: unknown, what: string): string {
  if (typeof value !== "string") throw wrong(`${what} must be a string, not ${show(value)}`);
  if (value === "") throw wrong(`${what} must not be empty`);
  return value;
}

/** `value`, which must be an array of strings. */
export function requireTexts(value: unknown, what: string): readonly string[] {
  if (!Array.isArray(value)) {
    throw wrong(`hm: ${what} must be an array of strings, not ${show(value)}`, typeof value === "string" ? `write [${show(value)}]` : undefined);
  }
  return value.map((entry) => requireText(entry, `hm: an entry of ${what}`));
}

/** Refuses members that the receiver doesn't read, since a misspelt option would otherwise do nothing. */
export function refuseUnknown(given: object, known: readonly string[], where: string): void {
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    throw wrong(`${where}: the options must be an object, not ${show(given)}`, `use ${known.join(", ")}`);
  }
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) {
      throw wrong(`${where} has no option ${show(name)}`, `use ${known.join(", ")}`);
    }
  }
}
