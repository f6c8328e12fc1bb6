import { refuseUnknown, show, wrong } from "./errors.js";
import { type Leaves, lower, type PipelineIR, type PipelineOptions } from "./lower.js";
import { Step } from "./step.js";

/** Lowers the last steps of all branches to the IR: `pipeline([test, lint], { env: { CI: "true" } })`. */
export function pipeline(leaves: readonly Leaves[], options: PipelineOptions = {}): PipelineIR {
  if (leaves instanceof Step || (options as unknown) instanceof Step) {
    throw wrong("hm.pipeline: the steps go into one array", "pipeline([step]) or pipeline([first, second])");
  }
  if (!Array.isArray(leaves)) {
    throw wrong(`hm.pipeline: the first argument must be an array of steps, not ${show(leaves)}`, "pipeline([step])");
  }
  refuseUnknown(options, ["env", "timeout", "defaultImage"], "hm.pipeline");
  return lower(leaves, options);
}
