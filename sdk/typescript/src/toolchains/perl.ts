// Perl of the distribution, with cpanm.

import { refuseUnknown } from "../errors.js";
import type { Step, StepOptions } from "../step.js";
import { bare, baseStep, install, type InstallOptions, take, words } from "./chain.js";
import { dependencies, Project } from "./project.js";

const TAG = "perl";
const PACKAGES = "build-essential curl ca-certificates libperl-critic-perl libssl-dev perl zlib1g-dev";

/** What `perl` takes; the image chooses the version of Perl. */
export interface PerlOptions extends InstallOptions {
  readonly path?: string;
}

/** A machine with cpanm and the dependencies of the project at `path`. */
export class PerlProject extends Project {
  protected readonly tag = TAG;

  /** `prove -lr t`, with more `flags` before the folder. */
  test(options: StepOptions & { readonly flags?: readonly string[] } = {}): Step {
    const [{ flags }, rest] = take(options, { flags: [] as readonly string[] });
    return this.act("test", ["prove", "-lr", ...words(flags, "flags"), "t"].join(" "), rest);
  }

  /** `perlcritic .` */
  lint(options: StepOptions = {}): Step {
    return this.act("lint", "perlcritic .", options);
  }

  defaultActions(): readonly Step[] {
    return [this.test()];
  }
}

function make(options: PerlOptions = {}): PerlProject {
  refuseUnknown(options, ["path", "image", "base"], "hm.perl");
  const { path = "." } = options;
  const installed = install(
    baseStep(TAG, PACKAGES, options),
    TAG,
    "cpanm-install",
    "curl -fsSL https://cpanmin.us | perl - App::cpanminus && cpanm --version",
  );
  const watched = ["cpanfile.snapshot", "cpanfile", "Makefile.PL", "Build.PL"];
  return new PerlProject(path, dependencies(installed, TAG, "deps", path, "cpanm --notest --installdeps .", watched));
}

/** `perl({ path })` and the bare form `perl.test({ path })`. */
export const perl = Object.assign(make, bare(make, ["path", "image", "base"], ["test", "lint"]));
