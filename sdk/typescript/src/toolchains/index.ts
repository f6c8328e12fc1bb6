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
export { elixir, type ElixirOptions, ElixirProject } from "./elixir.js";
export { go, type GoOptions, GoToolchain } from "./go.js";
export { js, type JsOptions, JsProject, type PackageManager, type Runtime, ts } from "./js.js";
export { py, python, type PythonOptions, PythonToolchain, type UvOptions, UvProject } from "./python.js";
export { rust, RustProject, type RustProjectOptions, RustToolchain, type RustToolchainOptions } from "./rust.js";
export { zig, type ZigOptions, ZigProject, ZigToolchain } from "./zig.js";
