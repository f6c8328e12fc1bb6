// A Rust workspace and a toolchain with options.

import { aptBase, pipeline } from "@harmont/hm";
import { rust } from "@harmont/hm/toolchains";

const core = rust.project({ path: "core", image: "debian:12", version: "1.81.0" });
const tools = rust.toolchain({ base: aptBase({ packages: ["curl", "gcc"] }) });

export default [
  { slug: "project", pipeline: pipeline([rust.project()]) },
  { slug: "ci", pipeline: pipeline([...core.ci({ nextest: true, doc: true }), core.featurePowerset()]) },
  {
    slug: "options",
    pipeline: pipeline([
      tools.build({
        packages: ["a", "b"],
        features: ["x", "y"],
        noDefaultFeatures: true,
        release: true,
        label: "release",
      }),
      tools.build({ workspace: true, exclude: ["c"], target: "wasm32-wasip1", profile: "dist", label: "dist" }),
      tools.clippy({ extraLints: ["-W clippy::pedantic"], denyWarnings: false }),
      tools.featurePowerset({ subcommand: "test", depth: 3, skip: ["a", "b"], noDevDeps: false, flags: ["--locked"] }),
      tools.doc({ documentPrivateItems: true, noDeps: false, env: { A: "1" } }),
      tools.fmt({ all: false }),
    ]),
  },
  { slug: "toolchain", pipeline: pipeline([rust.toolchain()]) },
];
