// OCaml from opam, built by dune.

import { refuseUnknown } from "../errors.js";
import type { Env } from "../options.js";
import type { Step, StepOptions } from "../step.js";
import { bare, baseStep, install, type InstallOptions, isVersion, refuse, words } from "./chain.js";
import { dependencies, firstWord, Project } from "./project.js";

const TAG = "ocaml";
const PACKAGES = "build-essential bzip2 curl ca-certificates git m4 patch pkg-config rsync unzip";
const ENV: Env = { OPAMYES: "1", OPAMROOTISOK: "1" };
const OPAM =
  "https://github.com/ocaml/opam/releases/download/2.3.0/opam-2.3.0-$(uname -m | sed 's/aarch64/arm64/')-linux";

/** What `ocaml` takes. */
export interface OCamlOptions extends InstallOptions {
  readonly path?: string;
  /** A version such as `5.2.1`. */
  readonly version?: string;
}

/** A machine with opam, dune and the dependencies of the project at `path`. */
export class OCamlProject extends Project {
  protected readonly tag = TAG;

  /** `dune build` */
  build(options: StepOptions = {}): Step {
    return this.#dune("build", "build", options);
  }

  /** `dune runtest` */
  test(options: StepOptions = {}): Step {
    return this.#dune("test", "runtest", options);
  }

  /** Fails when a file is not formatted; the project depends on ocamlformat. */
  fmt(options: StepOptions = {}): Step {
    return this.#dune("fmt", "build @fmt", options);
  }

  /** `dune build @doc`; the project depends on odoc. */
  doc(options: StepOptions = {}): Step {
    return this.#dune("doc", "build @doc", options);
  }

  /** Any command of dune, with its arguments: `project.dune("exec bin/main.exe")`. */
  dune(target: string, options: StepOptions = {}): Step {
    const name = firstWord(target, "ocaml: dune needs a command");
    return this.#dune(name, words([target], "target").join(" "), options);
  }

  defaultActions(): readonly Step[] {
    return [this.build(), this.test()];
  }

  #dune(name: string, command: string, options: StepOptions): Step {
    return this.act(name, `opam exec -- dune ${command}`, options);
  }
}

function make(options: OCamlOptions = {}): OCamlProject {
  refuseUnknown(options, ["path", "version", "image", "base"], "hm.ocaml");
  const { path = ".", version = "5.2.1" } = options;
  if (!isVersion(version, [3])) throw refuse("ocaml", "version", version, 'use a version like "5.2.1"');
  const installed = install(
    baseStep(TAG, PACKAGES, options),
    TAG,
    "opam-install",
    `curl -fsSL ${OPAM} -o /usr/local/bin/opam && chmod +x /usr/local/bin/opam` +
      ` && opam init --bare --disable-sandboxing --no-setup && opam switch create default ${version}` +
      " && opam install dune && opam exec -- ocaml -version",
    ENV,
  );
  const watched = ["*.opam.locked", "*.opam", "dune-project"];
  const fetch = "opam install . --deps-only --with-test";
  return new OCamlProject(path, dependencies(installed, TAG, "deps", path, fetch, watched, ENV), ENV);
}

/** `ocaml({ path })` and the bare form `ocaml.test({ path })`. */
export const ocaml = Object.assign(
  make,
  bare(make, ["path", "version", "image", "base"], ["build", "test", "fmt", "doc", "dune"]),
);
