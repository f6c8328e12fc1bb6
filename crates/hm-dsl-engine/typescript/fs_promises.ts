// `node:fs/promises`.

import { promises } from "node:fs";

export const { readFile, access, stat, lstat, realpath, readdir } = promises;

export default promises;
