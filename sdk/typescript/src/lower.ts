import { lowerCache } from "./cache.js";
import { type Duration, seconds } from "./duration.js";
import { show, wrong } from "./errors.js";
import { assignKeys } from "./keys.js";
import { type Env, environment } from "./options.js";
import { note } from "./places.js";
import { Step } from "./step.js";

/** The IR document of one pipeline. */
export interface PipelineIR {
  readonly version: string;
  readonly default_image?: string;
  readonly timeout_seconds?: number;
  readonly graph: {
    readonly nodes: readonly GraphNode[];
    readonly node_holes: readonly never[];
    readonly edge_property: "directed";
    readonly edges: readonly GraphEdge[];
  };
}

/** A step of the IR with its whole environment. */
export interface GraphNode {
  readonly step: Readonly<Record<string, unknown>>;
  readonly env: Env;
}

/** Prerequisite, dependent, kind. */
export type GraphEdge = readonly [number, number, "builds_in" | "depends_on"];

/** What brings several steps when it stands among the leaves, as toolchains do. */
export interface HasDefaultActions {
  defaultActions(): Leaves;
}

/** Steps, what stands for steps, and arrays of both. */
export type Leaves = Step | HasDefaultActions | readonly Leaves[];

/** What a pipeline says beside its steps. */
export interface PipelineOptions {
  /** Variables of every step. */
  readonly env?: Env;
  /** Budget of the whole build. */
  readonly timeout?: Duration;
  /** Image of every chain that names none. */
  readonly defaultImage?: string;
}

const DEFAULT_IMAGE = "ubuntu:24.04";
/** The edges that waits may make: a document with as many has 27 MB. */
const MOST_EDGES = 1_000_000;
const BASE_ENV: Env = { DEBIAN_FRONTEND: "noninteractive", TERM: "dumb" };

/** The IR document of the graph that ends in `leaves`. */
export function lower(leaves: Leaves, options: PipelineOptions = {}): PipelineIR {
  const graph = new Graph({ ...BASE_ENV, ...environment(options.env ?? {}) }, options.defaultImage);
  for (const step of flatten(leaves)) graph.addLeaf(step);
  if (graph.isEmpty()) {
    throw wrong(
      "hm: a pipeline needs at least one step",
      "give the last step of each branch, for example pipeline([test, lint])",
    );
  }
  const document: PipelineIR = {
    version: "0",
    ...(options.defaultImage == null ? {} : { default_image: options.defaultImage }),
    ...(options.timeout == null ? {} : { timeout_seconds: seconds(options.timeout) }),
    graph: graph.finish(),
  };
  note(document, graph.places());
  return document;
}

/** The steps in nested arrays and toolchain objects, in order. */
function flatten(value: Leaves): Step[] {
  const steps: Step[] = [];
  const pending: unknown[] = [value];
  // What holds the item that is looked at.
  const holders = new Set<unknown>();
  const enter = (holder: unknown) => {
    if (holders.has(holder)) throw wrong(`hm: ${show(holder)} holds itself`, "leave it out of what it holds");
    holders.add(holder);
    pending.push(new End(holder));
  };
  while (pending.length > 0) {
    const item = pending.pop();
    if (item instanceof Step) {
      steps.push(item);
    } else if (item instanceof End) {
      holders.delete(item.of);
    } else if (Array.isArray(item)) {
      enter(item);
      for (let index = item.length - 1; index >= 0; index--) pending.push(item[index]);
    } else if (typeof (item as HasDefaultActions | null)?.defaultActions === "function") {
      enter(item);
      pending.push((item as HasDefaultActions).defaultActions());
    } else {
      throw wrong(`hm: ${show(item)} is no step of a pipeline`, "give steps, or arrays of steps");
    }
  }
  return steps;
}

/** Stands behind the items of what holds them. */
class End {
  readonly of: unknown;

  constructor(of: unknown) {
    this.of = of;
  }
}

/** A step of the IR while it is made: the key comes last and a copy may tighten the budget. */
interface Draft {
  readonly step: { key: string; timeout_seconds?: number; [name: string]: unknown };
  readonly env: Env;
}

/** The nodes and edges met so far. */
class Graph {
  readonly #nodes: Draft[] = [];
  readonly #edges: GraphEdge[] = [];
  readonly #steps: Step[] = [];
  readonly #parents: (number | null)[] = [];
  /** Node of the nearest command at or above each step met. */
  readonly #nodeOf = new Map<Step, number | null>();
  readonly #env: Env;
  readonly #defaultImage: string | undefined;
  #segment: number[] = [];
  #barrier: readonly number[] = [];
  #continue = false;
  /** Edges that waits made so far. */
  #waits = 0;

  constructor(env: Env, defaultImage: string | undefined) {
    this.#env = env;
    this.#defaultImage = defaultImage;
  }

  /** Adds the leaf with those of its ancestors that are not there yet, parents first. */
  addLeaf(leaf: Step): void {
    if (leaf.fields.isWait === true) {
      this.#addWait(leaf);
      return;
    }
    const fresh: Step[] = [];
    let step: Step | undefined = leaf;
    while (step !== undefined && !this.#nodeOf.has(identity(step))) {
      fresh.push(step);
      step = step.fields.parent;
    }
    let above: number | null = null;
    if (step !== undefined) {
      above = this.#nodeOf.get(identity(step)) ?? null;
      this.#limit(step, above);
    }
    for (const found of fresh.reverse()) {
      if (found.fields.cmd !== undefined) above = this.#addNode(found, above);
      this.#nodeOf.set(identity(found), above);
    }
  }

  /** Whether no command was met. */
  isEmpty(): boolean {
    return this.#nodes.length === 0;
  }

  /** The calls that led to each node's step, where they are noted. */
  places(): (string | undefined)[] {
    return this.#steps.map((step) => step.place);
  }

  finish(): PipelineIR["graph"] {
    const keys = assignKeys(this.#steps, this.#parents);
    this.#nodes.forEach((node, index) => {
      node.step.key = keys[index] ?? "";
    });
    return { nodes: this.#nodes, node_holes: [], edge_property: "directed", edges: this.#edges };
  }

  #addWait(wait: Step): void {
    const goesOn = wait.fields.continueOnFailure === true;
    if (this.#segment.length > 0) {
      this.#barrier = this.#segment;
      this.#segment = [];
      this.#continue = goesOn;
    } else if (this.#barrier.length > 0 && goesOn) {
      this.#continue = true;
    }
  }

  /** Applies the budget of a copy whose node is already there; the tightest budget holds. */
  #limit(copy: Step, node: number | null): void {
    const budget = copy.fields.timeoutSeconds;
    const written = node === null ? undefined : this.#nodes[node]?.step;
    if (copy.fields.copyOf === undefined || copy.fields.cmd === undefined || budget === undefined || !written) return;
    written.timeout_seconds = Math.min(written.timeout_seconds ?? budget, budget);
  }

  /** Adds one edge from each step before the last wait. */
  #waitForBarrier(node: number): void {
    this.#waits += this.#barrier.length;
    if (this.#waits > MOST_EDGES) {
      throw wrong(
        `hm: a wait() has each step after it wait for each of the ${this.#barrier.length} before it, ` +
          `and that makes more than ${MOST_EDGES} edges`,
        'put one step between two waits: [...before, wait(), sh("true", { label: "gate" }), wait(), ...after]',
      );
    }
    for (const before of this.#barrier) this.#edges.push([before, node, "depends_on"]);
  }

  #addNode(step: Step, parent: number | null): number {
    const node = this.#nodes.length;
    const { fields } = step;
    const image = fields.image ?? (parent === null && this.#defaultImage == null ? DEFAULT_IMAGE : undefined);
    this.#nodes.push({
      // What is undefined is not written.
      step: {
        key: "",
        cmd: fields.cmd,
        label: fields.label,
        cache: fields.cache === undefined ? undefined : lowerCache(fields.cache),
        timeout_seconds: fields.timeoutSeconds,
        image,
        runner: fields.runner,
        runner_args: fields.runnerArgs,
        continue_on_failure: this.#continue ? true : undefined,
        ...fields.extras,
      },
      env: fields.env === undefined ? this.#env : { ...this.#env, ...fields.env },
    });
    if (parent !== null) this.#edges.push([parent, node, "builds_in"]);
    this.#waitForBarrier(node);
    this.#segment.push(node);
    this.#steps.push(step);
    this.#parents.push(fields.parent?.fields.cmd === undefined ? null : parent);
    return node;
  }
}

/** A step with a budget is the same node as the step without. */
function identity(step: Step): Step {
  return step.fields.copyOf ?? step;
}
