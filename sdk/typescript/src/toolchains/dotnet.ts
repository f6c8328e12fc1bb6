// The .NET SDK from its installer.

import { refuseUnknown } from "../errors.js";
import type { Env } from "../options.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import { bare, baseStep, install, type InstallOptions, isVersion, refuse, take } from "./chain.js";
import { dependencies, Project } from "./project.js";

const TAG = "dotnet";
const PACKAGES = "curl ca-certificates libicu-dev libssl-dev zlib1g";
const ENV: Env = { DOTNET_CLI_TELEMETRY_OPTOUT: "1", DOTNET_NOLOGO: "1" };
const WATCHED = [
  "**/packages.lock.json",
  "**/*.csproj",
  "**/*.fsproj",
  "**/*.vbproj",
  "**/*.sln",
  "**/*.slnx",
  "**/*.props",
  "**/*.targets",
  "global.json",
  "nuget.config",
  "NuGet.config",
  "NuGet.Config",
];

/** What `dotnet` takes. */
export interface DotnetOptions extends InstallOptions {
  readonly path?: string;
  /** A channel such as `8.0`, or one SDK such as `8.0.404`. */
  readonly version?: string;
  /** Fails when packages.lock.json does not fit. */
  readonly locked?: boolean;
}

/** What actions take that build. */
export type DotnetBuild = StepOptions & {
  /** `Release` by default. */
  readonly configuration?: string;
};

/** A machine with the .NET SDK and the packages of the project at `path`. */
export class DotnetProject extends Project {
  protected readonly tag = TAG;

  /** `dotnet build` with warnings as errors. */
  build(options: DotnetBuild = {}): Step {
    return this.#configured("build", " -warnaserror", options);
  }

  /** `dotnet test` */
  test(options: DotnetBuild = {}): Step {
    return this.#configured("test", "", options);
  }

  /** Fails when a file is not formatted. */
  fmt(options: StepOptions = {}): Step {
    return this.act("fmt", "dotnet format --no-restore --verify-no-changes", options);
  }

  /** `dotnet pack` */
  pack(options: DotnetBuild = {}): Step {
    return this.#configured("pack", "", options);
  }

  /** `dotnet publish` */
  publish(options: DotnetBuild = {}): Step {
    return this.#configured("publish", "", options);
  }

  defaultActions(): readonly Step[] {
    return [this.build(), this.test(), this.fmt()];
  }

  #configured(name: string, flags: string, options: DotnetBuild): Step {
    const [{ configuration }, rest] = take(options, { configuration: "Release" });
    return this.act(name, `dotnet ${name} --no-restore -c ${quote(configuration)}${flags}`, rest);
  }
}

function make(options: DotnetOptions = {}): DotnetProject {
  refuseUnknown(options, ["path", "version", "locked", "image", "base"], "hm.dotnet");
  const { path = ".", version = "8.0", locked = false } = options;
  if (!isVersion(version, [2, 3])) {
    throw refuse("dotnet", "version", version, 'use a channel like "8.0" or a version like "8.0.404"');
  }
  const option = version.split(".").length === 2 ? "--channel" : "--version";
  const installed = install(
    baseStep(TAG, PACKAGES, options),
    TAG,
    "install",
    "curl -fsSL https://dot.net/v1/dotnet-install.sh -o /tmp/dotnet-install.sh" +
      ` && bash /tmp/dotnet-install.sh ${option} ${version} --install-dir /usr/local/dotnet` +
      " && ln -sf /usr/local/dotnet/dotnet /usr/local/bin/dotnet && dotnet --version",
    ENV,
  );
  const restore = `dotnet restore${locked ? " --locked-mode" : ""}`;
  return new DotnetProject(path, dependencies(installed, TAG, "restore", path, restore, WATCHED, ENV), ENV);
}

/** `dotnet({ path })` and the bare form `dotnet.test({ path })`. */
export const dotnet = Object.assign(
  make,
  bare(make, ["path", "version", "locked", "image", "base"], ["build", "test", "fmt", "pack", "publish"]),
);
