// Barriers between segments.

import { group, pipeline, sh, wait } from "@harmont/hm";

const build = sh("build");

export default {
  slug: "waits",
  pipeline: pipeline([
    wait(),
    build,
    sh("other"),
    wait(),
    build.sh("test").sh("report"),
    sh("lint"),
    wait(),
    group([sh("deploy"), sh("announce")]),
  ]),
};
