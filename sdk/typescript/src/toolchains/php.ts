// PHP of the distribution, with composer.

import { refuseUnknown, show, wrong } from "../errors.js";
import type { Env } from "../options.js";
import { quote } from "../shell.js";
import type { Step, StepOptions } from "../step.js";
import { bare, baseStep, install, type InstallOptions, isVersion, refuse, words } from "./chain.js";
import { dependencies, firstWord, Project } from "./project.js";

const TAG = "php";
const ENV: Env = { COMPOSER_ALLOW_SUPERUSER: "1", COMPOSER_NO_INTERACTION: "1" };
const EXTENSIONS = ["cli", "curl", "mbstring", "xml", "zip"];

/** What `php` takes. */
export interface PhpOptions extends InstallOptions {
  readonly path?: string;
  /** One that the image's distribution has, such as `8.3`. */
  readonly version?: string;
  /** More of its packages: `["intl", "pgsql"]`. */
  readonly extensions?: readonly string[];
}

/** A machine with composer and the packages of the project at `path`. */
export class PhpProject extends Project {
  protected readonly tag = TAG;

  /** `vendor/bin/phpunit` */
  test(options: StepOptions = {}): Step {
    return this.act("test", "vendor/bin/phpunit", options);
  }

  /** `vendor/bin/phpstan analyse`; the project depends on phpstan. */
  lint(options: StepOptions = {}): Step {
    return this.act("lint", "vendor/bin/phpstan analyse --no-progress", options);
  }

  /** Fails when a file is not formatted; the project depends on php-cs-fixer. */
  fmt(options: StepOptions = {}): Step {
    return this.act("fmt", "vendor/bin/php-cs-fixer fix --dry-run --diff", options);
  }

  /** Fails when composer.json is wrong or composer.lock does not belong to it. */
  validate(options: StepOptions = {}): Step {
    return this.act("validate", "composer validate --strict", options);
  }

  /** `composer audit` */
  audit(options: StepOptions = {}): Step {
    return this.act("audit", "composer audit", options);
  }

  /** `composer exec` for a command line of its own: `project.run("psalm --no-cache")`. */
  run(cmd: string, options: StepOptions = {}): Step {
    return this.act(firstWord(cmd, "php: run needs a command"), `composer exec -- ${cmd}`, options);
  }

  /** `composer run-script NAME` */
  script(name: string, options: StepOptions = {}): Step {
    if (typeof name !== "string" || name === "") throw wrong(`hm.php: script needs a name, got ${show(name)}`);
    return this.act(name, `composer run-script ${quote(name)}`, options);
  }

  defaultActions(): readonly Step[] {
    return [this.test()];
  }
}

function make(options: PhpOptions = {}): PhpProject {
  refuseUnknown(options, ["path", "version", "extensions", "image", "base"], "hm.php");
  const { path = ".", version, extensions = [] } = options;
  if (version !== undefined && !isVersion(version, [2])) {
    throw refuse("php", "version", version, 'use a version like "8.3", or leave it out');
  }
  const chosen = [...EXTENSIONS, ...words(extensions, "extensions")].map((name) => `php${version ?? ""}-${name}`);
  const installed = install(
    baseStep(TAG, `curl ca-certificates git unzip ${chosen.join(" ")}`, options),
    TAG,
    "composer-install",
    "curl -fsSL https://getcomposer.org/installer -o /tmp/composer-setup.php" +
      " && php /tmp/composer-setup.php --install-dir=/usr/local/bin --filename=composer && composer --version",
    ENV,
  );
  const fetch = "composer install --no-progress --prefer-dist";
  const watched = ["composer.lock", "composer.json"];
  return new PhpProject(path, dependencies(installed, TAG, "deps", path, fetch, watched, ENV), ENV);
}

/** `php({ path })` and the bare form `php.test({ path })`. */
export const php = Object.assign(
  make,
  bare(
    make,
    ["path", "version", "extensions", "image", "base"],
    ["test", "lint", "fmt", "validate", "audit", "run", "script"],
  ),
);
