import { ttl } from "../cache.js";
import { requireTexts, wrong } from "../errors.js";
import { quote } from "../shell.js";
import { scratch, type Step } from "../step.js";

const DAY = 24 * 60 * 60;

/** What `aptBase` takes. */
export interface AptBaseOptions {
  /** Debian packages to install. */
  readonly packages: readonly string[];
  /** Image to start from; the pipeline's default one otherwise. */
  readonly image?: string;
  /** Shown to people; `:apt: base` by default. */
  readonly label?: string;
}

/** A machine with Debian packages, renewed once a day; give it as `base` to toolchains that share it. */
export function aptBase(options: AptBaseOptions): Step {
  const packages = requireTexts(options.packages, "packages");
  if (packages.length === 0) throw wrong("hm.aptBase: packages must not be empty", 'aptBase({ packages: ["curl"] })');
  return aptStep(packages, options.image, options.label ?? ":apt: base");
}

/** The step that installs Debian packages in a fresh machine. */
export function aptStep(packages: readonly string[], image: string | undefined, label: string): Step {
  return scratch({ image }).sh(`apt-get update && apt-get install -y ${packages.map(quote).join(" ")}`, {
    label,
    cache: ttl(DAY),
  });
}
