// C and C++ projects.

import { pipeline } from "@harmont/hm";
import { cmake } from "@harmont/hm/toolchains";

const defines = { WITH_TLS: "ON", SHARED: true, LEVEL: 2 };
const project = cmake({ path: "lib", compiler: "clang-18", defines, target: "all_tests" });
const toolchain = cmake({ compiler: "gcc", ccache: false });

export default [
  {
    slug: "cmake",
    pipeline: pipeline([
      project.test(),
      project.install({ prefix: "/opt/lib" }),
      project.fmt(),
      project.lint(),
      project.package({ generator: "DEB" }),
    ]),
  },
  {
    slug: "presets",
    pipeline: pipeline([toolchain.project({ path: ".", preset: "ci", deps: "vcpkg" }).test({ parallel: false })]),
  },
];
