import { refuseUnknown, requireTexts, show, wrong } from "./errors.js";

/** What may happen to a pull request. */
export type PullRequestType = "opened" | "synchronize" | "reopened" | "closed" | "ready_for_review";

const DEFAULT_TYPES: readonly PullRequestType[] = ["opened", "synchronize", "reopened"];
const KNOWN_TYPES: readonly PullRequestType[] = ["closed", "opened", "ready_for_review", "reopened", "synchronize"];

/** What starts a pipeline on a server. In globs `*` crosses `/` and `?` is one character. */
export abstract class Trigger {
  /** The trigger as the envelope writes it. */
  abstract toJSON(): Record<string, unknown>;
}

/** A push to a branch, or of a tag. */
export class PushTrigger extends Trigger {
  readonly branches: readonly string[] | undefined;
  readonly tags: readonly string[] | undefined;

  constructor(branches: readonly string[] | undefined, tags: readonly string[] | undefined) {
    super();
    this.branches = branches;
    this.tags = tags;
  }

  toJSON(): Record<string, unknown> {
    return this.branches === undefined
      ? { event: "push", tags: this.tags }
      : { event: "push", branches: this.branches };
  }
}

/** Something that happens to a pull request. */
export class PullRequestTrigger extends Trigger {
  readonly branches: readonly string[] | undefined;
  readonly types: readonly PullRequestType[];

  constructor(branches: readonly string[] | undefined, types: readonly PullRequestType[]) {
    super();
    this.branches = branches;
    this.types = types;
  }

  toJSON(): Record<string, unknown> {
    return this.branches === undefined
      ? { event: "pull_request", types: this.types }
      : { event: "pull_request", branches: this.branches, types: this.types };
  }
}

/** A time of the clock. */
export class ScheduleTrigger extends Trigger {
  readonly cron: string;

  constructor(cron: string) {
    super();
    this.cron = cron;
  }

  toJSON(): Record<string, unknown> {
    return { event: "schedule", cron: this.cron };
  }
}

/** One glob or several. */
export type Globs = string | readonly string[];

/** A push to `branch`, or of `tag`: `push({ branch: "main" })`, `push({ tag: "v*" })`. */
export function push(
  what: { readonly branch: Globs; readonly tag?: undefined } | { readonly tag: Globs; readonly branch?: undefined },
): PushTrigger {
  refuseUnknown(what ?? {}, ["branch", "tag"], "hm.push");
  const branches = globs(what?.branch, "branch");
  const tags = globs(what?.tag, "tag");
  if ((branches === undefined) === (tags === undefined)) {
    throw wrong("hm.push: give exactly one of branch and tag", 'push({ branch: "main" }) or push({ tag: "v*" })');
  }
  return new PushTrigger(branches, tags);
}

/** A pull request into `branches` that is opened, reopened or gets new commits, or one of `types`. */
export function pullRequest(
  what: { readonly branches?: Globs; readonly types?: readonly PullRequestType[] } = {},
): PullRequestTrigger {
  refuseUnknown(what, ["branches", "types"], "hm.pullRequest");
  const types = what.types === undefined ? DEFAULT_TYPES : requireTexts(what.types, "types");
  for (const name of types) {
    if (!(KNOWN_TYPES as readonly string[]).includes(name)) {
      throw wrong(`hm.pullRequest: unknown type ${show(name)}`, `use one of ${KNOWN_TYPES.join(", ")}`);
    }
  }
  return new PullRequestTrigger(globs(what.branches, "branches"), types as readonly PullRequestType[]);
}

/** A time in the five fields of cron: `schedule("0 3 * * *")`. */
export function schedule(cron: string): ScheduleTrigger {
  if (typeof cron !== "string" || cron.split(/\s+/).filter(Boolean).length !== 5) {
    throw wrong(`hm.schedule: ${show(cron)} has not the five fields of cron`, 'schedule("0 3 * * *")');
  }
  return new ScheduleTrigger(cron);
}

function globs(value: Globs | undefined | null, what: string): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  return requireTexts(typeof value === "string" ? [value] : value, what);
}
