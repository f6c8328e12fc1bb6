// Where steps were written, for those who tell people what is wrong with one. Nothing is noted until somebody asks for
// it, and nothing of it is in the documents.

let recording = false;

/** The calls that led to a pipeline and to each of its steps, as the engine writes them. */
interface Origin {
  readonly definition: string | undefined;
  readonly steps: readonly (string | undefined)[];
}

const origins = new WeakMap<object, Origin>();

/** From here on each step and each document is noted with the calls that led to it. */
export function recordPlaces(): void {
  recording = true;
}

/** The calls that led here, if places are noted. */
export function here(): string | undefined {
  return recording ? new Error().stack : undefined;
}

/** Notes where a document and its steps were written. */
export function note(document: object, steps: readonly (string | undefined)[]): void {
  if (recording) origins.set(document, { definition: here(), steps });
}

/** The calls that led to the step of a node, if they were noted. */
export function stackOf(document: object, node: number): string | undefined {
  return origins.get(document)?.steps[node];
}

/** What was noted of a document; calls that led to several steps are listed once. */
export function placesOf(document: object): object {
  const { definition, steps } = origins.get(document) ?? { definition: undefined, steps: [] };
  const known = new Map<string, number>();
  const indices = steps.map((stack) => {
    if (stack === undefined) return null;
    if (!known.has(stack)) known.set(stack, known.size);
    return known.get(stack);
  });
  return { definition: definition ?? null, known: [...known.keys()], steps: indices };
}
