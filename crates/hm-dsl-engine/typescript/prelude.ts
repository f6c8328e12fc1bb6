// The globals of a pipeline file beyond those of the language: `process` and `console`.

declare const __hm: {
  env: Record<string, string>;
  root: string;
  print(text: string): void;
};

const host = __hm;
delete (globalThis as { __hm?: unknown }).__hm;

const process = {
  env: host.env,
  platform: "linux",
  argv: ["hm"],
  cwd: () => host.root,
  exit(code?: number): never {
    throw new Error(`hm: the file ends the evaluation: process.exit(${code ?? ""})\n  fix: throw an error that says why`);
  },
};

function print(...values: unknown[]): void {
  host.print(`${values.map((value) => (typeof value === "string" ? value : inspect(value, 0, []))).join(" ")}\n`);
}

function inspect(value: unknown, depth: number, above: object[]): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "symbol") return value.toString();
  if (typeof value === "function") return value.name === "" ? "[function]" : `[function ${value.name}]`;
  if (value === null || typeof value !== "object") return String(value);
  if (value instanceof Error) return `${value.name}: ${value.message}\n${value.stack ?? ""}`.trimEnd();
  if (above.includes(value)) return "[circular]";
  if (depth > 4) return Array.isArray(value) ? "[array]" : "[object]";
  const inner = (entry: unknown): string => inspect(entry, depth + 1, [...above, value]);
  if (Array.isArray(value)) return `[${value.map(inner).join(", ")}]`;
  if (value instanceof Map) return `Map ${inner(Object.fromEntries(value))}`;
  if (value instanceof Set) return `Set ${inner([...value])}`;
  const members = Object.entries(value).map(([name, entry]) => `${name}: ${inner(entry)}`);
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}

const console = { log: print, info: print, warn: print, error: print, debug: print };

Object.assign(globalThis, { process, console });
