// A pinned uv is the one that is installed.

import { pipeline } from "@harmont/hm";
import { py } from "@harmont/hm/toolchains";

export default { slug: "p", pipeline: pipeline([py.uv({ version: "0.5.1" }).test()]) };
