// What toolchains share: the chain apt-base → install → deps → actions, checks, quoting.

import { forever, ttl } from "../cache.js";
import { type PipelineError, refuseUnknown, requireTexts, show, wrong } from "../errors.js";
import type { Env } from "../options.js";
import { changeFolder, quote, splitWords } from "../shell.js";
import { scratch, Step, type StepOptions } from "../step.js";

const DAY = 24 * 60 * 60;

/** What `aptBase` takes. */
export interface AptBaseOptions {
  /** Debian packages to install. */
  readonly packages: readonly string[];
  /** Image to start from; the pipeline's default one otherwise. */
  readonly image?: string;
  /** Shown to people; `:apt: base` by default. */
  readonly label?: string;
}

/** What every toolchain takes. */
export interface InstallOptions {
  /** Image of the machine. */
  readonly image?: string;
  /** A step to install in instead of a fresh machine with Debian packages. */
  readonly base?: Step;
}

/** A machine with Debian packages, made anew once a day; give it as `base` to toolchains that share it. */
export function aptBase(options: AptBaseOptions): Step {
  refuseUnknown(options, ["packages", "image", "label"], "hm.aptBase");
  const names = words(options.packages, "packages");
  if (names.length === 0) throw wrong("hm.aptBase: packages must not be empty", 'aptBase({ packages: ["curl"] })');
  return scratch().sh(`apt-get update && apt-get install -y ${names.join(" ")}`, {
    label: options.label ?? ":apt: base",
    image: options.image,
    cache: ttl(DAY),
  });
}

/** The user's own base, or a machine with `packages`. */
export function baseStep(tag: string, packages: string, { image, base }: InstallOptions): Step {
  if (base == null) return aptBase({ packages: [packages], image, label: `:${tag}: apt-base` });
  if (!(base instanceof Step)) throw wrong(`hm: base must be a step, not ${show(base)}`);
  return base;
}

/** A step that is cached until its command changes. */
export function install(base: Step, tag: string, name: string, cmd: string, env?: Env): Step {
  return base.sh(cmd, { label: `:${tag}: ${name}`, cache: forever(), env });
}

/** An uncached step with a label that the user's options may replace. */
export function action(parent: Step, tag: string, name: string, cmd: string, options: StepOptions): Step {
  return parent.sh(cmd, { label: `:${tag}: ${name}`, ...options });
}

/** `cmd` in the folder `path`. */
export function within(path: string, cmd: string): string {
  if (typeof path !== "string") throw wrong(`hm: path must be a string, not ${show(path)}`);
  if (path === "") {
    throw wrong("hm: path must not be empty", 'leave path out for the workspace itself, or write path: "some/folder"');
  }
  return `${changeFolder(path)} && ${cmd}`;
}

/** The words in `values`, each quoted when it needs to be; one value may hold several, as on a command line. */
export function words(values: readonly string[], what: string): string[] {
  return requireTexts(values, what).flatMap((value) => splitWords(value).map(quote));
}

/** The globs' prefix for a project at `path`. */
export function below(path: string): string {
  return path === "." ? "" : `${path.replace(/\/+$/, "")}/`;
}

/** Whether `value` is as many numbers with dots between as `parts` allows. */
export function isVersion(value: unknown, parts: readonly number[]): value is string {
  return typeof value === "string" && /^[0-9]+(\.[0-9]+)*$/.test(value) && parts.includes(value.split(".").length);
}

/** The error for a value that can't be used. */
export function refuse(toolchain: string, option: string, value: unknown, fix: string): PipelineError {
  return wrong(`hm.${toolchain}: invalid ${option} ${show(value)}`, fix);
}

/** The members of `options` that `defaults` has, with their defaults, and the others. */
export function take<T extends object, O extends object>(options: O, defaults: T): [T, Omit<O, keyof T>] {
  const taken = { ...defaults } as Record<string, unknown>;
  const rest: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (!(name in defaults)) rest[name] = value;
    else if (value !== undefined) taken[name] = value;
  }
  return [taken as T, rest as Omit<O, keyof T>];
}

/** An action as its bare form takes it: with the settings of the toolchain among its options. */
type Bare<A, S> = A extends (options?: infer O) => Step
  ? (options?: O & S) => Step
  : A extends (first: infer F, options?: infer O) => Step
    ? (first: F, options?: O & S) => Step
    : never;

/**
 * The bare forms of actions: `go.test({ path: "api", label: "api" })` is `go({ path: "api" }).test({ label: "api" })`.
 */
export function bare<S extends object, P extends object, N extends keyof P & string>(
  make: (settings?: S) => P,
  settings: readonly (keyof S & string)[],
  names: readonly N[],
): { [Name in N]: Bare<P[Name], S> } {
  const form = (name: N) => {
    return (...given: unknown[]): Step => {
      const last = given.at(-1);
      const hasOptions = last !== null && typeof last === "object";
      const chosen: Record<string, unknown> = {};
      const rest: Record<string, unknown> = {};
      for (const [option, value] of Object.entries(hasOptions ? last : {})) {
        ((settings as readonly string[]).includes(option) ? chosen : rest)[option] = value;
      }
      const first = hasOptions ? given.slice(0, -1) : given;
      const made = make(chosen as S);
      return (made[name] as (...all: unknown[]) => Step).call(made, ...first, rest);
    };
  };
  return Object.fromEntries(names.map((name) => [name, form(name)])) as { [Name in N]: Bare<P[Name], S> };
}
