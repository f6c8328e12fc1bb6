// Gives Node the modules whose types are stripped already.

let modules = new Map();

export function initialize(entries) {
  modules = new Map(entries);
}

const sdk = new Map([
  ["@harmont/hm", "sdk:index.ts"],
  ["@harmont/hm/toolchains", "sdk:toolchains/index.ts"],
]);

export async function resolve(specifier, context, next) {
  const url = modules.get(context.parentURL)?.imports[specifier] ?? sdk.get(specifier) ?? specifier;
  if (modules.has(url)) return { url, format: "module", importAttributes: {}, shortCircuit: true };
  return next(specifier, context);
}

export async function load(url, context, next) {
  const known = modules.get(url);
  if (known?.failure != null) throw new Error(known.failure);
  if (known !== undefined) return { format: "module", source: known.source, shortCircuit: true };
  if (/\.m?ts$/.test(url)) {
    throw new Error(`hm: ${url} is imported in a way that cannot be seen ahead\n  fix: import it by a path written as one string`);
  }
  return next(url, context);
}
