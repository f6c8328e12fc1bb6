/** Toolchains: steps that install a language's tools and run its checks. */

export type { CargoCompile, CargoSelection, CargoTargets } from "./cargo.js";
export { aptBase, type AptBaseOptions, type InstallOptions } from "./chain.js";
export {
  cmake,
  type CMakeOptions,
  CMakeProject,
  type CMakeProjectOptions,
  CMakeToolchain,
  type CMakeToolchainOptions,
} from "./cmake.js";
export { dotnet, type DotnetBuild, type DotnetOptions, DotnetProject } from "./dotnet.js";
export { elixir, type ElixirOptions, ElixirProject } from "./elixir.js";
export { elm, type ElmOptions, ElmProject } from "./elm.js";
export { go, type GoOptions, GoToolchain } from "./go.js";
export { gradle, type GradleOptions, GradleProject, java, kotlin } from "./gradle.js";
export { haskell, type HaskellOptions, HaskellProject } from "./haskell.js";
export { js, type JsOptions, JsProject, type PackageManager, type Runtime, ts } from "./js.js";
export { ocaml, type OCamlOptions, OCamlProject } from "./ocaml.js";
export { perl, type PerlOptions, PerlProject } from "./perl.js";
export { php, type PhpOptions, PhpProject } from "./php.js";
export { py, python, type PythonOptions, PythonToolchain, type UvOptions, UvProject } from "./python.js";
export { ruby, type RubyOptions, RubyProject } from "./ruby.js";
export { rust, RustProject, type RustProjectOptions, RustToolchain, type RustToolchainOptions } from "./rust.js";
export { zig, type ZigOptions, ZigProject, ZigToolchain } from "./zig.js";
