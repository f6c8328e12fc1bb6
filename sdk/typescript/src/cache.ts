import { refuseUnknown, requireTexts, show, wrong } from "./errors.js";

/** Never cached. */
export interface CacheNone {
  readonly kind: "none";
}

/** Cached for its command, its environment and the named variables of the machine. */
export interface CacheForever {
  readonly kind: "forever";
  readonly envKeys: readonly string[];
}

/** As `CacheForever`, and only within one window of `durationSeconds`. */
export interface CacheTTL {
  readonly kind: "ttl";
  readonly durationSeconds: number;
  readonly envKeys: readonly string[];
}

/** Cached until one of the files changes in name, mode or contents. */
export interface CacheOnChange {
  readonly kind: "on_change";
  readonly paths: readonly string[];
}

/** All of the policies at once. */
export interface CacheCompose {
  readonly kind: "compose";
  readonly policies: readonly CachePolicy[];
}

/** Cached for the inputs that the step was seen to read. */
export interface CacheAuto {
  readonly kind: "auto";
}

/** What decides whether an earlier result of a step may be used. */
export type CachePolicy = CacheNone | CacheForever | CacheTTL | CacheOnChange | CacheCompose | CacheAuto;

/** Never cached, said in words. */
export function none(): CacheNone {
  return { kind: "none" };
}

/** Cached until the command, its environment or one of the machine's variables `envKeys` changes. */
export function forever(options: { readonly envKeys?: readonly string[] } = {}): CacheForever {
  refuseUnknown(options, ["envKeys"], "hm.forever");
  return { kind: "forever", envKeys: requireTexts(options.envKeys ?? [], "envKeys") };
}

/** As `forever`, and renewed every `duration` seconds: `ttl(24 * 60 * 60)`. */
export function ttl(duration: number, options: { readonly envKeys?: readonly string[] } = {}): CacheTTL {
  if (typeof duration !== "number" || !(Math.trunc(duration) > 0)) {
    throw wrong(`hm.ttl: the duration must be a number of seconds above 0, got ${show(duration)}`, "ttl(24 * 60 * 60)");
  }
  refuseUnknown(options, ["envKeys"], "hm.ttl");
  return {
    kind: "ttl",
    durationSeconds: Math.trunc(duration),
    envKeys: requireTexts(options.envKeys ?? [], "envKeys"),
  };
}

/** Cached until a file that matches one of `paths` changes: `onChange("Cargo.lock", "**\/*.rs")`. */
export function onChange(...paths: string[]): CacheOnChange {
  return { kind: "on_change", paths: requireTexts(paths, "paths") };
}

/** Cached as long as every one of `policies` holds. */
export function compose(...policies: CachePolicy[]): CacheCompose {
  policies.forEach(requirePolicy);
  return { kind: "compose", policies };
}

/** Cached for the inputs that the step was seen to read. */
export function auto(): CacheAuto {
  return { kind: "auto" };
}

const KINDS: readonly string[] = ["none", "forever", "ttl", "on_change", "compose", "auto"];

/** Refuses what is no policy, at the place where it was given. */
export function requirePolicy(value: unknown): void {
  const kind = (value as { kind?: unknown } | null | undefined)?.kind;
  if (typeof kind !== "string" || !KINDS.includes(kind)) {
    throw wrong(
      `hm: cache must be a cache policy, not ${show(value)}`,
      "use forever(), ttl(...), onChange(...), compose(...), auto() or none()",
    );
  }
}

/** The policy as the IR writes it. */
export function lowerCache(policy: CachePolicy): Record<string, unknown> {
  switch (policy.kind) {
    case "none":
    case "auto":
      return { policy: policy.kind };
    case "forever":
      return { policy: "forever", env_keys: policy.envKeys };
    case "ttl":
      return { policy: "ttl", duration_seconds: policy.durationSeconds, env_keys: policy.envKeys };
    case "on_change":
      return { policy: "on_change", paths: policy.paths };
    case "compose":
      return { policy: "compose", sub_policies: policy.policies.map(lowerCache) };
  }
}
