//! Containers of jobs, and services beside them.

use super::expression::{Place, Scope, is_variable, only_secret, text};
use super::fields::Fields;
use super::notes::Notes;
use super::python;
use super::yaml::{Node, Value};

/// The container that a job runs in.
#[derive(Debug)]
pub(super) struct Container {
    /// Python source of the image.
    pub(super) image: String,
    pub(super) env: Variables,
}

/// Variables as Python source, and those that a secret gives.
#[derive(Clone, Default, Debug)]
pub(super) struct Variables {
    pub(super) plain: Vec<(String, String)>,
    /// Secret and variable.
    pub(super) secret: Vec<(String, String)>,
}

pub(super) fn container(node: &Node, scope: &Scope, notes: &Notes) -> Option<Container> {
    if let Value::Scalar { text: image, .. } = &node.value {
        let image = text(image, node.line, scope, Place::Value, notes).python();
        return (!node.is_empty()).then_some(Container {
            image,
            env: Variables::default(),
        });
    }
    let fields = Fields::of(node, "`container`", notes);
    let image = fields.take("image");
    let env = fields
        .take("env")
        .map_or_else(Variables::default, |node| variables(node, scope, notes));
    fields.note_rest("`container`", notes);
    let image = image.map(|node| text(node.text().unwrap_or_default(), node.line, scope, Place::Value, notes));
    let Some(image) = image.filter(|image| image.known().is_none_or(|known| !known.trim().is_empty())) else {
        notes.add(node.line, "not mapped: `container` without an image");
        return None;
    };
    Some(Container {
        image: image.python(),
        env,
    })
}

/// A map of variables.
pub(super) fn variables(node: &Node, scope: &Scope, notes: &Notes) -> Variables {
    let mut made = Variables::default();
    let Some(pairs) = node.pairs() else {
        notes.add(node.line, "not mapped: `env` has no fixed values");
        return made;
    };
    for (name, value) in pairs {
        if !is_variable(name) {
            notes.add(
                value.line,
                format!("not mapped: the variable `{name}`, which no shell can have"),
            );
            continue;
        }
        let Some(source) = value.text() else {
            notes.add(value.line, format!("not mapped: the variable `{name}` is no text"));
            continue;
        };
        if let Some(secret) = only_secret(source, scope) {
            made.secret.push((secret, name.to_owned()));
        } else {
            let value = text(source, value.line, scope, Place::Value, notes);
            made.plain.push((name.to_owned(), value.python()));
        }
    }
    made
}

/// Each service as Python source.
pub(super) fn services(node: &Node, scope: &Scope, notes: &Notes) -> Vec<String> {
    let Some(pairs) = node.pairs() else {
        notes.add(node.line, "not mapped: `services`");
        return Vec::new();
    };
    pairs
        .iter()
        .filter_map(|(name, service)| one_service(name, service, scope, notes))
        .collect()
}

fn one_service(name: &str, node: &Node, scope: &Scope, notes: &Notes) -> Option<String> {
    let fields = Fields::of(node, "a service", notes);
    let image = fields
        .take("image")
        .map(|node| text(node.text().unwrap_or_default(), node.line, scope, Place::Value, notes));
    let Some(image) = image.filter(|image| image.known().is_none_or(|known| !known.trim().is_empty())) else {
        notes.add(node.line, format!("not mapped: the service `{name}` has no image"));
        return None;
    };
    let mut arguments = vec![python::quoted(name, '"'), image.python()];
    if let Some(env) = fields.take("env") {
        let Variables { plain, secret } = variables(env, scope, notes);
        for (secret, variable) in secret {
            notes.add(
                env.line,
                format!("not mapped: the secret `{secret}` in `{variable}` of a service"),
            );
        }
        if !plain.is_empty() {
            arguments.push(format!("env={}", python::dict(&plain)));
        }
    }
    if let Some(ports) = fields.take("ports") {
        let numbers: Vec<String> = ports
            .texts()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(line, port)| container_port(port, line, notes))
            .collect();
        if !numbers.is_empty() {
            arguments.push(format!("ports={}", python::list(&numbers)));
        }
    }
    if let Some(options) = fields.take("options") {
        arguments.extend(readiness(options.text().unwrap_or_default(), options.line, notes));
    }
    fields.note_rest("a service", notes);
    notes.add(
        node.line,
        format!("each step has a `{name}` of its own, without the data of the step before"),
    );
    Some(format!("hm.service({})", arguments.join(", ")))
}

/// `8080:80/tcp` is port 80 of the container.
fn container_port(source: &str, line: usize, notes: &Notes) -> Option<String> {
    let (host, inner) = source
        .rsplit_once(':')
        .map_or((None, source), |(host, inner)| (Some(host), inner));
    let number = inner.trim_end_matches("/tcp");
    if number.parse::<u16>().is_err() {
        notes.add(line, format!("not mapped: the port `{source}`"));
        return None;
    }
    if host.is_some_and(|host| host != number) {
        notes.add(line, format!("not mapped: the port of the host in `{source}`"));
    }
    Some(number.to_owned())
}

/// What `docker create` would do with the options: only the health check has a meaning here.
fn readiness(options: &str, line: usize, notes: &Notes) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if !name.starts_with("--") {
            notes.add(line, format!("not mapped: the option `{name}` of a service"));
            continue;
        }
        let value = value.or_else(|| words.next()).unwrap_or_default();
        match name.as_str() {
            "--health-cmd" => arguments.push(format!("ready={}", python::quoted(&value, '"'))),
            "--health-interval" | "--health-timeout" | "--health-retries" | "--health-start-period" => {}
            _ => notes.add(line, format!("not mapped: the option `{name}` of a service")),
        }
    }
    arguments
}

/// The words of a command line: quotes and backslashes as a shell has them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_has_words() {
        assert_eq!(words(" a \"b c\"  'd \"e' f\\ g=\"\" "), ["a", "b c", "d \"e", "f g="]);
        assert_eq!(words("\"\""), [""]);
        assert!(words(" ").is_empty());
    }

    #[test]
    fn a_health_check_is_readiness() {
        let notes = Notes::default();
        let made = readiness(
            "--health-cmd \"pg_isready -U x\" --health-retries 5 --cpus=1 --privileged",
            7,
            &notes,
        );
        assert_eq!(made, ["ready=\"pg_isready -U x\""]);
        let told: Vec<String> = notes.sorted().into_iter().map(|note| note.text).collect();
        assert_eq!(
            told,
            [
                "not mapped: the option `--cpus` of a service",
                "not mapped: the option `--privileged` of a service"
            ]
        );
    }
}
