// A step and its copy with a budget are one node.

import { pipeline, sh, timeout } from "@harmont/hm";

const build = sh("build", { label: "build" });

export default { slug: "p", pipeline: pipeline([build.sh("test"), timeout("10m", build)]) };
