import { requireText, show, wrong } from "./errors.js";

interface Slot {
  readonly name: string;
  value?: { readonly made: unknown };
  running: boolean;
}

const slots = new Set<Slot>();
const running: Slot[] = [];

/**
 * A value that pipelines share, made at its first use and once.
 *
 * Calling `make` again where a target is meant would make a second chain of equal steps; the target gives the same one.
 */
export function target<T>(name: string, make: () => T): () => T {
  requireText(name, "hm.target: the name");
  if (typeof make !== "function") {
    throw wrong(`hm.target: the second argument must be a function, not ${show(make)}`, `target(${show(name)}, () => sh("make"))`);
  }
  const slot: Slot = { name, running: false };
  slots.add(slot);
  return () => {
    if (slot.value === undefined) {
      slots.add(slot);
      slot.value = { made: run(slot, make) };
    }
    return slot.value.made as T;
  };
}

/** Forgets the values, so that each target is made anew at its next use. */
export function clearTargetCache(): void {
  for (const slot of slots) delete slot.value;
}

function run<T>(slot: Slot, make: () => T): T {
  if (slot.running) {
    const circle = [...running.slice(running.indexOf(slot)), slot].map(({ name }) => name).join(" → ");
    throw wrong(`hm: targets need each other in a circle: ${circle}`, "move what they share into a target of its own");
  }
  slot.running = true;
  running.push(slot);
  try {
    return make();
  } finally {
    running.pop();
    slot.running = false;
  }
}
