// Haskell from ghcup, with cabal or stack.

import { refuseUnknown } from "../errors.js";
import type { Step, StepOptions } from "../step.js";
import { bare, baseStep, install, type InstallOptions, isVersion, refuse } from "./chain.js";
import { dependencies, Project } from "./project.js";

const TAG = "haskell";
const PACKAGES =
  "build-essential curl ca-certificates git libffi-dev libgmp-dev libncurses-dev pkg-config xz-utils zlib1g-dev";
const GHCUP = "https://downloads.haskell.org/~ghcup/$(uname -m)-linux-ghcup";
const PREFIX = "/usr/local";
const GHC = "9.8.4";
const CABAL = "3.12.1.0";
const STACK = "3.1.1";
const WATCHED = {
  cabal: ["cabal.project.freeze", "cabal.project", "**/*.cabal"],
  stack: ["stack.yaml.lock", "stack.yaml", "**/package.yaml", "**/*.cabal"],
};
const FETCH = {
  cabal: "cabal update && cabal build all --enable-tests --only-dependencies",
  stack: "stack build --test --only-dependencies",
};

/** What `haskell` takes. */
export interface HaskellOptions extends InstallOptions {
  readonly path?: string;
  /** `cabal` by default. */
  readonly tool?: "cabal" | "stack";
  /** A version such as `9.8.4`; stack takes the one of its snapshot. */
  readonly ghcVersion?: string;
}

/** A machine with cabal or stack and the dependencies of the project at `path`. */
export class HaskellProject extends Project {
  protected readonly tag = TAG;
  readonly tool: "cabal" | "stack";

  constructor(path: string, tool: "cabal" | "stack", installed: Step) {
    super(path, installed);
    this.tool = tool;
  }

  /** `cabal build all` or `stack build` */
  build(options: StepOptions = {}): Step {
    return this.act("build", this.#with("cabal build all --enable-tests", "stack build --test --no-run-tests"), options);
  }

  /** `cabal test all` or `stack test` */
  test(options: StepOptions = {}): Step {
    return this.act("test", this.#with("cabal test all", "stack test"), options);
  }

  /** `cabal haddock all` or `stack haddock` */
  doc(options: StepOptions = {}): Step {
    return this.act("doc", this.#with("cabal haddock all", "stack haddock --no-haddock-deps"), options);
  }

  /** `cabal check`: whether the package could be published. With stack, `stack sdist --test-tarball` tells it. */
  check(options: StepOptions = {}): Step {
    return this.act("check", this.#with("cabal check", "stack sdist --test-tarball"), options);
  }

  defaultActions(): readonly Step[] {
    return [this.build(), this.test()];
  }

  #with(cabal: string, stack: string): string {
    return this.tool === "cabal" ? cabal : stack;
  }
}

function make(options: HaskellOptions = {}): HaskellProject {
  refuseUnknown(options, ["path", "tool", "ghcVersion", "image", "base"], "hm.haskell");
  const { path = ".", tool = "cabal", ghcVersion } = options;
  if (!Object.hasOwn(FETCH, tool)) throw refuse("haskell", "tool", tool, 'use "cabal" or "stack"');
  if (tool === "stack" && ghcVersion !== undefined) {
    throw refuse("haskell", "ghcVersion", ghcVersion, "leave it out: stack.yaml chooses the GHC of stack");
  }
  if (ghcVersion !== undefined && !isVersion(ghcVersion, [3])) {
    throw refuse("haskell", "ghcVersion", ghcVersion, 'use a version like "9.8.4"');
  }
  const tools = tool === "stack" ? [`stack ${STACK}`] : [`ghc ${ghcVersion ?? GHC}`, `cabal ${CABAL}`];
  const installed = install(
    baseStep(TAG, PACKAGES, options),
    TAG,
    `${tool}-install`,
    `curl -fsSL ${GHCUP} -o ${PREFIX}/bin/ghcup && chmod +x ${PREFIX}/bin/ghcup` +
      ` && export GHCUP_INSTALL_BASE_PREFIX=${PREFIX}` +
      ` && ${tools.map((each) => `ghcup install ${each} --set`).join(" && ")}` +
      ` && ln -sf ${PREFIX}/.ghcup/bin/* ${PREFIX}/bin/ && ${tool} --version`,
  );
  return new HaskellProject(path, tool, dependencies(installed, TAG, "deps", path, FETCH[tool], WATCHED[tool]));
}

/** `haskell({ path })` and the bare form `haskell.test({ path })`. */
export const haskell = Object.assign(
  make,
  bare(make, ["path", "tool", "ghcVersion", "image", "base"], ["build", "test", "doc", "check"]),
);
