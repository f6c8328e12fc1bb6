// Toolchains that the public package no longer has, each as a leaf and with its other actions.

import { pipeline, sh } from "@harmont/hm";
import { dotnet, elm, gradle, haskell, java, kotlin, ocaml, perl, php, ruby } from "@harmont/hm/toolchains";

function defaults() {
  return pipeline([
    haskell({ path: "haskell" }),
    haskell({ path: "stack", tool: "stack" }),
    ocaml({ path: "ocaml" }),
    perl({ path: "perl" }),
    ruby({ path: "ruby" }),
    dotnet({ path: "dotnet" }),
    gradle({ path: "gradle" }),
    java({ path: "java", version: "8.11.1", javaVersion: "17" }),
    kotlin({ path: "kotlin" }),
    php({ path: "php" }),
    elm({ path: "elm" }),
  ]);
}

function others() {
  const base = sh("prepare", { key: "base" });
  const cabal = haskell({ base, ghcVersion: "9.6.6" });
  const stack = haskell({ base, tool: "stack", path: "stack" });
  const caml = ocaml({ base, version: "4.14.2" });
  const camel = perl({ base });
  const gems = ruby({ base, version: "3.2.6" });
  const net = dotnet({ base, version: "9.0.100", locked: true });
  const app = kotlin({ base, path: "app" });
  const site = php({ base });
  const tree = elm({ base, main: null, nodeVersion: "20" });
  return pipeline([
    cabal.doc(),
    cabal.check(),
    stack.doc(),
    stack.check(),
    caml.fmt(),
    caml.doc(),
    caml.dune("exec bin/main.exe"),
    camel.test({ flags: ["-j 4"] }),
    camel.lint(),
    gems.fmt(),
    gems.run("rake build"),
    net.pack({ configuration: "Debug Local" }),
    net.publish(),
    app.test(),
    app.task(":app:lint --info"),
    site.lint(),
    site.fmt(),
    site.validate(),
    site.audit(),
    site.run("psalm --no-cache"),
    site.script("post install"),
    tree.build(),
    tree.review(),
  ]);
}

function bare() {
  const path = "a b";
  return pipeline([
    haskell.test({ path }),
    ocaml.test({ path }),
    perl.test({ path }),
    ruby.test({ path }),
    dotnet.test({ path }),
    gradle.test({ path }),
    php.test({ path, version: "8.3", extensions: ["intl"] }),
    elm.build({ path, main: "src/My App.elm", output: "app.js", image: "debian:12" }),
  ]);
}

export const pipelines = [
  { slug: "defaults", pipeline: defaults() },
  { slug: "others", pipeline: others() },
  { slug: "bare", pipeline: bare() },
];
