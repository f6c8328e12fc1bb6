// Two steps with one key are an error.

import { pipeline, sh } from "@harmont/hm";

export default { slug: "p", pipeline: () => pipeline([sh("a", { key: "k" }), sh("b", { key: "k" })]) };
