// Installers pick the machine's architecture.

import { pipeline } from "@harmont/hm";
import { elixir, go, zig } from "@harmont/hm/toolchains";

const shop = elixir({ path: "shop", otpVersion: "26.2", elixirVersion: "1.17.0" });

export default [
  { slug: "go", pipeline: pipeline([go({ path: "api" }).test(), go.vet({ path: "api", version: "1.22.0" })]) },
  { slug: "zig", pipeline: pipeline([zig({ path: "lib" }).build(), zig.test({ path: "lib", version: "0.13.0" })]) },
  { slug: "elixir", pipeline: pipeline([shop.compile(), shop.dialyzer(), shop.release(), shop.mix("phx.routes")]) },
];
