// Ruby from its sources, with bundler.

import { refuseUnknown } from "../errors.js";
import type { Step, StepOptions } from "../step.js";
import { bare, baseStep, install, type InstallOptions, isVersion, refuse } from "./chain.js";
import { dependencies, firstWord, Project } from "./project.js";

const TAG = "ruby";
const PACKAGES =
  "build-essential curl ca-certificates git libffi-dev libgmp-dev libssl-dev libyaml-dev pkg-config zlib1g-dev";
const RUBY_BUILD = "https://github.com/rbenv/ruby-build/archive/refs/heads/master.tar.gz";

/** What `ruby` takes. */
export interface RubyOptions extends InstallOptions {
  readonly path?: string;
  /** A version such as `3.3.6`. */
  readonly version?: string;
}

/** A machine with Ruby and the gems of the project at `path`. */
export class RubyProject extends Project {
  protected readonly tag = TAG;

  /** `bundle exec rspec` */
  test(options: StepOptions = {}): Step {
    return this.act("test", "bundle exec rspec", options);
  }

  /** `bundle exec rubocop` */
  lint(options: StepOptions = {}): Step {
    return this.act("lint", "bundle exec rubocop", options);
  }

  /** Fails when a file is not formatted: the layout cops of rubocop. */
  fmt(options: StepOptions = {}): Step {
    return this.act("fmt", "bundle exec rubocop --only Layout", options);
  }

  /** `bundle exec CMD`, where `cmd` is a command line of its own: `project.run("rake build")`. */
  run(cmd: string, options: StepOptions = {}): Step {
    return this.act(firstWord(cmd, "ruby: run needs a command"), `bundle exec ${cmd}`, options);
  }

  defaultActions(): readonly Step[] {
    return [this.test(), this.lint()];
  }
}

function make(options: RubyOptions = {}): RubyProject {
  refuseUnknown(options, ["path", "version", "image", "base"], "hm.ruby");
  const { path = ".", version = "3.3.6" } = options;
  if (!isVersion(version, [3])) throw refuse("ruby", "version", version, 'use a version like "3.3.6"');
  const installed = install(
    baseStep(TAG, PACKAGES, options),
    TAG,
    "install",
    `mkdir -p /tmp/ruby-build && curl -fsSL ${RUBY_BUILD} | tar -xz -C /tmp/ruby-build --strip-components=1` +
      ` && /tmp/ruby-build/bin/ruby-build ${version} /usr/local && ruby --version && bundle --version`,
  );
  const watched = ["Gemfile.lock", "Gemfile", "*.gemspec"];
  const fetch = "bundle install --jobs $(nproc)";
  return new RubyProject(path, dependencies(installed, TAG, "bundle-install", path, fetch, watched));
}

/** `ruby({ path })` and the bare form `ruby.test({ path })`. */
export const ruby = Object.assign(
  make,
  bare(make, ["path", "version", "image", "base"], ["test", "lint", "fmt", "run"]),
);
