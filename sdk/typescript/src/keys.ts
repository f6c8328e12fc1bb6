import { show, wrong } from "./errors.js";
import { sha256 } from "./sha256.js";
import type { Step } from "./step.js";

/** One key per step; `parents[i]` is the node of the direct parent when that is a command. */
export function assignKeys(steps: readonly Step[], parents: readonly (number | null)[]): string[] {
  const taken = new Set<string>();
  for (const { fields } of steps) {
    if (fields.key === undefined) continue;
    if (taken.has(fields.key)) throw wrong(`hm: two steps have the key ${show(fields.key)}`, "give each key once");
    taken.add(fields.key);
  }
  const slugs = steps.map(({ fields }) => (fields.label ? slugify(fields.label) : ""));
  const uses = new Map<string, number>();
  for (const slug of slugs) uses.set(slug, (uses.get(slug) ?? 0) + 1);
  const keys: string[] = [];
  steps.forEach(({ fields }, position) => {
    const slug = slugs[position] ?? "";
    const parent = parents[position];
    let key: string;
    if (fields.key !== undefined) {
      key = fields.key;
    } else if (slug !== "" && uses.get(slug) === 1 && !taken.has(slug)) {
      key = slug;
    } else {
      key = positionalKey(typeof parent === "number" ? (keys[parent] ?? "") : "", fields.cmd ?? "", position);
    }
    taken.add(key);
    keys.push(key);
  });
  return keys;
}

/** The key of a step without a usable label. */
export function positionalKey(parentKey: string, cmd: string, position: number): string {
  return sha256(`${parentKey}\0${cmd}\0${position}`).slice(0, 12);
}

/** A label as a key: lower case, without `:emoji:` names, words joined by `-`. */
export function slugify(label: string): string {
  return label
    .toLowerCase()
    .replace(/:[a-z0-9_+-]+:/g, " ")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
}
