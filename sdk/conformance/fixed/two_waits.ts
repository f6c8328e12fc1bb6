// Two waits in a row are one barrier.

import { pipeline, sh, wait } from "@harmont/hm";

export default { slug: "p", pipeline: pipeline([sh("a"), wait(), wait(), sh("b")]) };
