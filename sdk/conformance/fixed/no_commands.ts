// Leaves without any command are no pipeline, as no leaves are.

import { pipeline, scratch, wait } from "@harmont/hm";

export default { slug: "p", pipeline: () => pipeline([scratch().fork(), wait()]) };
