// Every cache policy of the public package.

import { compose, forever, none, onChange, pipeline, sh, ttl } from "@harmont/hm";

const HOUR = 60 * 60;

export default {
  slug: "caches",
  pipeline: pipeline([
    sh("a", { cache: forever() }),
    sh("b", { cache: forever({ envKeys: ["CC", "CFLAGS"] }) }),
    sh("c", { cache: ttl(24 * HOUR + 1) }),
    sh("d", { cache: onChange("Cargo.lock", "**/*.rs") }),
    sh("e", { cache: compose(forever(), compose(ttl(2 * HOUR), onChange("x"))) }),
    sh("f", { cache: none() }),
  ]),
};
