// `node:fs` for pipeline files: reading, below the repository's folder only.

/** What the host answers: the value, or the code of the error that Node would throw. */
type Answer<T> = { readonly value: T } | { readonly code: string; readonly reason: string };

declare const __hmFs: {
  read(path: string): Answer<Uint8Array>;
  readText(path: string): Answer<string>;
  decode(bytes: number[]): string;
  list(path: string): Answer<[name: string, kind: Kind][]>;
  stat(path: string, follow: boolean): Answer<[kind: Kind, size: number, mode: number]>;
  real(path: string): Answer<string>;
};

type Kind = "file" | "directory" | "link" | "other";
type Encoding = string | null | { readonly encoding?: string | null } | undefined;

const host = __hmFs;

class FsError extends Error {
  readonly code: string;
  readonly path: string;

  constructor(code: string, reason: string, call: string, path: string) {
    super(code === "EOUTSIDE" ? reason : `${code}: ${reason}, ${call} '${path}'`);
    this.code = code;
    this.path = path;
  }
}

/** Bytes of a file that read as text where text is asked for, as Node's do. */
class Bytes extends Uint8Array {
  override toString(_encoding?: string): string {
    return host.decode(Array.from(this));
  }
}

class Entry {
  readonly name: string;
  readonly parentPath: string;
  readonly #kind: Kind;

  constructor(name: string, parentPath: string, kind: Kind) {
    this.name = name;
    this.parentPath = parentPath;
    this.#kind = kind;
  }

  isFile = (): boolean => this.#kind === "file";
  isDirectory = (): boolean => this.#kind === "directory";
  isSymbolicLink = (): boolean => this.#kind === "link";
}

class Stats extends Entry {
  readonly size: number;
  readonly mode: number;

  constructor(kind: Kind, size: number, mode: number) {
    super("", "", kind);
    this.size = size;
    this.mode = mode;
  }
}

function unpack<T>(answer: Answer<T>, call: string, path: string): T {
  if ("code" in answer) throw new FsError(answer.code, answer.reason, call, path);
  return answer.value;
}

function text(path: unknown): string {
  const written = String(path);
  return written.startsWith("file://") ? decodeURIComponent(written.slice("file://".length)) : written;
}

export function readFileSync(path: unknown, options?: Encoding): string | Uint8Array {
  const encoding = typeof options === "string" ? options : options?.encoding;
  return encoding == null
    ? new Bytes(unpack(host.read(text(path)), "open", text(path)))
    : unpack(host.readText(text(path)), "open", text(path));
}

export function existsSync(path: unknown): boolean {
  const answer = host.stat(text(path), true);
  if ("code" in answer && answer.code === "EOUTSIDE") unpack(answer, "access", text(path));
  return "value" in answer;
}

export function accessSync(path: unknown): void {
  unpack(host.stat(text(path), true), "access", text(path));
}

export function statSync(path: unknown, options: { throwIfNoEntry?: boolean } = {}): Stats | undefined {
  return stats(path, true, options.throwIfNoEntry !== false);
}

export function lstatSync(path: unknown, options: { throwIfNoEntry?: boolean } = {}): Stats | undefined {
  return stats(path, false, options.throwIfNoEntry !== false);
}

export function realpathSync(path: unknown): string {
  return unpack(host.real(text(path)), "realpath", text(path));
}

export function readdirSync(
  path: unknown,
  options: { withFileTypes?: boolean; recursive?: boolean } | string | null = {},
): (string | Entry)[] {
  const { withFileTypes = false, recursive = false } = typeof options === "object" ? (options ?? {}) : {};
  const found: (string | Entry)[] = [];
  const walk = (folder: string, prefix: string): void => {
    for (const [name, kind] of unpack(host.list(folder), "scandir", folder)) {
      found.push(withFileTypes ? new Entry(name, folder, kind) : prefix + name);
      if (recursive && kind === "directory") walk(`${folder}/${name}`, `${prefix}${name}/`);
    }
  };
  walk(text(path), "");
  return found;
}

function stats(path: unknown, follow: boolean, required: boolean): Stats | undefined {
  const answer = host.stat(text(path), follow);
  if (!required && "code" in answer && answer.code === "ENOENT") return undefined;
  const [kind, size, mode] = unpack(answer, follow ? "stat" : "lstat", text(path));
  return new Stats(kind, size, mode);
}

function refuse(name: string): () => never {
  return () => {
    throw new Error(
      `hm: fs.${name} is not offered to pipelines, which only read\n  fix: do it in a step, or set HM_TS_RUNTIME=node`,
    );
  };
}

export const writeFileSync = refuse("writeFileSync");
export const appendFileSync = refuse("appendFileSync");
export const mkdirSync = refuse("mkdirSync");
export const rmSync = refuse("rmSync");
export const unlinkSync = refuse("unlinkSync");
export const copyFileSync = refuse("copyFileSync");
export const renameSync = refuse("renameSync");

export const promises = {
  readFile: async (path: unknown, options?: Encoding) => readFileSync(path, options),
  access: async (path: unknown) => accessSync(path),
  stat: async (path: unknown) => statSync(path),
  lstat: async (path: unknown) => lstatSync(path),
  realpath: async (path: unknown) => realpathSync(path),
  readdir: async (path: unknown, options?: { withFileTypes?: boolean; recursive?: boolean }) => readdirSync(path, options),
};

export default {
  readFileSync,
  existsSync,
  accessSync,
  statSync,
  lstatSync,
  realpathSync,
  readdirSync,
  writeFileSync,
  appendFileSync,
  mkdirSync,
  rmSync,
  unlinkSync,
  copyFileSync,
  renameSync,
  promises,
};
