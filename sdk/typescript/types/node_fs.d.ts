// What the SDK uses of Node, so that it needs no types of Node to be compiled.

declare module "node:fs" {
  export function existsSync(path: string): boolean;
  export function readFileSync(path: string, encoding: "utf8"): string;
}
