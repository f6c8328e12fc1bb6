// `node:path` for POSIX paths, which are the only ones here.

export const sep = "/";
export const delimiter = ":";

interface Parsed {
  root: string;
  dir: string;
  base: string;
  ext: string;
  name: string;
}

export function isAbsolute(path: string): boolean {
  return path.startsWith("/");
}

export function normalize(path: string): string {
  if (path === "") return ".";
  const absolute = isAbsolute(path);
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!absolute) kept.push(part);
  }
  const joined = kept.join("/");
  const ended = joined !== "" && path.endsWith("/") ? `${joined}/` : joined;
  return absolute ? `/${ended}` : ended === "" ? (path.endsWith("/") ? "./" : ".") : ended;
}

export function join(...parts: string[]): string {
  return normalize(parts.filter((part) => part !== "").join("/"));
}

export function resolve(...parts: string[]): string {
  let resolved = "";
  for (const part of [process.cwd(), ...parts]) {
    if (part !== "") resolved = isAbsolute(part) ? part : `${resolved}/${part}`;
  }
  const normal = normalize(resolved);
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}

export function relative(from: string, to: string): string {
  const start = resolve(from).split("/").filter(Boolean);
  const end = resolve(to).split("/").filter(Boolean);
  let shared = 0;
  while (shared < start.length && shared < end.length && start[shared] === end[shared]) shared++;
  return [...start.slice(shared).map(() => ".."), ...end.slice(shared)].join("/");
}

export function dirname(path: string): string {
  const trimmed = withoutEnd(path);
  const cut = trimmed.lastIndexOf("/");
  if (cut < 0) return path.startsWith("/") ? "/" : ".";
  return cut === 0 ? "/" : withoutEnd(trimmed.slice(0, cut)) || "/";
}

export function basename(path: string, suffix = ""): string {
  const trimmed = withoutEnd(path);
  const base = trimmed.slice(trimmed.lastIndexOf("/") + 1);
  return suffix !== "" && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
}

export function extname(path: string): string {
  const base = basename(path);
  const dot = base.lastIndexOf(".");
  return dot <= 0 || base === ".." ? "" : base.slice(dot);
}

export function parse(path: string): Parsed {
  const base = basename(path);
  const ext = extname(path);
  const dir = withoutEnd(path).includes("/") ? dirname(path) : "";
  return {
    root: isAbsolute(path) ? "/" : "",
    dir,
    base,
    ext,
    name: ext === "" ? base : base.slice(0, -ext.length),
  };
}

export function format(parts: Partial<Parsed>): string {
  const base = parts.base ?? `${parts.name ?? ""}${parts.ext ?? ""}`;
  const dir = parts.dir ?? parts.root ?? "";
  return dir === "" ? base : dir.endsWith("/") ? dir + base : `${dir}/${base}`;
}

function withoutEnd(path: string): string {
  return path.replace(/\/+$/, "");
}

declare const process: { cwd(): string };

const functions = { sep, delimiter, isAbsolute, normalize, join, resolve, relative, dirname, basename, extname, parse, format };

export const posix = functions;
export default { ...functions, posix };
