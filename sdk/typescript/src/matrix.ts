import { refuseUnknown, show, wrong } from "./errors.js";

/** Every combination of the axes' values, as objects. */
export type Combination<Axes extends Readonly<Record<string, readonly unknown[]>>> = {
  [Name in keyof Axes]: Axes[Name][number];
};

/**
 * Every combination of the axes' values, the last axis fastest.
 *
 * A combination that agrees with an entry of `exclude` is left out; those of `include` are added at the end.
 *
 * ```ts
 * matrix({ os: ["debian", "alpine"], n: [1, 2] }, { exclude: [{ os: "alpine", n: 2 }] });
 * ```
 */
export function matrix<const Axes extends Readonly<Record<string, readonly unknown[]>>>(
  axes: Axes,
  options: {
    readonly include?: readonly Combination<Axes>[];
    readonly exclude?: readonly Partial<Combination<Axes>>[];
  } = {},
): Combination<Axes>[] {
  refuseUnknown(options, ["include", "exclude"], "hm.matrix");
  let combinations: Record<string, unknown>[] = Object.keys(axes).length === 0 ? [] : [{}];
  for (const [name, values] of Object.entries(axes)) {
    if (!Array.isArray(values)) {
      throw wrong(`hm.matrix: the values of ${show(name)} must be an array`, `${name}: [${show(values)}]`);
    }
    combinations = combinations.flatMap((known) => values.map((value: unknown) => ({ ...known, [name]: value })));
  }
  const unwanted = (options.exclude ?? []) as readonly Record<string, unknown>[];
  const kept = combinations.filter((combination) => !unwanted.some((entry) => agrees(combination, entry)));
  return [...(kept as Combination<Axes>[]), ...(options.include ?? [])];
}

function agrees(combination: Record<string, unknown>, entry: Record<string, unknown>): boolean {
  return Object.entries(entry).every(([name, value]) => name in combination && combination[name] === value);
}
