import { type Duration, seconds } from "./duration.js";
import { refuseUnknown, requireText, requireTexts, show, wrong } from "./errors.js";

/** Environment variables by name. */
export type Env = Readonly<Record<string, string>>;

/** How often a failed step is tried again, and after which ends. */
export interface Retry {
  readonly max: number;
  readonly on?: RetryOn | readonly RetryOn[];
}

/** The ends of a step that `Retry` knows: a failing command, the time budget, trouble with the machine. */
export type RetryOn = "exit" | "timeout" | "infra";

/** A secret of the server, given to a step as a variable or as a file. */
export type Secret = { readonly name: string; readonly env: string } | { readonly name: string; readonly file: string };

/** A side container. */
export interface Service {
  readonly name: string;
  readonly image: string;
  readonly cmd?: string;
  readonly env?: Env;
  readonly ports?: readonly number[];
  readonly ready?: { readonly cmd: string; readonly timeout_seconds?: number };
}

/** What a step may use at most. */
export interface Resources {
  readonly cpus?: number;
  readonly memoryMib?: number;
  readonly pids?: number;
}

/** What a step sees of the network. */
export type Network = "host" | "isolated" | "none";

/** A folder that builds share. */
export interface CacheDir {
  readonly kind: "cache";
  readonly name: string;
  readonly path: string;
}

const RETRY_ON: readonly string[] = ["exit", "timeout", "infra"];
const NETWORKS: readonly string[] = ["host", "isolated", "none"];

/** A secret by name, put into the variable `env` (the name itself by default) or into `file`. */
export function secret(name: string, place: { readonly env?: string; readonly file?: string } = {}): Secret {
  requireText(name, "hm.secret: the name");
  refuseUnknown(place, ["env", "file"], "hm.secret");
  if (place.env !== undefined && place.file !== undefined) {
    throw wrong(`hm.secret: ${show(name)} goes into env or into file, not both`);
  }
  if (place.file !== undefined) return { name, file: requireText(place.file, "hm.secret: file") };
  return { name, env: place.env === undefined ? name : requireText(place.env, "hm.secret: env") };
}

/** A side container; `ready` is a command in it that succeeds once it can be used. */
export function service(
  name: string,
  image: string,
  options: {
    readonly cmd?: string;
    readonly env?: Env;
    readonly ports?: readonly number[];
    readonly ready?: string;
    readonly readyTimeout?: Duration;
  } = {},
): Service {
  refuseUnknown(options, ["cmd", "env", "ports", "ready", "readyTimeout"], "hm.service");
  const { cmd, env, ports, ready, readyTimeout } = options;
  return {
    name: requireText(name, "hm.service: the name"),
    image: requireText(image, "hm.service: image"),
    ...(cmd === undefined ? {} : { cmd: requireText(cmd, "hm.service: cmd") }),
    ...(env === undefined ? {} : { env: environment(env) }),
    ...(ports === undefined || ports.length === 0 ? {} : { ports: [...ports] }),
    ...(ready === undefined
      ? {}
      : {
          ready: {
            cmd: requireText(ready, "hm.service: ready"),
            ...(readyTimeout === undefined ? {} : { timeout_seconds: seconds(readyTimeout, "readiness timeout") }),
          },
        }),
  };
}

/** A folder shared between builds under `name`, seen by the step at `path`. */
export function cacheDir(name: string, path: string): CacheDir {
  return {
    kind: "cache",
    name: requireText(name, "hm.cacheDir: the name"),
    path: requireText(path, "hm.cacheDir: path"),
  };
}

/** A checked copy of `env`. */
export function environment(env: Env): Record<string, string> {
  if (env === null || typeof env !== "object" || Array.isArray(env)) {
    throw wrong(`hm: env must be an object of strings, not ${show(env)}`, 'write env: { NAME: "value" }');
  }
  const entries = Object.entries(env).filter(([, value]) => value !== undefined);
  for (const [name, value] of entries) {
    if (name === "" || name.includes("=")) throw wrong(`hm: ${show(name)} is not a name of an environment variable`);
    if (typeof value !== "string") {
      throw wrong(
        `hm: the value of the variable ${show(name)} must be a string, not ${show(value)}`,
        `write env: { ${name}: ${show(String(value))} }`,
      );
    }
  }
  return Object.fromEntries(entries);
}

/** `2` or `{ max: 2, on: ["exit"] }` as the IR writes it. */
export function retryPolicy(retry: number | Retry): Record<string, unknown> {
  const policy: Retry = typeof retry === "number" ? { max: retry } : retry;
  if (policy === null || typeof policy !== "object" || !Number.isInteger(policy.max) || policy.max < 0) {
    throw wrong(`hm: retry must be a count or { max: n, on: [...] }, got ${show(retry)}`);
  }
  refuseUnknown(policy, ["max", "on"], "hm: retry");
  if (policy.on === undefined) return { max: policy.max };
  const ends = typeof policy.on === "string" ? [policy.on] : [...policy.on];
  for (const end of ends) {
    if (!RETRY_ON.includes(end)) {
      throw wrong(`hm: retry on ${show(end)} is not known`, `use one of ${RETRY_ON.join(", ")}`);
    }
  }
  return { max: policy.max, on: ends };
}

/** Names or `secret(...)`, as the IR writes them. */
export function secretList(secrets: readonly (string | Secret)[]): readonly Secret[] {
  return many(secrets, "secrets").map((entry) => {
    if (typeof entry === "string") return secret(entry);
    return { ...requireObject(entry, "secrets", "names and secret(...)") } as Secret;
  });
}

/** Entries that `maker` made. */
export function objects<T extends object>(entries: readonly T[], what: string, maker: string): readonly T[] {
  return many(entries, what).map((entry) => ({ ...requireObject(entry, what, maker) }) as T);
}

/** A list of strings. */
export function texts(values: readonly string[], what: string): readonly string[] {
  return requireTexts(values, what);
}

/** `{ cpus: 2, memoryMib: 2048, pids: 512 }`, each optional, as the IR writes it. */
export function limits(resources: Resources): Record<string, number> {
  refuseUnknown(resources, ["cpus", "memoryMib", "pids"], "hm: resources");
  const written: Record<string, number> = {};
  for (const [name, value] of Object.entries(resources) as [string, number | undefined][]) {
    if (value === undefined) continue;
    const whole = name !== "cpus";
    if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value) || (whole && !Number.isInteger(value))) {
      throw wrong(`hm: ${name} must be a ${whole ? "whole " : ""}number above 0, got ${show(value)}`);
    }
    written[name === "memoryMib" ? "memory_mib" : name] = value;
  }
  return written;
}

/** `host`, `isolated` or `none`. */
export function networkMode(network: Network): Network {
  if (!NETWORKS.includes(network)) {
    throw wrong(`hm: network ${show(network)} is not known`, `use one of ${NETWORKS.join(", ")}`);
  }
  return network;
}

function many<T>(values: readonly T[], what: string): readonly T[] {
  if (!Array.isArray(values)) throw wrong(`hm: ${what} must be an array, not ${show(values)}`);
  return values;
}

function requireObject(entry: unknown, what: string, maker: string): object {
  if (entry === null || typeof entry !== "object" || Array.isArray(entry)) {
    throw wrong(`hm: ${what} must hold ${maker} only, got ${show(entry)}`);
  }
  return entry;
}
