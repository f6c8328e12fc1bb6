// Chains, forks, images, environments and every way to a key.

import { pipeline, type PipelineDefinition, scratch, sh, timeout } from "@harmont/hm";

const base = sh("make", { label: ":gear: Build", image: "debian:12" });
const left = base.fork({ label: "left" }).sh("make check", { label: "Test", env: { LEVEL: "step" } });
const right = base.fork({ label: "right" }).sh("make lint", { key: "own-key" }).sh("make report");
const plain = scratch().sh("true", { label: "twice" }).sh("false", { label: "Twice" });
const runner = scratch().sh("echo", { runner: "docker", runnerArgs: { privileged: true, ports: [80, 81] } });

const definitions: PipelineDefinition[] = [
  {
    slug: "chains",
    pipeline: pipeline([left, right, plain, runner, sh("ls", { cwd: "src/lib" }), timeout("5m", sh("sleep 1"))], {
      env: { SHARED: "1", LEVEL: "pipeline" },
      timeout: "1h30m",
    }),
  },
  {
    slug: "chains-again",
    pipeline: pipeline([sh("one").sh("two"), sh("✓", { label: "✓" }), sh("x", { label: ":a::b:c" })]),
  },
];

export default definitions;
