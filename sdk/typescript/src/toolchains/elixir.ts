// Elixir on Erlang/OTP.

import { onChange } from "../cache.js";
import { refuseUnknown, show, wrong } from "../errors.js";
import type { Env } from "../options.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import { action, bare, baseStep, install, type InstallOptions, isVersion, refuse, take, within, words } from "./chain.js";

const TAG = "ex";
const ENV: Env = { ELIXIR_ERL_OPTIONS: "+fnu" };
const PACKAGES = "curl ca-certificates git unzip build-essential autoconf libncurses-dev libssl-dev";
const ERLANG = "https://binaries2.erlang-solutions.com/debian/pool/contrib/e/esl-erlang/esl-erlang";
const ELIXIR = "https://github.com/elixir-lang/elixir/releases/download";
const OTP_RELEASE = "erl -eval 'erlang:display(erlang:system_info(otp_release)), halt().' -noshell";

/** What `elixir` takes. */
export interface ElixirOptions extends InstallOptions {
  readonly path?: string;
  /** A version such as `1.18.3`. */
  readonly elixirVersion?: string;
  /** A version such as `27.3.3`. */
  readonly otpVersion?: string;
}

/** A machine with Elixir and the dependencies of the project at `path`. */
export class ElixirProject {
  readonly path: string;
  readonly installed: Step;
  #plt: Step | undefined;

  constructor(path: string, installed: Step) {
    this.path = path;
    this.installed = installed;
  }

  /** The step that fetches the dependencies. */
  install(): Step {
    return this.installed;
  }

  /** `mix compile` that fails on warnings. */
  compile(options: StepOptions = {}): Step {
    return this.#act("compile", "mix compile --warnings-as-errors", options);
  }

  /** `mix test` */
  test(options: StepOptions & { readonly cover?: boolean; readonly partitions?: number } = {}): Step {
    const [{ cover, partitions }, rest] = take(options, { cover: false, partitions: undefined as number | undefined });
    const flags = (cover ? " --cover" : "") + (partitions == null ? "" : ` --partitions ${Math.trunc(partitions)}`);
    return this.#act("test", `mix test${flags}`, rest);
  }

  /** Fails when a file is not formatted. */
  format(options: StepOptions = {}): Step {
    return this.#act("format", "mix format --check-formatted", options);
  }

  /** `mix credo --strict` */
  credo(options: StepOptions & { readonly strict?: boolean } = {}): Step {
    const [{ strict }, rest] = take(options, { strict: true });
    return this.#act("credo", `mix credo${strict ? " --strict" : ""}`, rest);
  }

  /** The types of the dependencies for dialyzer, cached until mix.lock changes. One step however often it is asked for. */
  plt(): Step {
    this.#plt ??= this.#act("plt", "mix dialyzer --plt", { cache: onChange(`${this.path}/mix.lock`) });
    return this.#plt;
  }

  /** `mix dialyzer`, from the step of `plt()`. */
  dialyzer(options: StepOptions = {}): Step {
    return mix(this.plt(), "dialyzer", within(this.path, "mix dialyzer"), options);
  }

  /** `mix sobelow --exit` */
  sobelow(options: StepOptions = {}): Step {
    return this.#act("sobelow", "mix sobelow --exit", options);
  }

  /** `mix deps.audit` */
  depsAudit(options: StepOptions = {}): Step {
    return this.#act("deps-audit", "mix deps.audit", options);
  }

  /** `mix hex.audit` */
  hexAudit(options: StepOptions = {}): Step {
    return this.#act("hex-audit", "mix hex.audit", options);
  }

  /** `mix release` for production; a string as `env` names another environment of mix. */
  release(options: Omit<StepOptions, "env"> & { readonly env?: Env | string } = {}): Step {
    const { env, ...rest } = options;
    const [name, variables] = typeof env === "string" ? [env, undefined] : ["prod", env];
    return this.#act("release", `MIX_ENV=${quote(name)} mix release`, { ...rest, env: variables });
  }

  /** Any task, with its arguments: `project.mix("ecto.migrate --quiet")`. */
  mix(task: string, options: StepOptions = {}): Step {
    if (typeof task !== "string" || task.trim() === "") throw wrong(`hm.elixir: mix needs a task, got ${show(task)}`);
    return this.#act(task, ["mix", ...words([task], "task")].join(" "), options);
  }

  /** What the project stands for as a leaf. */
  defaultActions(): readonly Step[] {
    return [this.compile(), this.test(), this.format()];
  }

  #act(name: string, cmd: string, options: StepOptions): Step {
    return mix(this.installed, name, within(this.path, cmd), options);
  }
}

function mix(parent: Step, name: string, cmd: string, options: StepOptions): Step {
  return action(parent, TAG, name, cmd, { ...options, env: { ...ENV, ...options.env } });
}

function make(options: ElixirOptions = {}): ElixirProject {
  refuseUnknown(options, ["path", "elixirVersion", "otpVersion", "image", "base"], "hm.elixir");
  const { path = ".", elixirVersion = "1.18.3", otpVersion = "27.3.3" } = options;
  if (!isVersion(elixirVersion, [3])) {
    throw refuse("elixir", "elixirVersion", elixirVersion, 'use a version like "1.18.3"');
  }
  if (!isVersion(otpVersion, [1, 2, 3])) throw refuse("elixir", "otpVersion", otpVersion, 'use a version like "27.3.3"');
  const erlang = install(
    baseStep(TAG, PACKAGES, options),
    TAG,
    "erlang-install",
    `curl -fsSL ${ERLANG}_${otpVersion}-1~debian~bookworm_$(dpkg --print-architecture).deb -o /tmp/erlang.deb` +
      ` && (dpkg -i /tmp/erlang.deb || apt-get install -fy) && ${OTP_RELEASE}`,
  );
  const otp = otpVersion.split(".")[0];
  const links = ["elixir", "mix", "iex"].map((name) => `ln -sf /usr/local/elixir/bin/${name} /usr/local/bin/${name}`);
  const elixir = install(
    erlang,
    TAG,
    "elixir-install",
    `curl -fsSL ${ELIXIR}/v${elixirVersion}/elixir-otp-${otp}.zip -o /tmp/elixir.zip` +
      ` && unzip -q /tmp/elixir.zip -d /usr/local/elixir && ${links.join(" && ")}` +
      " && mix local.hex --force && mix local.rebar --force && elixir --version",
    ENV,
  );
  const deps = elixir.sh(within(path, "mix deps.get && mix deps.compile"), {
    label: `:${TAG}: mix-deps`,
    cache: onChange(`${path}/mix.lock`),
    env: ENV,
  });
  return new ElixirProject(path, deps);
}

/** `elixir({ path })` and the bare form `elixir.test({ path })`. */
export const elixir = Object.assign(
  make,
  bare(
    make,
    ["path", "elixirVersion", "otpVersion", "image", "base"],
    [
      "compile",
      "test",
      "format",
      "credo",
      "plt",
      "dialyzer",
      "sobelow",
      "depsAudit",
      "hexAudit",
      "release",
      "mix",
    ],
  ),
);
