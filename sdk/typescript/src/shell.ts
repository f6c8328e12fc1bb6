import { show, wrong } from "./errors.js";

/** `text` as one word of a POSIX shell; unchanged when it needs no quotes. */
export function quote(text: string): string {
  if (/^[A-Za-z0-9@%+=:,./_-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** The `cd` command for `path`. */
export function changeFolder(path: string): string {
  return `cd ${quote(path.startsWith("-") ? `./${path}` : path)}`;
}

/** The words of a command line, as a POSIX shell would split them, without expanding anything. */
export function splitWords(line: string): string[] {
  const found: string[] = [];
  let word: string | null = null;
  let quoted = "";
  for (let at = 0; at < line.length; at++) {
    const char = line.charAt(at);
    if (quoted === "" && /\s/.test(char)) {
      if (word !== null) found.push(word);
      word = null;
    } else if (char === quoted) {
      quoted = "";
    } else if (quoted === "" && (char === "'" || char === '"')) {
      quoted = char;
      word ??= "";
    } else if (char === "\\" && quoted !== "'" && at + 1 < line.length) {
      const next = line.charAt(++at);
      word = (word ?? "") + (quoted === "" || next === "\\" || next === '"' ? next : char + next);
    } else {
      word = (word ?? "") + char;
    }
  }
  if (quoted !== "") throw wrong(`hm: a quote in ${show(line)} has no end`);
  if (word !== null) found.push(word);
  return found;
}
