// A folder that needs quotes gets them.

import { sh } from "@harmont/hm";

export default { slug: "p", pipeline: () => sh("ls", { cwd: "my folder", label: "ls" }) };
