// The corpus through the package as it is installed: the same envelopes as from the engine of `hm`.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import test from "node:test";

const sdk = process.env.SDK;
const typescript = createRequire(join(sdk, "checks/package.json"))("typescript");
const { renderEnvelope } = await import("@harmont/hm");

/** The message's first line; each language quotes values in its own way. */
const firstLine = (message) => message.split("\n")[0].replaceAll("'", '"');

let cases = 0;
for (const folder of ["same", "fixed"]) {
  const corpus = join(sdk, "conformance", folder);
  for (const file of readdirSync(corpus).filter((name) => name.endsWith(".ts"))) {
    cases += 1;
    test(`${folder}/${file}`, async () => {
      const source = readFileSync(join(corpus, file), "utf8");
      const options = { target: "es2022", module: typescript.ModuleKind.ESNext, verbatimModuleSyntax: true };
      const module = join(import.meta.dirname, `${folder}-${file}.mjs`);
      writeFileSync(module, typescript.transpileModule(source, { compilerOptions: options }).outputText);
      const render = async () => {
        const { default: exported, pipelines } = await import(module);
        return JSON.parse(renderEnvelope([exported ?? pipelines].flat()));
      };
      const expected = JSON.parse(readFileSync(join(corpus, file.replace(/ts$/, "json")), "utf8"));
      if (expected.error === undefined) {
        assert.deepEqual(await render(), expected);
      } else {
        await assert.rejects(render, (error) => firstLine(error.message) === firstLine(expected.error));
      }
    });
  }
}
assert.ok(cases > 10, "the corpus is there");
