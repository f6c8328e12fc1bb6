/** Toolchains: steps that install a language's tools and run its checks. */

export { aptBase, type AptBaseOptions } from "./chain.js";
