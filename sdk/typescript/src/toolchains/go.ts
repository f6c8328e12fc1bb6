// Go from its release tarball.

import { refuseUnknown } from "../errors.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import { action, bare, baseStep, install, type InstallOptions, isVersion, refuse, within } from "./chain.js";

const MACHINE = "$(uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')";

/** What `go` takes. */
export interface GoOptions extends InstallOptions {
  readonly path?: string;
  /** A version such as `1.23.2`. */
  readonly version?: string;
}

/** A machine with Go and a module at `path`. */
export class GoToolchain {
  readonly path: string;
  readonly installed: Step;

  constructor(path: string, installed: Step) {
    this.path = path;
    this.installed = installed;
  }

  /** The step that installs Go. */
  install(): Step {
    return this.installed;
  }

  /** `go build ./...` */
  build(options: StepOptions = {}): Step {
    return this.#act("build", "go build ./...", options);
  }

  /** `go test ./...` */
  test(options: StepOptions = {}): Step {
    return this.#act("test", "go test ./...", options);
  }

  /** `go vet ./...` */
  vet(options: StepOptions = {}): Step {
    return this.#act("vet", "go vet ./...", options);
  }

  /** Fails when a file is not formatted. */
  fmt(options: StepOptions = {}): Step {
    return this.#act("fmt", 'test -z "$(gofmt -l .)"', options);
  }

  /** What the toolchain stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return [this.test(), this.vet(), this.fmt()];
  }

  #act(name: string, cmd: string, options: StepOptions): Step {
    return action(this.installed, "go", name, within(this.path, cmd), options);
  }
}

function make(options: GoOptions = {}): GoToolchain {
  refuseUnknown(options, ["path", "version", "image", "base"], "hm.go");
  const { path = ".", version = "1.23.2" } = options;
  if (!isVersion(version, [2, 3])) throw refuse("go", "version", version, 'use a version like "1.23.2"');
  const tarball = `https://go.dev/dl/go${quote(version)}.linux-${MACHINE}.tar.gz`;
  const installed = install(
    baseStep("go", "curl ca-certificates git", options),
    "go",
    "install",
    `curl -fsSL ${tarball} -o /tmp/go.tgz && rm -rf /usr/local/go && tar -C /usr/local -xzf /tmp/go.tgz` +
      " && ln -sf /usr/local/go/bin/go /usr/local/bin/go && ln -sf /usr/local/go/bin/gofmt /usr/local/bin/gofmt" +
      " && go version",
  );
  return new GoToolchain(path, installed);
}

/** `go({ path })` and the bare form `go.test({ path })`. */
export const go = Object.assign(
  make,
  bare(make, ["path", "version", "image", "base"], ["build", "test", "vet", "fmt"]),
);
