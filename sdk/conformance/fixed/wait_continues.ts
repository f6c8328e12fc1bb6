// The flag of a wait reaches the steps after it.

import { pipeline, sh, wait } from "@harmont/hm";

export default { slug: "p", pipeline: pipeline([sh("test"), wait({ continueOnFailure: true }), sh("notify")]) };
