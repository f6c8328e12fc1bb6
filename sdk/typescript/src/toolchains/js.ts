// JavaScript and TypeScript projects with Node, Bun or Deno.

import { onChange } from "../cache.js";
import { refuseUnknown, show, wrong } from "../errors.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import { action, baseStep, install, type InstallOptions, isVersion, refuse, within } from "./chain.js";
import { detect, type Detected, hasFile } from "./js_detect.js";

/** What installs the dependencies. */
export type PackageManager = "npm" | "pnpm" | "yarn-classic" | "yarn-berry" | "bun";
/** What runs the scripts. */
export type Runtime = "node" | "bun" | "deno";

/** What `js.project` takes. */
export interface JsOptions extends InstallOptions {
  readonly path?: string;
  readonly pm?: PackageManager;
  readonly runtime?: Runtime;
  /** Of the runtime; a major version for Node. */
  readonly version?: string;
}

interface Manager {
  /** Installs the dependencies. */
  readonly command: string;
  readonly lock: string;
  /** Comes before a script's name. */
  readonly run: string;
}

const BUN = "curl -fsSL https://bun.sh/install | BUN_INSTALL=/usr/local bash";
const DENO = "curl -fsSL https://deno.land/install.sh | sh";
const NODE_VERSION = "22";
const MANAGERS: Readonly<Record<PackageManager | "deno", Manager>> = {
  npm: { command: "npm ci", lock: "package-lock.json", run: "npm run" },
  pnpm: { command: "pnpm install --frozen-lockfile", lock: "pnpm-lock.yaml", run: "pnpm run" },
  "yarn-classic": { command: "yarn install --frozen-lockfile", lock: "yarn.lock", run: "yarn run" },
  "yarn-berry": { command: "yarn install --immutable", lock: "yarn.lock", run: "yarn run" },
  bun: { command: "bun install --frozen-lockfile", lock: "bun.lock", run: "bun run" },
  deno: { command: "deno install", lock: "deno.lock", run: "deno task" },
};
const NOTHING: Detected = { runtime: null, pm: null, pinned: null };

/** A machine with a runtime and the dependencies of the project at `path`. */
export class JsProject {
  readonly path: string;
  readonly installed: Step;
  readonly runPrefix: string;
  readonly tag: string;

  constructor(path: string, installed: Step, runPrefix: string, tag: string) {
    this.path = path;
    this.installed = installed;
    this.runPrefix = runPrefix;
    this.tag = tag;
  }

  /** The step that installs the dependencies. */
  install(): Step {
    return this.installed;
  }

  /** Runs a script of package.json, or a task of deno. */
  run(script: string, options: StepOptions = {}): Step {
    if (typeof script !== "string" || script === "") {
      throw wrong(`hm.js: run needs the name of a script, got ${show(script)}`);
    }
    return action(this.installed, this.tag, script, within(this.path, `${this.runPrefix} ${quote(script)}`), options);
  }

  /** What the project stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return [this.install()];
  }
}

/**
 * Installs the runtime, the package manager and the dependencies.
 *
 * What is not given comes from package.json (`engines`, `packageManager`), then from the lock file that is there; otherwise
 * Node 22 and npm.
 */
function project(options: JsOptions = {}): JsProject {
  refuseUnknown(options, ["path", "pm", "runtime", "version", "image", "base"], "hm.js.project");
  const { path = ".", pm, version } = options;
  const found = pm === undefined || options.runtime === undefined ? detect(path) : NOTHING;
  const runtime = options.runtime ?? (pm !== undefined ? "node" : (found.runtime ?? "node"));
  const manager = chooseManager(runtime, pm, found);
  const needsUnzip = runtime !== "node" || manager === "bun";
  let step = baseStep(runtime, needsUnzip ? "curl ca-certificates unzip" : "curl ca-certificates", options);
  step = install(step, runtime, "install", runtimeCommand(runtime, version));
  if (runtime === "node" && manager !== "npm") {
    step = withManager(step, manager, pm === undefined ? found.pinned : null, path);
  }
  const { command, run } = MANAGERS[manager];
  let { lock } = MANAGERS[manager];
  if (manager === "bun" && hasFile(path, "bun.lockb") && !hasFile(path, "bun.lock")) lock = "bun.lockb";
  const deps = step.sh(within(path, command), { label: `:${runtime}: deps`, cache: onChange(`${path}/${lock}`) });
  return new JsProject(path, deps, run, runtime);
}

function chooseManager(runtime: Runtime, pm: PackageManager | undefined, found: Detected): PackageManager | "deno" {
  if (!["node", "bun", "deno"].includes(runtime)) {
    throw refuse("js", "runtime", runtime, 'use "node", "bun" or "deno"');
  }
  const known = Object.keys(MANAGERS).filter((name) => name !== "deno");
  if (pm !== undefined && !known.includes(pm)) {
    throw refuse("js", "pm", pm, `use one of ${known.map((name) => `"${name}"`).join(", ")}`);
  }
  if (runtime === "node") return pm ?? found.pm ?? "npm";
  if (pm !== undefined && pm !== runtime) {
    throw wrong(`hm.js: runtime "${runtime}" has its own package manager`, "leave pm out");
  }
  return runtime;
}

function runtimeCommand(runtime: Runtime, version: string | undefined): string {
  if (runtime === "node") {
    const major = (version ?? NODE_VERSION).replace(/\.x$/, "");
    if (!isVersion(major, [1])) throw refuse("js", "version", version, 'use a major version of Node such as "22"');
    return `curl -fsSL https://deb.nodesource.com/setup_${major}.x | bash - && apt-get install -y nodejs`;
  }
  if (version !== undefined && !isVersion(version, [2, 3])) {
    throw refuse("js", "version", version, 'use a version such as "1.2" or "1.2.0"');
  }
  if (runtime === "bun") return version === undefined ? BUN : `${BUN} -s "bun-v${version}"`;
  const deno = version === undefined ? DENO : `${DENO} -s "v${version}"`;
  return `${deno} && ln -sf $HOME/.deno/bin/deno /usr/local/bin/deno`;
}

function withManager(step: Step, manager: PackageManager | "deno", pinned: string | null, path: string): Step {
  let command = manager === "pnpm" ? "corepack enable pnpm" : "corepack enable";
  if (manager === "bun") {
    command = BUN;
  } else if (pinned !== null) {
    command = `corepack enable ${pinned.split("@")[0]} && corepack install -g ${quote(pinned)}`;
  }
  if (pinned === null) return install(step, "node", manager, command);
  return step.sh(command, { label: `:node: ${manager}`, cache: onChange(`${path}/package.json`) });
}

/** `js.project(...)` */
export const js = { project } as const;
/** The same as `js`. */
export const ts = js;
