/**
 * Pipelines for `hm` in TypeScript.
 *
 * ```ts
 * import { pipeline, sh } from "@harmont/hm";
 *
 * const build = sh("make", { label: "build" });
 *
 * export default { slug: "ci", pipeline: pipeline([build.sh("make check", { label: "test" })]) };
 * ```
 *
 * @module
 */

export {
  auto,
  type CacheAuto,
  type CacheCompose,
  type CacheForever,
  type CacheNone,
  type CacheOnChange,
  type CachePolicy,
  type CacheTTL,
  compose,
  forever,
  none,
  onChange,
  ttl,
} from "./cache.js";
export type { Duration } from "./duration.js";
export { type PipelineDefinition, renderEnvelope, type RenderOptions } from "./envelope.js";
export { PipelineError } from "./errors.js";
export type { GraphEdge, GraphNode, HasDefaultActions, Leaves, PipelineIR, PipelineOptions } from "./lower.js";
export { type Combination, matrix } from "./matrix.js";
export {
  type CacheDir,
  cacheDir,
  type Env,
  type Network,
  type Resources,
  type Retry,
  type RetryOn,
  type Secret,
  secret,
  type Service,
  service,
} from "./options.js";
export { pipeline } from "./pipeline.js";
export { group, scratch, sh, Step, type StepOptions, timeout, wait } from "./step.js";
export { clearTargetCache, target } from "./target.js";
export { aptBase, type AptBaseOptions } from "./toolchains/chain.js";
export {
  type Globs,
  pullRequest,
  PullRequestTrigger,
  type PullRequestType,
  push,
  PushTrigger,
  schedule,
  ScheduleTrigger,
  Trigger,
} from "./triggers.js";
