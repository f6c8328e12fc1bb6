//! Where lines begin and end.

/// A line that is longer is continued in parts of at most this many bytes.
pub(super) const LONGEST_LINE: usize = 1 << 20;

/// Number of lines in a payload: its line feeds, and one for what follows the last.
pub(super) fn count(payload: &[u8]) -> u64 {
    let ends = payload.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
    ends + u64::from(!payload.is_empty() && !payload.ends_with(b"\n"))
}

/// How much of `bytes`, which begin a line that is longer than [`LONGEST_LINE`], makes its next part: no UTF-8 sequence
/// is cut in two.
pub(super) fn part_length(bytes: &[u8]) -> usize {
    let is_continuation = |byte: u8| byte & 0xc0 == 0x80;
    for back in 0..4 {
        let cut = LONGEST_LINE - back;
        if !is_continuation(bytes[cut]) {
            // A sequence begins here or nothing does: before it is a safe place if it reaches over the end.
            let reaches = sequence_length(bytes[cut]) > back;
            return if reaches || back == 0 { cut } else { LONGEST_LINE };
        }
    }
    LONGEST_LINE
}

fn sequence_length(first: u8) -> usize {
    match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    }
}

/// The first line of `payload` without its end (`\n` or `\r\n`), and what follows it.
pub(super) fn split_first(payload: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match payload.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&payload[..end], &payload[end + 1..]),
        None => return (payload, &[]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_split_alike() {
        for payload in [&b""[..], b"\n", b"a", b"a\n", b"a\r\nb", b"\n\n", b"a\rb\n"] {
            let mut rest = payload;
            let mut lines = 0;
            while !rest.is_empty() {
                (_, rest) = split_first(rest);
                lines += 1;
            }
            assert_eq!(count(payload), lines, "{payload:?}");
        }
        assert_eq!(split_first(b"a\r\nb"), (&b"a"[..], &b"b"[..]));
        assert_eq!(split_first(b"a\rb"), (&b"a\rb"[..], &b""[..]));
    }

    #[test]
    fn parts_never_cut_a_character() {
        for (character, before) in [("é", 1), ("€", 1), ("€", 2), ("🦀", 1), ("🦀", 2), ("🦀", 3)] {
            let mut bytes = vec![b'a'; LONGEST_LINE - before];
            bytes.extend_from_slice(character.as_bytes());
            bytes.extend_from_slice(b"tail");
            assert_eq!(part_length(&bytes), LONGEST_LINE - before, "{character} {before}");
        }
        let mut whole = vec![b'a'; LONGEST_LINE - 2];
        whole.extend_from_slice("éz".as_bytes());
        assert_eq!(part_length(&whole), LONGEST_LINE);
        assert_eq!(part_length(&vec![0x80; LONGEST_LINE + 1]), LONGEST_LINE);
        assert_eq!(part_length(&vec![0xf0; LONGEST_LINE + 1]), LONGEST_LINE);
    }
}
