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

// What a pipeline has no use for, and what Node has.
for (const name of ["stdin", "stdout", "stderr", "nextTick", "hrtime", "memoryUsage", "on", "once", "emit", "chdir", "kill"]) {
  const get = (): never => {
    throw new Error(`hm: process.${name} is not offered to pipelines\n  fix: set HM_TS_RUNTIME=node to run them in your Node, which has it`);
  };
  Object.defineProperty(process, name, { get, enumerable: false });
}

/** The structured clone of HTML (section 2.7.3), for the values that pipelines are made of. */
function structuredClone<T>(value: T): T {
  return cloned(value, new Map()) as T;
}

function cloned(value: unknown, known: Map<object, unknown>): unknown {
  if (typeof value === "function" || typeof value === "symbol") {
    throw new TypeError(`structuredClone: ${inspect(value, 0, [])} can't be cloned`);
  }
  if (value === null || typeof value !== "object") return value;
  if (known.has(value)) return known.get(value);
  const keep = <C extends object>(copy: C): C => {
    known.set(value, copy);
    return copy;
  };
  if (value instanceof Date) return keep(new Date(value.getTime()));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (value instanceof ArrayBuffer) return keep(value.slice(0));
  if (ArrayBuffer.isView(value)) return keep((value as Uint8Array).slice());
  if (value instanceof Map) {
    const copy = keep(new Map());
    for (const [key, entry] of value) copy.set(cloned(key, known), cloned(entry, known));
    return copy;
  }
  if (value instanceof Set) {
    const copy = keep(new Set());
    for (const entry of value) copy.add(cloned(entry, known));
    return copy;
  }
  if (value instanceof Error) {
    const { name, message } = value;
    return keep(Object.assign(new Error(message), { name }));
  }
  const copy: Record<string, unknown> = keep(Array.isArray(value) ? (new Array(value.length) as never) : {});
  for (const [name, entry] of Object.entries(value)) copy[name] = cloned(entry, known);
  return copy;
}

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

Object.assign(globalThis, { process, console, structuredClone });
