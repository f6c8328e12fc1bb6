//! The combinations of a job.

use super::expression;
use super::notes::Notes;
use super::python;
use super::yaml::{Node, Value};

/// One combination: names and values. A member of a value that is a map has the name `key.member`.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Combination(Vec<(String, Entry)>);

/// A value of a combination.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    /// As it is written into texts.
    pub(super) text: String,
    /// What conditions compare; `None` where it is a list.
    pub(super) value: Option<expression::Value>,
}

impl Combination {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, entry)| entry)
    }

    /// The text of a key, empty where it lacks one.
    pub(super) fn text_of(&self, key: &str) -> String {
        self.get(key).map_or_else(String::new, |entry| entry.text.clone())
    }

    fn set(&mut self, key: &str, new: &Entry) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => old.clone_from(new),
            None => self.0.push((key.to_owned(), new.clone())),
        }
    }

    /// Whether it has all entries of the other.
    fn agrees(&self, other: &Self) -> bool {
        let mut entries = other.0.iter();
        entries.all(|(key, wanted)| self.get(key).is_some_and(|entry| entry.text == wanted.text))
    }

    /// Whether an entry of the other would replace a different one.
    fn differs(&self, other: &Self) -> bool {
        let mut entries = other.0.iter();
        entries.any(|(key, new)| self.get(key).is_some_and(|old| old.text != new.text))
    }
}

/// Combinations as the workflow means them.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Matrix {
    axes: Vec<(String, Vec<Combination>)>,
    exclude: Vec<Combination>,
    include: Vec<Combination>,
}

/// As many as a workflow may have.
const MOST: usize = 256;

/// Reads `matrix`; `None` where it has no fixed values.
pub(super) fn matrix(node: &Node, notes: &Notes) -> Option<Matrix> {
    let Some(pairs) = node.pairs().filter(|pairs| !pairs.is_empty()) else {
        notes.add(node.line, "not mapped: `matrix` has no fixed values");
        return None;
    };
    let mut made = Matrix::default();
    for (name, value) in pairs {
        let Value::List(entries) = &value.value else {
            notes.add(
                value.line,
                format!("not mapped: `{name}` of `matrix` has no fixed values"),
            );
            continue;
        };
        let values = entries.iter();
        match name {
            "include" => made.include = values.map(|entry| combination("", entry, notes)).collect(),
            "exclude" => made.exclude = values.map(|entry| combination("", entry, notes)).collect(),
            _ => made.axes.push((
                name.to_owned(),
                values.map(|entry| combination(name, entry, notes)).collect(),
            )),
        }
    }
    if made.axes.iter().map(|(_, values)| values.len()).product::<usize>() > MOST {
        notes.add(
            node.line,
            format!("not mapped: `matrix` has more than {MOST} combinations"),
        );
        return None;
    }
    (!made.keys().is_empty()).then_some(made)
}

fn combination(name: &str, node: &Node, notes: &Notes) -> Combination {
    Combination(flat(name, node, notes))
}

fn flat(name: &str, node: &Node, notes: &Notes) -> Vec<(String, Entry)> {
    let below = |member: &str| {
        if name.is_empty() {
            member.to_owned()
        } else {
            format!("{name}.{member}")
        }
    };
    match &node.value {
        Value::Map(_) => {
            let pairs = node.pairs().unwrap_or_default();
            pairs
                .iter()
                .flat_map(|(member, value)| flat(&below(member), value, notes))
                .collect()
        }
        Value::List(entries) => {
            let texts: Vec<&str> = entries.iter().filter_map(Node::text).collect();
            let (text, value) = (texts.join(","), None);
            vec![(name.to_owned(), Entry { text, value })]
        }
        Value::Scalar { text, plain } => {
            notes.add_number(node);
            let value = Some(expression::Value::of_scalar(text, *plain));
            let text = node.text().unwrap_or_default().to_owned();
            vec![(name.to_owned(), Entry { text, value })]
        }
    }
}

impl Matrix {
    /// Every name, in the order of the workflow.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        let of_axes = self.axes.iter().flat_map(|(_, values)| values);
        for (key, _) in of_axes.chain(&self.include).flat_map(|entry| &entry.0) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// Names that tell one combination from the others.
    pub(super) fn telling_keys(&self) -> Vec<String> {
        if self.axes.is_empty() {
            return self.keys();
        }
        let tells = |key: &str, only: &Entry| {
            let mut included = self.include.iter().filter_map(|entry| entry.get(key));
            included.any(|entry| entry.text != only.text)
        };
        let axes = self
            .axes
            .iter()
            .filter_map(|(_, values)| Some((values.len(), values.first()?.0.first()?)));
        let keys: Vec<String> = axes
            .filter(|(count, (key, first))| *count > 1 || tells(key, first))
            .map(|(_, (key, _))| key.clone())
            .collect();
        if keys.is_empty() { self.keys() } else { keys }
    }

    /// Leaves out the combinations in which `unwanted` says so of the value of `key`; gives the values.
    pub(super) fn remove(&mut self, key: &str, unwanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut removed = Vec::new();
        let mut keep = |combination: &Combination| {
            let found = combination.get(key).filter(|entry| unwanted(&entry.text));
            removed.extend(found.map(|entry| entry.text.clone()));
            found.is_none()
        };
        for (_, values) in &mut self.axes {
            values.retain(&mut keep);
        }
        self.include.retain(&mut keep);
        removed.dedup();
        removed
    }

    /// All of them, with an empty text for what one of them lacks.
    pub(super) fn combinations(&self) -> Vec<Combination> {
        let originals = self.originals();
        let mut all = originals.clone();
        for entry in &self.include {
            let mut added = false;
            for (combination, original) in all.iter_mut().zip(&originals) {
                if original.differs(entry) {
                    continue;
                }
                added = true;
                for (key, value) in &entry.0 {
                    combination.set(key, value);
                }
            }
            if !added {
                all.push(entry.clone());
            }
        }
        let missing = Entry {
            text: String::new(),
            value: Some(expression::Value::Null),
        };
        let keys = self.keys();
        for combination in &mut all {
            for key in &keys {
                if combination.get(key).is_none() {
                    combination.set(key, &missing);
                }
            }
        }
        all
    }

    fn originals(&self) -> Vec<Combination> {
        if self.axes.is_empty() {
            return Vec::new();
        }
        let mut all = vec![Combination::default()];
        for (_, values) in &self.axes {
            let longer = |combination: &Combination| {
                let begin = combination.clone();
                values
                    .iter()
                    .map(move |value| Combination([begin.0.as_slice(), value.0.as_slice()].concat()))
                    .collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        all.retain(|combination| !self.exclude.iter().any(|entry| combination.agrees(entry)));
        all
    }

    /// Python source of something that gives each combination as a dict; the items where it is a list.
    pub(super) fn source(&self) -> Result<String, Vec<String>> {
        let one = |values: &[Combination]| values.iter().all(|value| matches!(value.0.as_slice(), [_]));
        let plain = self.include.is_empty()
            && self.axes.iter().all(|(name, values)| {
                python::is_name(name) && one(values) && !["include", "exclude"].contains(&name.as_str())
            });
        if !plain {
            return Err(self.combinations().iter().map(dict).collect());
        }
        let mut arguments: Vec<String> = self
            .axes
            .iter()
            .map(|(name, values)| format!("{name}={}", texts(values)))
            .collect();
        if !self.exclude.is_empty() {
            let entries: Vec<String> = self.exclude.iter().map(dict).collect();
            arguments.push(format!("exclude={}", python::list(&entries)));
        }
        Ok(format!("hm.matrix({})", arguments.join(", ")))
    }
}

fn texts(values: &[Combination]) -> String {
    let texts: Vec<String> = values
        .iter()
        .flat_map(|combination| &combination.0)
        .map(|(_, entry)| python::quoted(&entry.text, '"'))
        .collect();
    python::list(&texts)
}

fn dict(combination: &Combination) -> String {
    let items: Vec<(String, String)> = combination
        .0
        .iter()
        .map(|(key, entry)| (key.clone(), python::quoted(&entry.text, '"')))
        .collect();
    python::dict(&items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::yaml::parse;

    fn of(source: &str) -> Matrix {
        matrix(&parse(source).unwrap(), &Notes::default()).unwrap()
    }

    #[test]
    fn plain_axes_stay_axes() {
        assert_eq!(
            of("{os: [a, b], python: [3.10, 3.9], exclude: [{os: b, python: 3.9}]}").source(),
            Ok("hm.matrix(os=[\"a\", \"b\"], python=[\"3.10\", \"3.9\"], exclude=[{\"os\": \"b\", \"python\": \"3.9\"}])".to_owned())
        );
    }

    #[test]
    fn inclusions_extend_what_they_agree_with() {
        // The example of the documentation of GitHub Actions.
        let made = of(
            "{fruit: [apple, pear], animal: [cat, dog], include: [{color: green}, {color: pink, animal: cat}, \
             {fruit: apple, shape: circle}, {fruit: banana}, {fruit: banana, animal: cat}]}",
        );
        let pair = |(key, entry): &(String, Entry)| format!("{key}={}", entry.text);
        let told: Vec<String> = made
            .combinations()
            .iter()
            .map(|entry| entry.0.iter().map(pair).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            told,
            [
                "fruit=apple animal=cat color=pink shape=circle",
                "fruit=apple animal=dog color=green shape=circle",
                "fruit=pear animal=cat color=pink shape=",
                "fruit=pear animal=dog color=green shape=",
                "fruit=banana animal= color= shape=",
                "fruit=banana animal=cat color= shape=",
            ]
        );
    }

    #[test]
    fn maps_have_members() {
        let made = of("{config: [{os: x, flags: a}, {os: y, flags: b}]}");
        assert_eq!(made.keys(), ["config.os", "config.flags"]);
        assert_eq!(
            made.source().unwrap_err()[0],
            "{\"config.os\": \"x\", \"config.flags\": \"a\"}"
        );
    }

    #[test]
    fn what_can_not_run_is_left_out() {
        let mut made = of("{os: [ubuntu-latest, windows-latest], include: [{os: windows-2022, x: 1}]}");
        assert_eq!(
            made.remove("os", |label| label.starts_with("windows")),
            ["windows-latest", "windows-2022"]
        );
        assert_eq!(made.combinations().len(), 1);
    }
}
