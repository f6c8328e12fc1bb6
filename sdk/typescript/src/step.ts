import { type CachePolicy, requirePolicy } from "./cache.js";
import { type Duration, seconds } from "./duration.js";
import { refuseUnknown, show, wrong } from "./errors.js";
import * as check from "./options.js";
import { here } from "./places.js";
import { changeFolder } from "./shell.js";

/** What `sh` takes beside the command. */
export interface StepOptions {
  /** Folder below the workspace in which the command runs. */
  readonly cwd?: string;
  /** Shown to people; also the step's key when no other label says the same. */
  readonly label?: string;
  /** When an earlier result may be used. */
  readonly cache?: CachePolicy;
  /** Variables added to those of the pipeline. */
  readonly env?: check.Env;
  /** Where a chain's first step boots from. */
  readonly image?: string;
  /** The runner to use instead of the default one. */
  readonly runner?: string;
  /** Options of that runner. */
  readonly runnerArgs?: unknown;
  /** The step's key. */
  readonly key?: string;
  /** How often to try again after a failure. */
  readonly retry?: number | check.Retry;
  /** Shows a failure without failing the build. */
  readonly allowFailure?: boolean;
  /** Globs of files that are kept, also after a failure. */
  readonly outputs?: readonly string[];
  /** Secrets that the step gets. */
  readonly secrets?: readonly (string | check.Secret)[];
  /** Containers that run beside the step. */
  readonly services?: readonly check.Service[];
  /** What the step may use at most. */
  readonly resources?: check.Resources;
  /** What the step sees of the network. */
  readonly network?: check.Network;
  /** Folders that builds share. */
  readonly mounts?: readonly check.CacheDir[];
}

const OPTION_NAMES: readonly (keyof StepOptions)[] = [
  "cwd",
  "label",
  "cache",
  "env",
  "image",
  "runner",
  "runnerArgs",
  "key",
  "retry",
  "allowFailure",
  "outputs",
  "secrets",
  "services",
  "resources",
  "network",
  "mounts",
];

/** Members of a step that it writes into the IR under the same name, beyond those of every step. */
interface Extras {
  readonly allow_failure?: true;
  readonly retry?: Record<string, unknown>;
  readonly outputs?: readonly string[];
  readonly secrets?: readonly check.Secret[];
  readonly services?: readonly check.Service[];
  readonly resources?: Record<string, number>;
  readonly network?: check.Network;
  readonly mounts?: readonly check.CacheDir[];
}

interface Fields {
  readonly cmd?: string;
  readonly parent?: Step;
  readonly isWait?: boolean;
  readonly continueOnFailure?: boolean;
  readonly label?: string;
  readonly cache?: CachePolicy;
  readonly env?: Record<string, string>;
  readonly timeoutSeconds?: number;
  readonly image?: string;
  readonly runner?: string;
  readonly runnerArgs?: unknown;
  readonly key?: string;
  readonly extras?: Extras;
  readonly copyOf?: Step;
}

/** One command in a machine that continues where its parent ended. Two steps are the same only if they are one object. */
export class Step {
  /** @internal */
  readonly fields: Fields;

  /** @internal The calls that led here, where they are noted. */
  readonly place: string | undefined;

  /** @internal Steps are made by `scratch`, `sh`, `wait` and the methods of a step. */
  constructor(fields: Fields) {
    this.fields = fields;
    if (fields.cmd !== undefined) this.place = fields.copyOf === undefined ? here() : fields.copyOf.place;
  }

  /** A step that runs `cmd` in the machine that this step leaves behind. */
  sh(cmd: string, options: StepOptions = {}): Step {
    if (typeof cmd !== "string") throw wrong(`hm: a command must be a string, not ${show(cmd)}`);
    refuseUnknown(options, OPTION_NAMES, "hm: sh");
    const given = withoutNulls(options);
    for (const name of ["label", "key", "image", "runner"] as const) {
      if (given[name] !== undefined && typeof given[name] !== "string") {
        throw wrong(`hm: ${name} must be a string, not ${show(given[name])}`);
      }
    }
    if (given.cache !== undefined) requirePolicy(given.cache);
    if (given.key === "") throw wrong("hm: key must not be empty", "leave key out, or give the step a name");
    return new Step({
      cmd: given.cwd === undefined ? cmd : `${changeFolder(requireFolder(given.cwd))} && ${cmd}`,
      parent: this,
      label: given.label,
      cache: given.cache,
      env: given.env === undefined ? undefined : check.environment(given.env),
      image: given.image ?? (this.isScratch() ? this.fields.image : undefined),
      runner: given.runner,
      runnerArgs: given.runnerArgs,
      key: given.key,
      extras: extrasOf(given),
    });
  }

  /** A point from which several branches start; the label is for the reader of the pipeline only. */
  fork(options: { readonly label?: string } = {}): Step {
    return new Step({ parent: this, label: options.label });
  }

  /** @internal A scratch passes its image on. */
  isScratch(): boolean {
    return this.fields.cmd === undefined && this.fields.parent === undefined && this.fields.isWait !== true;
  }
}

/** The empty start of a chain: a fresh machine on `image`, or on the pipeline's. */
export function scratch(options: { readonly image?: string } = {}): Step {
  refuseUnknown(options, ["image"], "hm.scratch");
  return new Step({ image: options.image });
}

/** A step that runs `cmd` in a fresh machine: `sh("make", { image: "debian:12" })`. */
export function sh(cmd: string, options: StepOptions = {}): Step {
  return scratch().sh(cmd, options);
}

/** A barrier among the leaves: what comes after it starts when all before it have ended. */
export function wait(options: { readonly continueOnFailure?: boolean } = {}): Step {
  refuseUnknown(options, ["continueOnFailure"], "hm.wait");
  return new Step({ isWait: true, continueOnFailure: options.continueOnFailure === true });
}

/** `step` with a time budget: `timeout("10m", sh("make test"))`. */
export function timeout(duration: Duration, step: Step): Step {
  if (!(step instanceof Step)) {
    throw wrong(
      `hm.timeout: the second argument must be a step, not ${show(step)}`,
      'timeout("30s", sh("make test"))',
    );
  }
  if (step.fields.isWait === true) {
    throw wrong(
      "hm.timeout: a wait() has no budget",
      'give it to a command, as in timeout("30s", sh("make test"))',
    );
  }
  return new Step({ ...step.fields, timeoutSeconds: seconds(duration), copyOf: step.fields.copyOf ?? step });
}

/** The steps as one value, to be returned or passed on together. */
export function group(steps: Iterable<Step>): readonly Step[] {
  return [...steps];
}

function requireFolder(cwd: string): string {
  if (cwd === "") {
    throw wrong("hm: cwd must not be empty", 'leave cwd out for the workspace itself, or write cwd: "some/folder"');
  }
  if (typeof cwd !== "string") throw wrong(`hm: cwd must be a string, not ${show(cwd)}`);
  return cwd;
}

/** The extras in the order in which the IR lists them; empty lists say nothing. */
function extrasOf(given: StepOptions): Extras | undefined {
  const extras: Extras = {
    ...(given.allowFailure ? { allow_failure: true } : {}),
    ...(given.retry === undefined ? {} : { retry: check.retryPolicy(given.retry) }),
    ...(given.outputs?.length ? { outputs: check.texts(given.outputs, "outputs") } : {}),
    ...(given.secrets?.length ? { secrets: check.secretList(given.secrets) } : {}),
    ...(given.services?.length ? { services: check.objects(given.services, "services", "service(...)") } : {}),
    ...(given.resources === undefined ? {} : { resources: check.limits(given.resources) }),
    ...(given.network === undefined ? {} : { network: check.networkMode(given.network) }),
    ...(given.mounts?.length ? { mounts: check.objects(given.mounts, "mounts", "cacheDir(...)") } : {}),
  };
  return Object.keys(extras).length === 0 ? undefined : extras;
}

/** Options computed as null count as left out. */
function withoutNulls(options: StepOptions): StepOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null)) as StepOptions;
}
