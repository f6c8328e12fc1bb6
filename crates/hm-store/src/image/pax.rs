//! PAX records: `LENGTH KEY=VALUE\n`, where the length counts the whole record (POSIX.1-2001 pax, "pax Extended Header").

use thiserror::Error;

use super::tar_stream::decimal;

/// Records that break the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PaxError {
    /// A record's length isn't a number or doesn't fit.
    #[error("a record has a wrong length")]
    Length,
    /// A record has no `=`.
    #[error("a record has no key")]
    Key,
    /// A value isn't what its key says.
    #[error("a record has a bad number")]
    Number,
}

/// The records of one entry, in order.
#[derive(Clone, Default, Debug)]
pub(super) struct PaxRecords {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    size: Option<u64>,
}

impl PaxRecords {
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, PaxError> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        // Some writers pad with zeros.
        while bytes.first().is_some_and(|byte| *byte != 0) {
            let digits = bytes.iter().position(|byte| *byte == b' ').ok_or(PaxError::Length)?;
            let length = decimal(&bytes[..digits])
                .and_then(|n| usize::try_from(n).ok())
                .ok_or(PaxError::Length)?;
            let record = bytes.get(digits + 1..length).ok_or(PaxError::Length)?;
            let record = record.strip_suffix(b"\n").ok_or(PaxError::Length)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(PaxError::Key)?;
            records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
            bytes = &bytes[length..];
        }
        let mut parsed = Self { records, size: None };
        parsed.size = match parsed.get("size") {
            Some(size) => Some(decimal(size).ok_or(PaxError::Number)?),
            None => None,
        };
        Ok(parsed)
    }

    /// Size of the data in the archive.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(super) fn path(&self) -> Option<Vec<u8>> {
        self.get("path").map(<[u8]>::to_vec)
    }

    pub(super) fn link_path(&self) -> Option<Vec<u8>> {
        self.get("linkpath").map(<[u8]>::to_vec)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(decimal)
    }

    /// Seconds with a fraction, as nanoseconds.
    pub(super) fn mtime_ns(&self) -> Option<i128> {
        let text = std::str::from_utf8(self.get("mtime")?).ok()?;
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let mut total = i128::from(decimal(seconds.as_bytes())?);
        for digit in nanos {
            if !digit.is_ascii_digit() {
                return None;
            }
            total = total * 10 + i128::from(digit - b'0');
        }
        Some(if negative { -total } else { total })
    }

    pub(super) fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let name = |key: &[u8]| key.strip_prefix(b"SCHILY.xattr.").map(<[u8]>::to_vec);
        self.records
            .iter()
            .filter_map(|(key, value)| Some((name(key)?, value.clone())))
            .collect()
    }

    /// Name of a sparse file (formats 0.1 and 1.0).
    pub(super) fn sparse_name(&self) -> Option<Vec<u8>> {
        self.get("GNU.sparse.name").map(<[u8]>::to_vec)
    }

    pub(super) fn sparse_size(&self) -> Option<u64> {
        self.number("GNU.sparse.realsize")
            .or_else(|| self.number("GNU.sparse.size"))
    }

    /// Where the data of a sparse file belongs (formats 0.0 and 0.1): `None` if the records don't say.
    pub(super) fn sparse_map(&self) -> Option<Result<Vec<(u64, u64)>, PaxError>> {
        let numbers: Option<Vec<u64>> = if let Some(map) = self.get("GNU.sparse.map") {
            if map.is_empty() {
                Some(Vec::new())
            } else {
                map.split(|byte| *byte == b',').map(decimal).collect()
            }
        } else {
            let piece = |key: &[u8]| key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes";
            let mut values = self.records.iter().filter(|(key, _)| piece(key)).peekable();
            values.peek()?;
            values.map(|(_, value)| decimal(value)).collect()
        };
        let pairs = |numbers: Vec<u64>| {
            let pairs = numbers.len().is_multiple_of(2);
            pairs.then(|| numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
        };
        Some(numbers.and_then(pairs).ok_or(PaxError::Number))
    }

    /// The last record with this key counts.
    fn get(&self, key: &str) -> Option<&[u8]> {
        self.records
            .iter()
            .rev()
            .find(|(found, _)| found == key.as_bytes())
            .map(|(_, value)| value.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_any_bytes() {
        let pax = PaxRecords::parse(b"26 SCHILY.xattr.user.a=\n=\n10 path=p\n13 path=later").unwrap_err();
        assert_eq!(pax, PaxError::Length);
        let pax = PaxRecords::parse(b"26 SCHILY.xattr.user.a=\n=\n9 path=p\n9 path=q\n\0\0").unwrap();
        assert_eq!(pax.xattrs(), [(b"user.a".to_vec(), b"\n=".to_vec())]);
        assert_eq!(pax.path(), Some(b"q".to_vec()));
    }

    #[test]
    fn times_have_fractions_and_signs() {
        let ns = |text: &str| {
            let record = format!("mtime={text}\n");
            let length = record.len() + 3;
            PaxRecords::parse(format!("{length} {record}").as_bytes())
                .unwrap()
                .mtime_ns()
        };
        assert_eq!(ns("1700000000.25"), Some(1_700_000_000_250_000_000));
        assert_eq!(ns("-1.500000000"), Some(-1_500_000_000));
        assert_eq!(ns("1700000000"), Some(1_700_000_000_000_000_000));
        assert_eq!(ns("nonsense-x"), None);
    }

    #[test]
    fn maps_of_sparse_files() {
        let pax = |text: &[u8]| PaxRecords::parse(text).unwrap().sparse_map();
        assert_eq!(pax(b""), None);
        assert_eq!(pax(b"26 GNU.sparse.map=0,3,9,1\n"), Some(Ok(vec![(0, 3), (9, 1)])));
        assert_eq!(pax(b"24 GNU.sparse.map=0,3,9\n"), Some(Err(PaxError::Number)));
        assert_eq!(
            pax(b"23 GNU.sparse.offset=5\n25 GNU.sparse.numbytes=7\n"),
            Some(Ok(vec![(5, 7)]))
        );
    }

    #[test]
    fn broken_records_are_refused() {
        for bytes in [
            b"x path=p\n".as_slice(),
            b"9 pathpp\n",
            b"99 path=p\n",
            b"3 a=b\n",
            b"8 size=\n",
            b"9",
        ] {
            assert!(PaxRecords::parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
