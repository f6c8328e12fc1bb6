// The options that cargo's subcommands share, as words of a command line.

import { wrong } from "../errors.js";
import { quote } from "../shell.js";
import type { StepOptions } from "../step.js";
import { words } from "./chain.js";

/** Which packages and features, for which target. */
export interface CargoSelection {
  readonly workspace?: boolean;
  readonly packages?: readonly string[];
  readonly exclude?: readonly string[];
  readonly allFeatures?: boolean;
  readonly noDefaultFeatures?: boolean;
  readonly features?: readonly string[];
  readonly target?: string;
  /** Whether rustup adds the target first; true by default. */
  readonly addTarget?: boolean;
  /** `--locked`; true by default. */
  readonly locked?: boolean;
  readonly flags?: readonly string[];
}

/** As above, for what compiles examples and tests too. */
export interface CargoTargets extends CargoSelection {
  readonly allTargets?: boolean;
}

/** As above, for what has a profile. */
export interface CargoCompile extends CargoTargets {
  readonly release?: boolean;
  readonly profile?: string;
}

/** Options of an action and of its step. */
export type With<T> = T & StepOptions;

/** All options with their values. */
export type Chosen = Required<Omit<CargoSelection, "target">> & {
  readonly target: string | undefined;
  readonly allTargets?: boolean;
  readonly release?: boolean;
  readonly profile?: string | undefined;
};

export const SELECTION: Chosen = {
  workspace: false,
  packages: [],
  exclude: [],
  allFeatures: false,
  noDefaultFeatures: false,
  features: [],
  target: undefined,
  addTarget: true,
  locked: true,
  flags: [],
};
export const TARGETS: Chosen = { ...SELECTION, allTargets: false };
export const COMPILE: Chosen = { ...TARGETS, release: false, profile: undefined };

/** The words for `chosen`, in one order whatever the subcommand. */
export function cargoArguments(chosen: Chosen): string[] {
  return [
    ...packageWords(chosen),
    ...(chosen.allTargets ? ["--all-targets"] : []),
    ...featureWords(chosen),
    ...(chosen.target ? ["--target", quote(chosen.target)] : []),
    ...profileWords(chosen),
    ...(chosen.locked ? ["--locked"] : []),
    ...words(chosen.flags, "flags"),
  ];
}

/** The command that adds the target's standard library. */
export function targetPrefix(chosen: Chosen): string {
  return chosen.target && chosen.addTarget ? `rustup target add ${quote(chosen.target)} && ` : "";
}

function packageWords(chosen: Chosen): string[] {
  const packages = words(chosen.packages, "packages");
  const exclude = words(chosen.exclude, "exclude");
  if (packages.length > 0 && exclude.length > 0) {
    throw wrong(
      "hm.rust: packages and exclude exclude each other",
      "name the packages, or leave some out of the workspace",
    );
  }
  if (packages.length > 0) return packages.flatMap((name) => ["-p", name]);
  if (exclude.length > 0 && !chosen.workspace) {
    throw wrong("hm.rust: exclude leaves packages out of the workspace", "add workspace: true");
  }
  return chosen.workspace ? ["--workspace", ...exclude.flatMap((name) => ["--exclude", name])] : [];
}

function featureWords(chosen: Chosen): string[] {
  const { features } = chosen;
  if (typeof features === "string") {
    throw wrong("hm: features must be an array of strings, not one string", `write ["${features}"]`);
  }
  if (chosen.allFeatures) {
    if (features.length > 0 || chosen.noDefaultFeatures) {
      throw wrong("hm.rust: allFeatures leaves nothing for features and noDefaultFeatures", "give either");
    }
    return ["--all-features"];
  }
  return [
    ...(chosen.noDefaultFeatures ? ["--no-default-features"] : []),
    ...(features.length > 0 ? ["--features", quote(features.join(","))] : []),
  ];
}

function profileWords(chosen: Chosen): string[] {
  if (chosen.profile && chosen.release) {
    throw wrong("hm.rust: release and profile exclude each other", 'profile: "release" is release: true');
  }
  if (chosen.profile) return ["--profile", quote(chosen.profile)];
  return chosen.release ? ["--release"] : [];
}
