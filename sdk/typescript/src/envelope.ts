import { refuseUnknown, show, wrong } from "./errors.js";
import { type Leaves, lower, type PipelineIR } from "./lower.js";
import { Step } from "./step.js";
import { Trigger } from "./triggers.js";

/** One pipeline of a file. */
export interface PipelineDefinition {
  /** Up to 64 lower-case letters, digits and `-`, with a letter first; unique in the repository. */
  readonly slug: string;
  /** Shown to people; the slug by default. */
  readonly name?: string;
  /** Whether people may start it by hand; true by default. */
  readonly allowManual?: boolean;
  /** What starts it on a server. */
  readonly triggers?: Trigger | readonly Trigger[];
  /** What `pipeline(...)` made, or a function that makes it or gives the leaves when the pipeline is rendered. */
  readonly pipeline: PipelineIR | (() => Made | Promise<Made>);
}

/** What an earlier SDK needed to resolve cache keys. They are resolved by `hm`; the options are taken and not needed. */
export interface RenderOptions {
  readonly basePath?: string;
  readonly pipelineOrg?: string;
  readonly now?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** What the envelope says of a pipeline beside its definition. */
export interface PipelineHead {
  readonly slug: string;
  readonly name: string;
  readonly allow_manual: boolean;
  readonly triggers: readonly Record<string, unknown>[];
}

const SLUG = /^[a-z][a-z0-9-]{0,63}$/;
const MEMBERS: readonly string[] = ["slug", "name", "allowManual", "triggers", "pipeline"];

/** Renders pipelines to the document that `hm pipelines` prints. */
export function renderEnvelope(definitions: readonly PipelineDefinition[], _options: RenderOptions = {}): string {
  const seen = new Set<string>();
  const pipelines = definitions.map((definition) => {
    const written = head(definition);
    refuseRepeated(written.slug, seen);
    const given = made(definition);
    if (given instanceof Promise) {
      throw wrong(`hm.renderEnvelope: the pipeline ${show(written.slug)} is made by an async function`, "await it first");
    }
    return { ...written, definition: toIR(given, written.slug) };
  });
  return JSON.stringify({ schema_version: "1", pipelines });
}

/** The slug that a definition has, as long as it is one. */
export function slugOf(definition: unknown): string | null {
  const slug = (definition as PipelineDefinition | null | undefined)?.slug;
  return typeof slug === "string" && SLUG.test(slug) ? slug : null;
}

/** The head of a pipeline, checked. */
export function head(definition: PipelineDefinition): PipelineHead {
  if (definition === null || typeof definition !== "object" || Array.isArray(definition)) {
    throw notADefinition(definition);
  }
  if (definition instanceof Step || !("slug" in definition)) throw notADefinition(definition);
  const { slug, name, allowManual, triggers } = definition;
  if (typeof slug !== "string" || !SLUG.test(slug)) {
    throw wrong(
      `hm: ${show(slug)} is no slug of a pipeline`,
      "use up to 64 lower-case letters, digits and '-', with a letter first",
    );
  }
  refuseUnknown(definition, MEMBERS, `hm: the pipeline ${show(slug)}`);
  if (name !== undefined && typeof name !== "string") {
    throw wrong(`hm: the name of the pipeline ${show(slug)} is ${show(name)}, which is no text`, 'name: "what people see"');
  }
  if (allowManual !== undefined && typeof allowManual !== "boolean") {
    throw wrong(`hm: allowManual of the pipeline ${show(slug)} is ${show(allowManual)}`, "allowManual: true, or false");
  }
  if (definition.pipeline === undefined) {
    throw wrong(`hm: the definition of ${show(slug)} has no pipeline`, "pipeline: pipeline([step])");
  }
  return { slug, name: name ?? slug, allow_manual: allowManual ?? true, triggers: triggerList(triggers, slug) };
}

/** What a pipeline is made of. */
export type Made = PipelineIR | Leaves;

/** What the pipeline of a definition is made of, or the promise of it. */
export function made(definition: PipelineDefinition): Made | Promise<Made> {
  return typeof definition.pipeline === "function" ? definition.pipeline() : definition.pipeline;
}

/** Refuses a slug that was there before. */
export function refuseRepeated(slug: string, seen: Set<string>): void {
  if (seen.has(slug)) throw wrong(`hm: two pipelines have the slug ${show(slug)}`, "give one of them another slug");
  seen.add(slug);
}

/** The document of what a pipeline is made of. */
export function toIR(made: Made, slug: string): PipelineIR {
  if (made !== null && typeof made === "object" && "graph" in made && "version" in made) return made;
  if (made === undefined || made === null) {
    throw wrong(`hm: the pipeline ${show(slug)} is ${show(made)}`, "return pipeline([step]), a step or an array of steps");
  }
  return lower(made);
}

function triggerList(triggers: PipelineDefinition["triggers"], slug: string): Record<string, unknown>[] {
  const listed: readonly unknown[] = triggers instanceof Trigger ? [triggers] : (triggers ?? []);
  if (!Array.isArray(listed)) throw wrong(`hm: the triggers of ${show(slug)} must be an array, not ${show(triggers)}`);
  return listed.map((trigger) => {
    if (!(trigger instanceof Trigger)) {
      throw wrong(
        `hm: the triggers of ${show(slug)} must hold triggers only, got ${show(trigger)}`,
        'triggers: [push({ branch: "main" }), pullRequest()]',
      );
    }
    return trigger.toJSON();
  });
}

function notADefinition(value: unknown): Error {
  return wrong(
    `hm: a file exports pipeline definitions, not ${show(value)}`,
    'export default { slug: "ci", pipeline: pipeline([step]) }',
  );
}
