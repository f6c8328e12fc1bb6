// Evaluates pipeline files in Node and writes a report for each, a line of JSON on the standard output.

import { readFileSync, writeSync } from "node:fs";
import { register } from "node:module";
import { pathToFileURL } from "node:url";

const { files, collector, modules } = JSON.parse(readFileSync(new URL("input.json", import.meta.url), "utf8"));

function urlOf(name) {
  return name.startsWith("sdk:") ? name : pathToFileURL(name).href;
}

const byUrl = Object.entries(modules).map(([name, { source, failure, imports }]) => [
  urlOf(name),
  { source, failure, imports: Object.fromEntries(Object.entries(imports).map(([specifier, target]) => [specifier, urlOf(target)])) },
]);

register(new URL("hooks.mjs", import.meta.url), { data: byUrl });

// What the files print goes to people, not into the report.
process.stdout.write = process.stderr.write.bind(process.stderr);

function describe(slug, error) {
  if (!(error instanceof Error)) return { slug, name: null, message: String(error), stack: "" };
  return { slug, name: error.name, message: error.message, stack: error.stack ?? "" };
}

function tell(report) {
  const bytes = Buffer.from(`${JSON.stringify(report)}\n`);
  for (let written = 0; written < bytes.length; ) written += writeSync(1, bytes, written);
}

const { collect } = await import(collector);
for (const file of files) {
  try {
    const { pipelines, failures } = await collect(await import(urlOf(file)));
    tell({ pipelines, failures: failures.map(({ slug, error }) => describe(slug, error)) });
  } catch (error) {
    tell({ pipelines: [], failures: [describe(null, error)] });
  }
}
process.exit(0);
