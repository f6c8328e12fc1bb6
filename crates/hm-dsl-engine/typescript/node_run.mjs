// Evaluates pipeline files in Node and writes a report for each, a line of JSON on the standard output.

import { readFileSync, writeSync } from "node:fs";
import { register } from "node:module";
import { setImmediate } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

// The standard input ends when hm does, in whatever way. A thread of its own notices also while a file is in a loop.
const watch = `
const { Socket } = require("node:net");
new Socket({ fd: 0 }).on("close", () => process.kill(process.pid, "SIGKILL")).resume();
`;
new Worker(watch, { eval: true }).unref();

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

function tell(line) {
  const bytes = Buffer.from(`${line}\n`);
  for (let written = 0; written < bytes.length; ) written += writeSome(bytes, written);
}

/** Writes what the pipe takes; Node has made it one that is full instead of one that waits. */
function writeSome(bytes, from) {
  try {
    return writeSync(1, bytes, from);
  } catch (error) {
    if (error.code !== "EAGAIN") throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    return 0;
  }
}

// An await that was forgotten must not hide an error.
const unhandled = new Map();
process.on("unhandledRejection", (error, promise) => unhandled.set(promise, error));
process.on("rejectionHandled", (promise) => unhandled.delete(promise));

const { collect } = await import(collector);
// From here on the files have their time.
tell("");
for (const file of files) {
  try {
    const { pipelines, places, failures } = await collect(await import(urlOf(file)));
    await setImmediate();
    const rejected = [...unhandled.values()].map((error) => describe(null, error));
    unhandled.clear();
    tell(JSON.stringify({ pipelines, places, failures: [...failures.map(({ slug, error }) => describe(slug, error)), ...rejected] }));
  } catch (error) {
    tell(JSON.stringify({ pipelines: [], places: [], failures: [describe(null, error)] }));
  }
}
process.exit(0);
