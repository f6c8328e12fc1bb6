// Every toolchain object stands for its default actions.

import { pipeline } from "@harmont/hm";
import { cmake, elixir, go, python, zig } from "@harmont/hm/toolchains";

export const pipelines = [
  { slug: "p", pipeline: pipeline([go(), python({ path: "api" }), cmake({ path: "lib" }), zig({ path: "z" }), elixir()]) },
];
