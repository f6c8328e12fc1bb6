// C and C++ projects with CMake.

import { type CachePolicy, onChange } from "../cache.js";
import { refuseUnknown, show, wrong } from "../errors.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import { action, bare, baseStep, below, install, type InstallOptions, refuse, take, within } from "./chain.js";

const TAG = "cmake";
const MACHINE = ["compiler", "ccache", "generator", "image", "base"] as const;
const PROJECT = ["path", "preset", "defines", "deps", "target", "cache"] as const;
const JOBS = "--parallel $(nproc)";
const SOURCES = ["c", "h", "cpp", "hpp", "cc", "cxx"].map((suffix) => `-name '*.${suffix}'`).join(" -o ");
const VCPKG = "git clone https://github.com/microsoft/vcpkg.git /opt/vcpkg && /opt/vcpkg/bootstrap-vcpkg.sh";

/** What `cmake` takes for a toolchain. */
export interface CMakeToolchainOptions extends InstallOptions {
  /** `gcc`, `gcc-13`, `clang` or `clang-18`; the image's own otherwise. */
  readonly compiler?: string;
  readonly ccache?: boolean;
  readonly generator?: "ninja" | "make";
}

/** The variables of a project, with their values; numbers are whole. */
type Defines = Readonly<Record<string, string | number | boolean>>;

/** What a project adds. */
export interface CMakeProjectOptions {
  readonly path?: string;
  readonly preset?: string;
  readonly defines?: Defines;
  readonly deps?: "vcpkg" | null;
  /** What is built; everything by default. */
  readonly target?: string;
  readonly cache?: CachePolicy;
}

/** What `cmake` takes. */
export type CMakeOptions = CMakeToolchainOptions & CMakeProjectOptions;

/** A machine with CMake, a generator and compilers. */
export class CMakeToolchain {
  readonly installed: Step;
  readonly compiler: string | undefined;
  readonly ccache: boolean;
  readonly generator: "ninja" | "make";

  constructor(installed: Step, compiler: string | undefined, ccache: boolean, generator: "ninja" | "make") {
    this.installed = installed;
    this.compiler = compiler;
    this.ccache = ccache;
    this.generator = generator;
  }

  /** The step that installs CMake. */
  install(): Step {
    return this.installed;
  }

  /** Configures and builds the project at `path`; what follows starts from there. */
  project(options: CMakeProjectOptions = {}): CMakeProject {
    refuseUnknown(options, PROJECT, "hm.cmake: project");
    const { path = ".", preset, defines, deps, target, cache } = options;
    if (deps != null && deps !== "vcpkg") throw refuse("cmake", "deps", deps, 'use "vcpkg", or leave it out');
    const inputs = onChange(`${below(path)}${deps == null ? "CMakeLists.txt" : "vcpkg.json"}`);
    let step = this.installed;
    if (deps != null) {
      const command = `${VCPKG} && ${within(path, "/opt/vcpkg/vcpkg install")}`;
      step = step.sh(command, { label: `:${TAG}: vcpkg`, cache: inputs });
    }
    const build = target ? `${JOBS} --target ${quote(target)}` : JOBS;
    const built = step.sh(within(path, `${this.#configure(preset, defines)} && cmake --build build ${build}`), {
      label: `:${TAG}: build`,
      cache: cache ?? inputs,
    });
    return new CMakeProject(this, built, path, build);
  }

  /** What the toolchain stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return this.project().defaultActions();
  }

  #configure(preset: string | undefined, defines: Defines = {}): string {
    const command = preset == null ? this.#configureWords() : ["cmake", "--preset", quote(preset)];
    const defined = Object.entries(defines).map(([name, value]) => quote(`-D${name}=${shown(name, value)}`));
    return [...command, ...defined].join(" ");
  }

  #configureWords(): string[] {
    const generator = this.generator === "ninja" ? "Ninja" : "Unix Makefiles";
    const command = ["cmake", "-S", ".", "-B", "build", "-G", quote(generator), "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"];
    if (this.ccache) command.push(...["C", "CXX"].map((language) => `-DCMAKE_${language}_COMPILER_LAUNCHER=ccache`));
    if (this.compiler !== undefined) {
      const [c, cxx] = programs(this.compiler);
      command.push(`-DCMAKE_C_COMPILER=${c}`, `-DCMAKE_CXX_COMPILER=${cxx}`);
    }
    return command;
  }
}

/** A value as the SDK for Python writes it; CMake reads `True` as `ON`. */
function shown(name: string, value: string | number | boolean): string {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Number.isSafeInteger(value)) return String(value);
  throw wrong(
    `hm.cmake: ${name} in defines must be a string, a whole number or a boolean, not ${show(value)}`,
    `write ${name}: "..."`,
  );
}

/** A project that is built. */
export class CMakeProject {
  readonly toolchain: CMakeToolchain;
  readonly built: Step;
  readonly path: string;
  readonly buildOptions: string;

  constructor(toolchain: CMakeToolchain, built: Step, path: string, buildOptions: string) {
    this.toolchain = toolchain;
    this.built = built;
    this.path = path;
    this.buildOptions = buildOptions;
  }

  /** The step that builds. */
  build(): Step {
    return this.built;
  }

  /** Brings the build up to date and runs `ctest`. */
  test(options: StepOptions & { readonly parallel?: boolean } = {}): Step {
    const [{ parallel }, rest] = take(options, { parallel: true });
    const folder = this.#buildFolder();
    const ctest = `ctest --test-dir ${folder} --output-on-failure${parallel ? ` ${JOBS}` : ""}`;
    return action(this.built, TAG, "test", `cmake --build ${folder} ${this.buildOptions} && ${ctest}`, rest);
  }

  /** `cmake --install`, below `prefix` if given. */
  install(options: StepOptions & { readonly prefix?: string } = {}): Step {
    const [{ prefix }, rest] = take(options, { prefix: "" });
    const under = prefix ? ` --prefix ${quote(prefix)}` : "";
    return action(this.built, TAG, "install", `cmake --install ${this.#buildFolder()}${under}`, rest);
  }

  /** `clang-format` of all sources, which needs nothing built. */
  fmt(options: StepOptions & { readonly fix?: boolean } = {}): Step {
    const [{ fix }, rest] = take(options, { fix: false });
    const mode = fix ? "-i" : "--dry-run --Werror";
    const command = `find . -not -path './build/*' \\( ${SOURCES} \\) | xargs clang-format ${mode}`;
    return action(this.toolchain.installed, TAG, "fmt", within(this.path, command), rest);
  }

  /** `run-clang-tidy` */
  lint(options: StepOptions = {}): Step {
    return action(this.built, TAG, "lint", within(this.path, "run-clang-tidy -p build"), options);
  }

  /** `cpack`, with a generator of its own if given. */
  package(options: StepOptions & { readonly generator?: string } = {}): Step {
    const [{ generator }, rest] = take(options, { generator: "" });
    const kind = generator ? ` -G ${quote(generator)}` : "";
    return action(this.built, TAG, "package", `cd ${this.#buildFolder()} && cpack${kind}`, rest);
  }

  /** What the project stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return [this.test()];
  }

  #buildFolder(): string {
    return quote(`${this.path.replace(/\/+$/, "")}/build`);
  }
}

/** The C and the C++ program of `gcc`, `gcc-13`, `clang` or `clang-18`. */
function programs(compiler: string): [string, string] {
  const parts = /^(gcc|clang)(-[0-9]+)?$/.exec(compiler);
  if (parts === null) throw refuse("cmake", "compiler", compiler, 'use "gcc", "gcc-13", "clang" or "clang-18"');
  return [compiler, (parts[1] === "gcc" ? "g++" : "clang++") + (parts[2] ?? "")];
}

function packages(compiler: string | undefined, ccache: boolean, generator: string): string {
  const names = ["cmake", "build-essential", "pkg-config"];
  if (generator === "ninja") names.push("ninja-build");
  if (ccache) names.push("ccache");
  names.push("clang-format", "clang-tidy");
  if (compiler !== undefined) {
    const [c, cxx] = programs(compiler);
    names.push(c, c.startsWith("gcc") ? cxx : c.replace("clang", "lld"));
  }
  return names.join(" ");
}

function make(options: CMakeOptions & { readonly path: string }): CMakeProject;
function make(options?: CMakeOptions): CMakeToolchain;
function make(options: CMakeOptions = {}): CMakeToolchain | CMakeProject {
  refuseUnknown(options, [...MACHINE, ...PROJECT], "hm.cmake");
  const { path, compiler, ccache = true, generator = "ninja", preset, defines, deps, target, cache } = options;
  if (!["ninja", "make"].includes(generator)) {
    throw refuse("cmake", "generator", generator, 'use "ninja" or "make"');
  }
  const checks = ["cmake --version"];
  if (generator === "ninja") checks.push("ninja --version");
  if (ccache) checks.push("ccache --version");
  if (compiler !== undefined) checks.push(`${programs(compiler)[0]} --version`);
  const base = baseStep(TAG, packages(compiler, ccache, generator), options);
  const installed = install(base, TAG, "verify", checks.join(" && "));
  const toolchain = new CMakeToolchain(installed, compiler, ccache, generator);
  if (path != null) return toolchain.project({ path, preset, defines, deps, target, cache });
  if (preset || defines || deps || target || cache) {
    throw wrong("hm.cmake: preset, defines, deps, target and cache are of a project", 'add path: "."');
  }
  return toolchain;
}

function project(options: CMakeOptions = {}): CMakeProject {
  return make({ ...options, path: options.path ?? "." });
}

/** `cmake({ path })` is a project, `cmake()` a toolchain, `cmake.test({ path })` the bare form. */
export const cmake = Object.assign(
  make,
  bare(
    project,
    [...MACHINE, ...PROJECT],
    ["build", "test", "install", "fmt", "lint", "package"],
  ),
);
