// Zig from its release tarball.

import { refuseUnknown } from "../errors.js";
import type { Step, StepOptions } from "../step.js";
import { action, bare, baseStep, install, type InstallOptions, isVersion, refuse, within } from "./chain.js";

const MACHINE = "$(uname -m)";

/** What `zig` takes. */
export interface ZigOptions extends InstallOptions {
  /** With a path it is a project, without one a toolchain. */
  readonly path?: string;
  /** A version such as `0.14.1`. */
  readonly version?: string;
}

/** A machine with Zig. */
export class ZigToolchain {
  readonly version: string;
  readonly installed: Step;

  constructor(version: string, installed: Step) {
    this.version = version;
    this.installed = installed;
  }

  /** The step that installs Zig. */
  install(): Step {
    return this.installed;
  }

  /** A project at `path` on this machine. */
  project(path = "."): ZigProject {
    return new ZigProject(path, this.installed);
  }

  /** What the toolchain stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return this.project().defaultActions();
  }
}

/** A machine with Zig and a project at `path`. */
export class ZigProject {
  readonly path: string;
  readonly installed: Step;

  constructor(path: string, installed: Step) {
    this.path = path;
    this.installed = installed;
  }

  /** The step that installs Zig. */
  install(): Step {
    return this.installed;
  }

  /** `zig build` */
  build(options: StepOptions = {}): Step {
    return this.#act("build", "zig build", options);
  }

  /** `zig build test` */
  test(options: StepOptions = {}): Step {
    return this.#act("test", "zig build test", options);
  }

  /** Fails when a file is not formatted. */
  fmt(options: StepOptions = {}): Step {
    return this.#act("fmt", "zig fmt --check .", options);
  }

  /** What the project stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return [this.build(), this.test(), this.fmt()];
  }

  #act(name: string, cmd: string, options: StepOptions): Step {
    return action(this.installed, "zig", `${this.path} ${name}`, within(this.path, cmd), options);
  }
}

function make(options: ZigOptions & { readonly path: string }): ZigProject;
function make(options?: ZigOptions): ZigToolchain;
function make(options: ZigOptions = {}): ZigToolchain | ZigProject {
  refuseUnknown(options, ["path", "version", "image", "base"], "hm.zig");
  const { path, version = "0.14.1" } = options;
  if (!isVersion(version, [3])) throw refuse("zig", "version", version, 'use a version like "0.14.1"');
  const target = hasProcessorFirst(version) ? `${MACHINE}-linux` : `linux-${MACHINE}`;
  const tarball = `https://ziglang.org/download/${version}/zig-${target}-${version}.tar.xz`;
  const installed = install(
    baseStep("zig", "curl ca-certificates xz-utils", options),
    "zig",
    "install",
    `curl -fsSL ${tarball} -o /tmp/zig.tar.xz && rm -rf /usr/local/zig && mkdir -p /usr/local/zig` +
      " && tar -xJf /tmp/zig.tar.xz -C /usr/local/zig --strip-components=1" +
      " && ln -sf /usr/local/zig/zig /usr/local/bin/zig && zig version",
  );
  const toolchain = new ZigToolchain(version, installed);
  return path == null ? toolchain : toolchain.project(path);
}

/** From 0.14.1 on the name of the tarball has the processor first. */
function hasProcessorFirst(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  return major > 0 || minor > 14 || (minor === 14 && patch >= 1);
}

function project(options: ZigOptions = {}): ZigProject {
  return make({ ...options, path: options.path ?? "." });
}

/** `zig({ path })` is a project, `zig()` a toolchain, `zig.test({ path })` the bare form. */
export const zig = Object.assign(
  make,
  bare(project, ["path", "version", "image", "base"], ["build", "test", "fmt"]),
);
