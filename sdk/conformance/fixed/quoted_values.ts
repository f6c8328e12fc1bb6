// Values of the user are quoted.

import { pipeline } from "@harmont/hm";
import { cmake, js, rust } from "@harmont/hm/toolchains";

export default {
  slug: "p",
  pipeline: pipeline([
    rust.toolchain({ path: "my crate" }).build(),
    js.project({ path: "web", pm: "npm" }).run("build; rm -rf /"),
    cmake({ path: "lib", generator: "make", defines: { NAME: "two words" } }).build(),
  ]),
};
