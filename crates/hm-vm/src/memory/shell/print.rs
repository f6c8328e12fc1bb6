//! `printf` and `seq`.

/// What `printf FORMAT ARG…` writes: the format is used again while arguments are left.
pub(super) fn printf(format: &str, args: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut args = args.iter();
    loop {
        let before = args.len();
        once(format.as_bytes(), &mut args, &mut out);
        if args.len() == 0 || args.len() == before {
            return out;
        }
    }
}

fn once<'a>(format: &[u8], args: &mut impl Iterator<Item = &'a String>, out: &mut Vec<u8>) {
    let mut rest = format;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => rest = escape(after, out),
            b'%' => {
                let conversion = after.first().copied();
                rest = after.get(1..).unwrap_or_default();
                match conversion {
                    Some(b'%') => out.push(b'%'),
                    Some(b's') => out.extend_from_slice(args.next().map_or("", String::as_str).as_bytes()),
                    Some(b'd') => {
                        let number = args.next().and_then(|arg| arg.trim().parse::<i64>().ok()).unwrap_or(0);
                        out.extend_from_slice(number.to_string().as_bytes());
                    }
                    Some(other) => out.extend_from_slice(&[b'%', other]),
                    None => out.push(b'%'),
                }
            }
            other => out.push(other),
        }
    }
}

/// Writes what the escape stands for; gives back what follows it.
fn escape<'a>(after: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let octal = after
        .iter()
        .take(3)
        .take_while(|byte| (b'0'..=b'7').contains(*byte))
        .count();
    if octal > 0 {
        let (digits, rest) = after.split_at(octal);
        let value = digits
            .iter()
            .fold(0_u16, |value, digit| value * 8 + u16::from(digit - b'0'));
        out.push(value.to_le_bytes()[0]);
        return rest;
    }
    let Some((&letter, rest)) = after.split_first() else {
        out.push(b'\\');
        return after;
    };
    match letter {
        b'n' => out.push(b'\n'),
        b't' => out.push(b'\t'),
        b'r' => out.push(b'\r'),
        b'a' => out.push(7),
        b'\\' => out.push(b'\\'),
        other => out.extend_from_slice(&[b'\\', other]),
    }
    rest
}

/// First, step and last of `seq`.
pub(super) fn seq_range(args: &[String]) -> Option<(i64, i64, i64)> {
    let numbers: Vec<i64> = args.iter().map(|arg| arg.parse().ok()).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [last] => Some((1, 1, *last)),
        [first, last] => Some((*first, 1, *last)),
        [first, step, last] if *step != 0 => Some((*first, *step, *last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: &str, args: &[&str]) -> Vec<u8> {
        printf(format, &args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn printf_writes_bytes() {
        assert_eq!(printed(r"a\n\0\377\\%%", &[]), b"a\n\0\xff\\%");
        assert_eq!(printed("%s=%d;", &["a", "1", "b", "x"]), b"a=1;b=0;");
        assert_eq!(printed("no arguments", &["left", "over"]), b"no arguments");
        assert_eq!(printed(r"\303\244", &[]), "ä".as_bytes());
    }
}
