// What `hm` calls to read a pipeline file. Not part of the package's interface.

import { head, type Made, made, type PipelineDefinition, type PipelineHead, refuseRepeated, slugOf, toIR } from "./envelope.js";
import { show, wrong } from "./errors.js";
import type { PipelineIR } from "./lower.js";
import { placesOf, recordPlaces, stackOf } from "./places.js";

// This module is there before the first file of a user.
recordPlaces();

/** What went wrong with one pipeline of a file. */
interface Failure {
  readonly slug: string | null;
  readonly error: unknown;
}

/** What a file declares: each pipeline's entry of the envelope and its places as JSON, and what failed. */
export interface Collected {
  readonly pipelines: string[];
  readonly places: string[];
  readonly failures: Failure[];
}

/** Renders what the module `exports`; a pipeline that fails does not hide the others. */
export async function collect(exports: Readonly<Record<string, unknown>>): Promise<Collected> {
  const collected: Collected = { pipelines: [], places: [], failures: [] };
  const seen = new Set<string>();
  for (const definition of definitions(exports)) {
    const slug = slugOf(definition);
    try {
      const written = head(definition);
      const { entry, places } = finish(written, await make(definition, written.slug, seen));
      collected.pipelines.push(entry);
      collected.places.push(places);
    } catch (error) {
      collected.failures.push({ slug, error });
    }
  }
  return collected;
}

export { head, slugOf };

/** What a definition makes, or the promise of it, where no other one in `seen` has its slug. */
export function make(definition: PipelineDefinition, slug: string, seen: Set<string>): Made | Promise<Made> {
  refuseRepeated(slug, seen);
  return made(definition);
}

/** The entry of the envelope and the places of a pipeline, as JSON. */
export function finish(written: PipelineHead, given: Made): { entry: string; places: string } {
  const rendered = toIR(given, written.slug);
  const json = JSON.stringify({ ...written, definition: rendered });
  // JSON.stringify spells out what is no text: an escape of half of a character.
  if (json.includes("\\ud")) {
    refuseHalves(rendered);
    requireText(written);
  }
  return { entry: spelledOut(json), places: JSON.stringify(placesOf(rendered)) };
}

/** Refuses halves of characters in a document, at the line that made the step. */
function refuseHalves(document: PipelineIR): void {
  document.graph.nodes.forEach((node, index) => {
    try {
      requireText(node);
    } catch (error) {
      const stack = stackOf(document, index);
      if (stack !== undefined) (error as Error).stack = stack;
      throw error;
    }
  });
  requireText(document);
}

/** Refuses halves of characters anywhere in `value`: they have no form in UTF-8, so no reader could take the document. */
function requireText(value: unknown): void {
  JSON.stringify(value, (name: string, member: unknown) => {
    for (const text of [name, member]) {
      const half = typeof text === "string" ? /[\ud800-\udfff]/u.exec(text) : null;
      if (half === null) continue;
      const code = half[0].charCodeAt(0).toString(16).toUpperCase();
      throw wrong(
        `hm: ${show(text)} has half of a character (U+${code}), which is no text`,
        'write the whole character; cut texts by characters, as in [...text].slice(0, 8).join("")',
      );
    }
    return member;
  });
}

/** JSON in which what a terminal would obey or not show is spelled out; it means the same. */
function spelledOut(json: string): string {
  const hidden = /[\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;
  return json.replace(hidden, (found) => [...Array(found.length).keys()].map((at) => unit(found, at)).join(""));
}

function unit(text: string, at: number): string {
  return `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`;
}

/** `export const pipelines` and the default export; one object given under both names counts once. */
export function definitions(exports: Readonly<Record<string, unknown>>): PipelineDefinition[] {
  const found = new Set<unknown>();
  for (const exported of [exports["default"], exports["pipelines"]]) {
    if (exported === undefined) continue;
    for (const definition of Array.isArray(exported) ? exported : [exported]) found.add(definition);
  }
  return [...found] as PipelineDefinition[];
}
