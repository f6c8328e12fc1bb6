// A target that uses another of the same function name is no circle.

import { pipeline, sh, type Step, target } from "@harmont/hm";

function layer(name: string, inner: (() => Step) | null): () => Step {
  const make = (): Step => (inner === null ? sh("base") : inner().sh(name));
  return target(name, make);
}

const lower = layer("lower", null);
const upper = layer("upper", lower);

export default { slug: "p", pipeline: pipeline([upper()]) };
