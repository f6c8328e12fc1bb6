// Targets, a fresh machine and triggers.

import { forever, group, type PipelineDefinition, pullRequest, push, scratch, sh, target } from "@harmont/hm";

const base = target("base", () => sh("prepare", { label: "prepare", cache: forever() }));
const tests = target("tests", () =>
  group([base().sh("unit", { label: "unit" }), base().sh("integration", { label: "integration" })]),
);

const definitions: PipelineDefinition[] = [
  {
    slug: "ci",
    name: "Continuous",
    triggers: [
      push({ branch: "main" }),
      push({ tag: ["v*", "r*"] }),
      pullRequest(),
      pullRequest({ branches: "main", types: ["closed"] }),
    ],
    allowManual: false,
    pipeline: () => [tests(), scratch({ image: "alpine:3.20" }).sh("echo 2", { label: "echo" })],
  },
  { slug: "nightly", pipeline: () => base().sh("soak", { label: "soak" }) },
];

export default definitions;
