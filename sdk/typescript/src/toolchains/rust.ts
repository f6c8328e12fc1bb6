// Rust through rustup.

import { type CachePolicy, onChange } from "../cache.js";
import { refuseUnknown } from "../errors.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import {
  cargoArguments,
  type CargoCompile,
  type CargoSelection,
  type CargoTargets,
  type Chosen,
  COMPILE,
  SELECTION,
  targetPrefix,
  TARGETS,
  type With,
} from "./cargo.js";
import { action, baseStep, below, install, type InstallOptions, refuse, take, within, words } from "./chain.js";

const TAG = "rust";
const ENV = ". $HOME/.cargo/env && ";

/** What `rust.toolchain` takes. */
export interface RustToolchainOptions extends InstallOptions {
  readonly path?: string;
  /** A channel such as `stable`, or a version; `stable` by default. */
  readonly version?: string;
  /** Components of rustup; clippy and rustfmt by default. */
  readonly components?: readonly string[];
}

/** What `rust.project` takes. */
export interface RustProjectOptions extends RustToolchainOptions {
  /** When the compiled workspace may be used again; as long as no source changes by default. */
  readonly cache?: CachePolicy;
}

export type RustTestOptions = With<CargoCompile & { readonly nextest?: boolean }>;
export type RustClippyOptions = With<
  CargoTargets & { readonly denyWarnings?: boolean; readonly extraLints?: readonly string[] }
>;
export type RustDocOptions = With<
  CargoSelection & { readonly noDeps?: boolean; readonly documentPrivateItems?: boolean; readonly denyWarnings?: boolean }
>;
export type RustFmtOptions = With<{
  readonly all?: boolean;
  readonly check?: boolean;
  readonly flags?: readonly string[];
}>;
export type RustPowersetOptions = With<{
  readonly subcommand?: string;
  readonly depth?: number;
  readonly eachFeature?: boolean;
  readonly noDevDeps?: boolean;
  readonly skip?: readonly string[];
  readonly includeFeatures?: readonly string[];
  readonly keepGoing?: boolean;
  readonly flags?: readonly string[];
}>;

/** A machine with Rust and a crate or workspace at `path`. Actions work on the default members. */
export class RustToolchain {
  readonly path: string;
  readonly installed: Step;

  constructor(path: string, installed: Step) {
    this.path = path;
    this.installed = installed;
  }

  /** The step that installs Rust. */
  install(): Step {
    return this.installed;
  }

  /** `cargo build` */
  build(options: With<CargoCompile> = {}): Step {
    return build(this, this.installed, options);
  }

  /** `cargo test`, or `cargo nextest run`. */
  test(options: RustTestOptions = {}): Step {
    return test(this, this.installed, options);
  }

  /** `cargo test --doc` */
  doctest(options: With<CargoSelection> = {}): Step {
    return doctest(this, this.installed, options);
  }

  /** `cargo clippy` that fails on warnings. */
  clippy(options: RustClippyOptions = {}): Step {
    return clippy(this, this.installed, options);
  }

  /** `cargo doc` that fails on warnings. */
  doc(options: RustDocOptions = {}): Step {
    return doc(this, this.installed, options);
  }

  /** `cargo fmt --check` */
  fmt(options: RustFmtOptions = {}): Step {
    const [own, rest] = take(options, { all: true, check: true, flags: [] as readonly string[] });
    const command = ["cargo fmt", ...(own.all ? ["--all"] : []), ...(own.check ? ["--check"] : [])];
    return act(this, this.installed, "fmt", [...command, ...words(own.flags, "flags")].join(" "), rest);
  }

  /** Compiles the workspace with its tests, for actions to start from. */
  warmup(options: StepOptions = {}): Step {
    return act(this, this.installed, "warmup", "cargo build --workspace --tests --locked", options);
  }

  /** `cargo hack`: every combination of up to `depth` features, or each alone. */
  featurePowerset(options: RustPowersetOptions = {}): Step {
    const [own, rest] = take(options, {
      subcommand: "check",
      depth: 2,
      eachFeature: false,
      noDevDeps: true,
      skip: [] as readonly string[],
      includeFeatures: [] as readonly string[],
      keepGoing: false,
      flags: [] as readonly string[],
    });
    const hack = install(this.installed, TAG, "install cargo-hack", `${ENV}cargo install cargo-hack --locked`);
    const command = [
      "cargo hack",
      ...words([own.subcommand], "subcommand"),
      ...(own.eachFeature ? ["--each-feature"] : ["--feature-powerset", "--depth", String(Math.trunc(own.depth))]),
      ...(own.noDevDeps ? ["--no-dev-deps"] : []),
      ...(own.skip.length > 0 ? ["--skip", quote(own.skip.join(","))] : []),
      ...(own.includeFeatures.length > 0 ? ["--include-features", quote(own.includeFeatures.join(","))] : []),
      ...(own.keepGoing ? ["--keep-going"] : []),
      ...words(own.flags, "flags"),
    ];
    return act(this, hack, "feature-powerset", command.join(" "), rest);
  }

  /** What the toolchain stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return [this.build()];
  }
}

/** A workspace compiled once. Actions start from there and work on all its packages. */
export class RustProject {
  readonly toolchain: RustToolchain;
  readonly warmup: Step;

  constructor(toolchain: RustToolchain, warmup: Step) {
    this.toolchain = toolchain;
    this.warmup = warmup;
  }

  /** `cargo build --workspace` */
  build(options: With<CargoCompile> = {}): Step {
    return build(this.toolchain, this.warmup, { workspace: true, ...options });
  }

  /** `cargo test --workspace`, or `cargo nextest run --workspace`. */
  test(options: RustTestOptions = {}): Step {
    return test(this.toolchain, this.warmup, { workspace: true, ...options });
  }

  /** `cargo test --workspace --doc` */
  doctest(options: With<CargoSelection> = {}): Step {
    return doctest(this.toolchain, this.warmup, { workspace: true, ...options });
  }

  /** `cargo clippy --workspace` that fails on warnings. */
  clippy(options: RustClippyOptions = {}): Step {
    return clippy(this.toolchain, this.warmup, { workspace: true, ...options });
  }

  /** `cargo doc --workspace` that fails on warnings. */
  doc(options: RustDocOptions = {}): Step {
    return doc(this.toolchain, this.warmup, { workspace: true, ...options });
  }

  /** `cargo fmt --check`, which needs nothing compiled. */
  fmt(options: RustFmtOptions = {}): Step {
    return this.toolchain.fmt(options);
  }

  /** As of the toolchain. */
  featurePowerset(options: RustPowersetOptions = {}): Step {
    return this.toolchain.featurePowerset(options);
  }

  /** Tests, clippy and formatting; with `nextest` the doctests apart, with `doc` the documentation too. */
  ci(options: { readonly nextest?: boolean; readonly doc?: boolean } = {}): readonly Step[] {
    const tests = options.nextest ? [this.test({ nextest: true }), this.doctest()] : [this.test()];
    return [...tests, this.clippy(), this.fmt(), ...(options.doc ? [this.doc()] : [])];
  }

  /** What the project stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return this.ci();
  }
}

function act(toolchain: RustToolchain, parent: Step, name: string, cmd: string, options: StepOptions): Step {
  return action(parent, TAG, name, ENV + within(toolchain.path, cmd), options);
}

function cargo(toolchain: RustToolchain, parent: Step, name: string, chosen: Chosen, words: string[], rest: StepOptions): Step {
  return act(toolchain, parent, name, targetPrefix(chosen) + words.join(" "), rest);
}

function build(toolchain: RustToolchain, parent: Step, options: With<CargoCompile>): Step {
  const [chosen, rest] = take(options, COMPILE);
  return cargo(toolchain, parent, "build", chosen, ["cargo build", ...cargoArguments(chosen)], rest);
}

function test(toolchain: RustToolchain, parent: Step, options: RustTestOptions): Step {
  const [{ nextest }, others] = take(options, { nextest: false });
  const [chosen, rest] = take(others, COMPILE);
  const command = nextest ? "cargo nextest run" : "cargo test";
  return cargo(toolchain, parent, "test", chosen, [command, ...cargoArguments(chosen)], rest);
}

function doctest(toolchain: RustToolchain, parent: Step, options: With<CargoSelection>): Step {
  const [chosen, rest] = take(options, SELECTION);
  return cargo(toolchain, parent, "doctest", chosen, ["cargo test", ...cargoArguments(chosen), "--doc"], rest);
}

function clippy(toolchain: RustToolchain, parent: Step, options: RustClippyOptions): Step {
  const [own, others] = take(options, { denyWarnings: true, extraLints: [] as readonly string[] });
  const [chosen, rest] = take(others, { ...TARGETS, allTargets: true });
  const lints = [...(own.denyWarnings ? ["-D", "warnings"] : []), ...words(own.extraLints, "extraLints")];
  const command = ["cargo clippy", ...cargoArguments(chosen), ...(lints.length > 0 ? ["--", ...lints] : [])];
  return cargo(toolchain, parent, "clippy", chosen, command, rest);
}

function doc(toolchain: RustToolchain, parent: Step, options: RustDocOptions): Step {
  const [own, others] = take(options, { noDeps: true, documentPrivateItems: false, denyWarnings: true });
  const [chosen, rest] = take(others, SELECTION);
  const command = [
    "cargo doc",
    ...(own.noDeps ? ["--no-deps"] : []),
    ...(own.documentPrivateItems ? ["--document-private-items"] : []),
    ...cargoArguments(chosen),
  ];
  const env = own.denyWarnings ? { env: { RUSTDOCFLAGS: "-D warnings", ...(rest as StepOptions).env } } : {};
  return cargo(toolchain, parent, "doc", chosen, command, { ...rest, ...env });
}

const SETTINGS = ["path", "version", "components", "image", "base"];

function toolchain(options: RustToolchainOptions = {}): RustToolchain {
  refuseUnknown(options, SETTINGS, "hm.rust.toolchain");
  const { path = ".", version = "stable", components = ["clippy", "rustfmt"] } = options;
  if (typeof version !== "string" || !/^([0-9]+(\.[0-9]+)*|[A-Za-z]+(-[0-9]+)*)$/.test(version)) {
    throw refuse("rust", "version", version, 'use a channel such as "stable" or a version such as "1.81.0"');
  }
  const names = words(components, "components");
  const withComponents = names.length > 0 ? ` --component ${names.join(",")}` : "";
  const installed = install(
    baseStep(TAG, "curl ca-certificates build-essential pkg-config libssl-dev", options),
    TAG,
    "rustup",
    "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y" +
      ` --default-toolchain ${quote(version)} --profile minimal${withComponents}` +
      ` && ${ENV}rustc --version && cargo --version`,
  );
  return new RustToolchain(path, installed);
}

function project(options: RustProjectOptions = {}): RustProject {
  refuseUnknown(options, [...SETTINGS, "cache"], "hm.rust.project");
  const { cache, ...settings } = options;
  const prefix = below(options.path ?? ".");
  const sources = onChange(`${prefix}Cargo.lock`, `${prefix}**/Cargo.toml`, `${prefix}**/*.rs`);
  const made = toolchain(settings);
  return new RustProject(made, made.warmup({ cache: cache ?? sources }));
}

/** `rust.project(...)` compiles a workspace once; `rust.toolchain(...)` installs Rust only. */
export const rust = { toolchain, project } as const;
