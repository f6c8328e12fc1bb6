// Python projects with uv.

import { onChange } from "../cache.js";
import { refuseUnknown, show, wrong } from "../errors.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import { action, bare, baseStep, install, type InstallOptions, isVersion, refuse, take, within } from "./chain.js";

const TAG = "python";

/** What `python` takes. */
export interface PythonOptions extends InstallOptions {
  readonly path?: string;
  /** `latest` or a version of uv. */
  readonly uvVersion?: string;
}

/** What `py.uv` takes. */
export interface UvOptions extends InstallOptions {
  readonly path?: string;
  /** `latest` or a version of uv. */
  readonly version?: string;
}

export type TypecheckOptions = StepOptions & { readonly paths?: string | readonly string[] };

/** A machine with uv and the project at `path` synced. */
export class PythonToolchain {
  readonly path: string;
  readonly installed: Step;

  constructor(path: string, installed: Step) {
    this.path = path;
    this.installed = installed;
  }

  /** The step that syncs the project. */
  install(): Step {
    return this.installed;
  }

  /** `uv run pytest` */
  test(options: StepOptions = {}): Step {
    return this.act("test", "uv run pytest", options);
  }

  /** `uv run ruff check .` */
  lint(options: StepOptions = {}): Step {
    return this.act("lint", "uv run ruff check .", options);
  }

  /** Fails when a file is not formatted. */
  fmt(options: StepOptions = {}): Step {
    return this.act("fmt", "uv run ruff format --check .", options);
  }

  /** `uv run ty check`, of everything or of `paths`. */
  typecheck(options: TypecheckOptions = {}): Step {
    const [{ paths }, rest] = take(options, { paths: "." as string | readonly string[] });
    const chosen = typeof paths === "string" ? [paths] : paths;
    return this.act("typecheck", `uv run ty check ${chosen.map(quote).join(" ")}`, rest);
  }

  /** What the toolchain stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return [this.test(), this.lint(), this.fmt()];
  }

  /** @internal */
  protected act(name: string, cmd: string, options: StepOptions): Step {
    return action(this.installed, TAG, name, within(this.path, cmd), options);
  }
}

/** A project of `py.uv`, with what uv does beside running tools. */
export class UvProject extends PythonToolchain {
  /** `uv run CMD`, where `cmd` is a command line of its own. */
  run(cmd: string, options: StepOptions = {}): Step {
    const name = typeof cmd === "string" ? cmd.trim().split(/\s+/)[0] : undefined;
    if (!name) throw wrong(`hm.py.uv: run needs a command, got ${show(cmd)}`);
    return this.act(name, `uv run ${cmd}`, options);
  }

  /** `uv build` */
  build(options: StepOptions = {}): Step {
    return this.act("build", "uv build", options);
  }

  /** Fails when uv.lock does not belong to pyproject.toml. */
  lockCheck(options: StepOptions = {}): Step {
    return this.act("lock-check", "uv lock --check", options);
  }

  /** `uv publish` */
  publish(options: StepOptions = {}): Step {
    return this.act("publish", "uv publish", options);
  }

  /** What the project stands for as a leaf. */
  override defaultActions(): readonly Step[] {
    return [this.test()];
  }
}

function synced(toolchain: string, option: string, path: string, version: string, options: InstallOptions): Step {
  if (version !== "latest" && !isVersion(version, [3])) {
    throw refuse(toolchain, option, version, 'use "latest" or a version like "0.5.1"');
  }
  const pinned = version === "latest" ? "" : `/${version}`;
  const uv = install(
    baseStep(TAG, "curl ca-certificates python3 python3-venv", options),
    TAG,
    "uv-install",
    `curl -LsSf https://astral.sh/uv${pinned}/install.sh | sh` +
      " && ln -sf /root/.local/bin/uv /usr/local/bin/uv && uv --version",
  );
  return uv.sh(within(path, "uv sync --all-extras"), {
    label: `:${TAG}: uv-sync`,
    cache: onChange(`${path}/uv.lock`, `${path}/pyproject.toml`),
  });
}

function makePython(options: PythonOptions = {}): PythonToolchain {
  refuseUnknown(options, ["path", "uvVersion", "image", "base"], "hm.python");
  const { path = ".", uvVersion = "latest" } = options;
  return new PythonToolchain(path, synced("python", "uvVersion", path, uvVersion, options));
}

function makeUv(options: UvOptions = {}): UvProject {
  refuseUnknown(options, ["path", "version", "image", "base"], "hm.py.uv");
  const { path = ".", version = "latest" } = options;
  return new UvProject(path, synced("py.uv", "version", path, version, options));
}

/** `python({ path })` and the bare form `python.test({ path })`. */
export const python = Object.assign(
  makePython,
  bare(makePython, ["path", "uvVersion", "image", "base"], ["test", "lint", "fmt", "typecheck"]),
);

/** `py.uv({ path })` and the bare form `py.uv.run("cmd", { path })`. */
export const uv = Object.assign(
  makeUv,
  bare(
    makeUv,
    ["path", "version", "image", "base"],
    ["test", "lint", "fmt", "typecheck", "run", "build", "lockCheck", "publish"],
  ),
);

/** Ways to work with Python projects. */
export const py = { uv } as const;
