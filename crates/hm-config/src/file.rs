//! A configuration file.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::entry::{Entry, Value};
use crate::error::{ConfigError, ConfigProblem, Origin};

/// A file's text with its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigFile {
    /// For messages.
    pub path: PathBuf,
    /// TOML.
    pub text: String,
}

impl ConfigFile {
    /// The file at `path`; `None` where there is none.
    ///
    /// # Errors
    /// [`ConfigError::Read`] where there is one that can't be read or is not UTF-8.
    pub fn read(path: &Path) -> Result<Option<Self>, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(Self {
                path: path.to_owned(),
                text,
            })),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The first of `paths` that is there.
    ///
    /// # Errors
    /// As [`ConfigFile::read`].
    pub fn read_first(paths: impl IntoIterator<Item = PathBuf>) -> Result<Option<Self>, ConfigError> {
        paths
            .into_iter()
            .find_map(|path| Self::read(&path).transpose())
            .transpose()
    }

    pub(crate) fn entries(&self, problems: &mut Vec<ConfigProblem>) -> Vec<Entry> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        if !errors.is_empty() {
            problems.extend(errors.iter().map(|error| ConfigProblem {
                origin: self.at(&error.span().unwrap_or_default()),
                message: format!("not TOML: {}", error.message()),
                hint: "mend the syntax".to_owned(),
            }));
            return Vec::new();
        }
        let mut entries = Vec::new();
        self.flatten("", table.get_ref(), &mut entries);
        entries.sort_by_key(|(start, _)| *start);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Each value with the place of its name in the text: the table itself is in no order.
    fn flatten(&self, prefix: &str, table: &DeTable<'_>, entries: &mut Vec<(usize, Entry)>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            if let DeValue::Table(table) = value.get_ref() {
                self.flatten(&format!("{key}."), table, entries);
            } else {
                let entry = Entry {
                    key,
                    value: value_of(value),
                    origin: self.at(&name.span()),
                };
                entries.push((name.span().start, entry));
            }
        }
    }

    fn at(&self, span: &Range<usize>) -> Origin {
        let before = self.text.as_bytes().iter().take(span.start);
        Origin::File {
            path: self.path.clone(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn value_of(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("an integer out of range"),
        },
        DeValue::Array(items) => Value::List(items.iter().map(value_of).collect()),
        DeValue::Boolean(_) => Value::Other("a boolean"),
        DeValue::Float(_) => Value::Other("a float"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}
