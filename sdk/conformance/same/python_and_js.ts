// Python and JavaScript projects.

import { pipeline } from "@harmont/hm";
import { js, py, python, ts } from "@harmont/hm/toolchains";

const api = python({ path: "api" });
const tool = py.uv();

export default [
  {
    slug: "python",
    pipeline: pipeline([api.test(), api.lint(), api.fmt(), api.typecheck({ paths: ["src", "tests"] })]),
  },
  { slug: "uv", pipeline: pipeline([py.uv({ path: "tool", image: "debian:12" })]) },
  {
    slug: "uv-all",
    pipeline: pipeline([tool.run("python -m tool"), tool.build(), tool.lockCheck(), tool.publish({ label: "ship" })]),
  },
  { slug: "js", pipeline: pipeline([js.project({ path: "web", pm: "npm", runtime: "node" })]) },
  {
    slug: "js-all",
    pipeline: pipeline([
      js.project({ path: "a", pm: "pnpm", version: "20" }).run("build"),
      js.project({ path: "b", pm: "yarn-classic" }).run("test:unit"),
      js.project({ path: "c", pm: "yarn-berry" }).run("test"),
      ts.project({ path: "d", pm: "bun" }).run("lint"),
      js.project({ path: "e", runtime: "bun", version: "1.1.0" }).run("x"),
      js.project({ path: "f", runtime: "deno" }).run("y"),
    ]),
  },
];
