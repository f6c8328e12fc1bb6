// What a JavaScript project's files say about its runtime and package manager.

import { existsSync, readFileSync } from "node:fs";

import type { PackageManager, Runtime } from "./js.js";

/** What was found; null where the files say nothing. */
export interface Detected {
  readonly runtime: Runtime | null;
  readonly pm: PackageManager | null;
  /** The package manager with its version, as `packageManager` has it. */
  readonly pinned: string | null;
}

/** The first file that is there decides. A lock file of bun or deno alone also names the runtime. */
const LOCK_FILES: readonly (readonly [string, PackageManager | "deno"])[] = [
  ["bun.lock", "bun"],
  ["bun.lockb", "bun"],
  ["pnpm-lock.yaml", "pnpm"],
  ["deno.lock", "deno"],
  ["yarn.lock", "yarn-classic"],
  ["package-lock.json", "npm"],
];

/** Reads package.json and looks for lock files in `path`, relative to the repository. */
export function detect(path: string): Detected {
  const written = readPackage(path);
  const engines = written["engines"];
  const engine =
    engines !== null && typeof engines === "object" && !Array.isArray(engines)
      ? ((["bun", "deno", "node"] as const).find((name) => name in engines) ?? null)
      : null;
  const [pm, pinned] = packageManager(written["packageManager"]);
  const lock = LOCK_FILES.find(([name]) => hasFile(path, name))?.[1] ?? null;
  let runtime: Runtime | null = engine;
  if (engine === null && (lock === "deno" || (lock === "bun" && (pm === null || pm === "bun")))) runtime = lock;
  return { runtime, pm: pm ?? (lock === "deno" ? null : lock), pinned };
}

/** Whether the project has that file. */
export function hasFile(path: string, name: string): boolean {
  return existsSync(`${path}/${name}`);
}

function readPackage(path: string): Readonly<Record<string, unknown>> {
  try {
    const written: unknown = JSON.parse(readFileSync(`${path}/package.json`, "utf8"));
    return written !== null && typeof written === "object" && !Array.isArray(written)
      ? (written as Record<string, unknown>)
      : {};
  } catch {
    return {};
  }
}

/** `pnpm@9.1.0` is pnpm, pinned. */
function packageManager(value: unknown): [PackageManager | null, string | null] {
  if (typeof value !== "string") return [null, null];
  const at = value.indexOf("@");
  const version = at < 0 ? "" : value.slice(at + 1);
  let name = at < 0 ? value : value.slice(0, at);
  if (name === "yarn") name = /^[0-9]+$/.test(version.split(".")[0] ?? "") && Number.parseInt(version) >= 2 ? "yarn-berry" : "yarn-classic";
  if (!["npm", "pnpm", "yarn-classic", "yarn-berry", "bun"].includes(name)) return [null, null];
  return [name as PackageManager, version === "" ? null : value];
}
