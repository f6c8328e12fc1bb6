// What projects of a toolchain share: the step of the dependencies and the actions after it.

import { onChange } from "../cache.js";
import { show, wrong } from "../errors.js";
import type { Env } from "../options.js";
import type { Step, StepOptions } from "../step.js";
import { action, within } from "./chain.js";

/** A project at `path` on a machine with its toolchain and dependencies. */
export abstract class Project {
  readonly path: string;
  readonly installed: Step;
  protected abstract readonly tag: string;
  protected readonly env: Env | undefined;

  constructor(path: string, installed: Step, env?: Env) {
    this.path = path;
    this.installed = installed;
    this.env = env;
  }

  /** The step that fetches the dependencies. */
  install(): Step {
    return this.installed;
  }

  /** What the project stands for as a leaf. */
  abstract defaultActions(): readonly Step[];

  protected act(name: string, cmd: string, options: StepOptions): Step {
    const chosen = this.env === undefined ? options : { ...options, env: { ...this.env, ...options.env } };
    return action(this.installed, this.tag, name, within(this.path, cmd), chosen);
  }
}

/** A step in the project at `path` that is cached until one of the `watched` files of the project changes. */
export function dependencies(
  parent: Step,
  tag: string,
  name: string,
  path: string,
  cmd: string,
  watched: readonly string[],
  env?: Env,
): Step {
  const paths = watched.map((file) => `${path}/${file}`);
  return parent.sh(within(path, cmd), { label: `:${tag}: ${name}`, cache: onChange(...paths), env });
}

/** The first word of `text`, which must not be empty. */
export function firstWord(text: string, what: string): string {
  const word = typeof text === "string" ? text.trim().split(/\s+/)[0] : "";
  if (!word) throw wrong(`hm.${what}, got ${show(text)}`);
  return word;
}
