// Elm with its tools, from npm.

import { refuseUnknown } from "../errors.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import { bare, baseStep, install, type InstallOptions, isVersion, refuse, take } from "./chain.js";
import { dependencies, Project } from "./project.js";

const TAG = "elm";
const PACKAGES = "curl ca-certificates git";

/** What `elm` takes. */
export interface ElmOptions extends InstallOptions {
  readonly path?: string;
  /** The module that an application starts with, `src/Main.elm` by default; null is for a package. */
  readonly main?: string | null;
  /** A version such as `0.19.1-6`. */
  readonly version?: string;
  /** `22` by default. */
  readonly nodeVersion?: string;
}

/** A machine with Elm and the packages of the project at `path`. */
export class ElmProject extends Project {
  protected readonly tag = TAG;
  readonly main: string | null;

  constructor(path: string, main: string | null, installed: Step) {
    super(path, installed);
    this.main = main;
  }

  /** `elm make --optimize` into `output`; of a package, `elm make`. */
  build(options: StepOptions & { readonly output?: string } = {}): Step {
    const [{ output }, rest] = take(options, { output: "/dev/null" });
    if (this.main === null) return this.act("build", "elm make", rest);
    return this.act("build", `elm make ${quote(this.main)} --optimize --output=${quote(output)}`, rest);
  }

  /** `elm-test` */
  test(options: StepOptions = {}): Step {
    return this.act("test", "elm-test", options);
  }

  /** Fails when a file is not formatted. */
  fmt(options: StepOptions = {}): Step {
    return this.act("fmt", "elm-format --validate src", options);
  }

  /** `elm-review`, with the rules of the project. */
  review(options: StepOptions = {}): Step {
    return this.act("review", "elm-review", options);
  }

  defaultActions(): readonly Step[] {
    return [this.build(), this.test(), this.fmt()];
  }
}

function make(options: ElmOptions = {}): ElmProject {
  refuseUnknown(options, ["path", "main", "version", "nodeVersion", "image", "base"], "hm.elm");
  const { path = ".", main = "src/Main.elm", version = "0.19.1-6", nodeVersion = "22" } = options;
  const [number, revision, ...more] = typeof version === "string" ? version.split("-") : [];
  if (!isVersion(number, [3]) || !isVersion(revision ?? "0", [1]) || more.length > 0) {
    throw refuse("elm", "version", version, 'use a version like "0.19.1-6"');
  }
  if (!isVersion(nodeVersion, [1])) throw refuse("elm", "nodeVersion", nodeVersion, 'use a number like "22"');
  if (main !== null && (typeof main !== "string" || main === "")) {
    throw refuse("elm", "main", main, "name the module's file, or null for a package");
  }
  const node = install(
    baseStep(TAG, PACKAGES, options),
    TAG,
    "node-install",
    `curl -fsSL https://deb.nodesource.com/setup_${nodeVersion}.x | bash - && apt-get install -y nodejs`,
  );
  const installed = install(
    node,
    TAG,
    "install",
    // npm has the compiler for x86_64 only; the distribution has it for other machines, in its own version.
    `if [ $(uname -m) = x86_64 ]; then npm install --global elm@${version}; else apt-get install -y elm-compiler; fi` +
      " && npm install --global elm-test elm-format elm-review && elm --version",
  );
  // Elm has no command that only fetches packages.
  const fetch = main === null ? "elm make" : `elm make ${quote(main)} --output=/dev/null`;
  return new ElmProject(path, main, dependencies(installed, TAG, "deps", path, fetch, ["elm.json"]));
}

/** `elm({ path })` and the bare form `elm.test({ path })`. */
export const elm = Object.assign(
  make,
  bare(make, ["path", "main", "version", "nodeVersion", "image", "base"], ["build", "test", "fmt", "review"]),
);
