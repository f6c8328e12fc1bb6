/** `text` as one word of a POSIX shell; unchanged when it needs no quotes. */
export function quote(text: string): string {
  if (/^[A-Za-z0-9@%+=:,./_-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** The `cd` command for `path`. */
export function changeFolder(path: string): string {
  return `cd ${quote(path.startsWith("-") ? `./${path}` : path)}`;
}
