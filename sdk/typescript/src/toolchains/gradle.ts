// Java and Kotlin with Gradle, on a JDK of Adoptium.

import { refuseUnknown } from "../errors.js";
import type { Step, StepOptions } from "../step.js";
import { bare, baseStep, install, type InstallOptions, isVersion, refuse, words } from "./chain.js";
import { dependencies, firstWord, Project } from "./project.js";

const PACKAGES = "curl ca-certificates git unzip";
const JDK = "https://api.adoptium.net/v3/binary/latest";
const MACHINE = "$(uname -m | sed 's/x86_64/x64/')";
const GRADLE = "https://services.gradle.org/distributions";
const WATCHED = [
  "**/gradle.lockfile",
  "**/*.gradle",
  "**/*.gradle.kts",
  "**/gradle.properties",
  "gradle/libs.versions.toml",
  "gradle/wrapper/gradle-wrapper.properties",
];

/** What `gradle`, `java` and `kotlin` take. */
export interface GradleOptions extends InstallOptions {
  readonly path?: string;
  /** A Gradle to install, such as `8.11.1`; without it the project's own `gradlew` runs. */
  readonly version?: string;
  /** `21` by default. */
  readonly javaVersion?: string;
}

/** A machine with a JDK, Gradle and the dependencies of the project at `path`. */
export class GradleProject extends Project {
  protected readonly tag: string;
  readonly #program: string;

  constructor(path: string, program: string, installed: Step, tag: string) {
    super(path, installed);
    this.#program = program;
    this.tag = tag;
  }

  /** The task `assemble`: everything is compiled and packed, nothing is tested. */
  build(options: StepOptions = {}): Step {
    return this.task("assemble", { label: `:${this.tag}: build`, ...options });
  }

  /** The task `test`. */
  test(options: StepOptions = {}): Step {
    return this.task("test", options);
  }

  /** The task `check`: the tests and what else the project verifies. */
  check(options: StepOptions = {}): Step {
    return this.task("check", options);
  }

  /** Any task, with its arguments: `project.task(":app:lint --info")`. */
  task(task: string, options: StepOptions = {}): Step {
    const word = firstWord(task, `${this.tag}: task needs a name`);
    const name = word.replace(/^:+|:+$/g, "").replaceAll(":", " ");
    return this.act(name, [this.#program, ...words([task], "task")].join(" "), options);
  }

  defaultActions(): readonly Step[] {
    return [this.build(), this.check()];
  }
}

function make(tag: string, options: GradleOptions): GradleProject {
  refuseUnknown(options, ["path", "version", "javaVersion", "image", "base"], `hm.${tag}`);
  const { path = ".", version, javaVersion = "21" } = options;
  if (!isVersion(javaVersion, [1])) throw refuse(tag, "javaVersion", javaVersion, 'use a number like "21"');
  if (version !== undefined && !isVersion(version, [2, 3])) {
    throw refuse(tag, "version", version, 'use a version like "8.11.1", or leave it out for gradlew');
  }
  let installed = install(
    baseStep(tag, PACKAGES, options),
    tag,
    "jdk-install",
    `curl -fsSL ${JDK}/${javaVersion}/ga/linux/${MACHINE}/jdk/hotspot/normal/eclipse -o /tmp/jdk.tgz` +
      " && rm -rf /usr/local/jdk && mkdir -p /usr/local/jdk" +
      " && tar -C /usr/local/jdk -xzf /tmp/jdk.tgz --strip-components=1" +
      " && ln -sf /usr/local/jdk/bin/* /usr/local/bin/ && java -version",
  );
  if (version !== undefined) {
    installed = install(
      installed,
      tag,
      "gradle-install",
      `curl -fsSL ${GRADLE}/gradle-${version}-bin.zip -o /tmp/gradle.zip` +
        " && unzip -q -o /tmp/gradle.zip -d /usr/local" +
        ` && ln -sf /usr/local/gradle-${version}/bin/gradle /usr/local/bin/gradle && gradle --version`,
    );
  }
  const program = `${version === undefined ? "./gradlew" : "gradle"} --no-daemon`;
  const deps = dependencies(installed, tag, "deps", path, `${program} dependencies`, WATCHED);
  return new GradleProject(path, program, deps, tag);
}

function entry(tag: string) {
  const made = (options: GradleOptions = {}): GradleProject => make(tag, options);
  const forms = bare(made, ["path", "version", "javaVersion", "image", "base"], ["build", "test", "check", "task"]);
  return Object.assign(made, forms);
}

/** `gradle({ path })` and the bare form `gradle.test({ path })`. */
export const gradle = entry("gradle");
/** `gradle` with labels of its own. */
export const java = entry("java");
/** `gradle` with labels of its own. */
export const kotlin = entry("kotlin");
