//! Imports of names that a module built in doesn't have.

use super::embedded;
use super::narrow;

const SDK: &str = "@harmont/hm";
const TOOLCHAINS: &str = "@harmont/hm/toolchains";
/// As far as a name may be from the one that is meant, in parts of its length.
const NEAR: usize = 3;

/// Such an import, read from what an engine says when it links modules.
#[derive(Debug)]
pub(super) struct UnknownName {
    /// The module by its name inside this program.
    module: &'static str,
    pub(super) name: String,
}

impl UnknownName {
    /// "Could not find export 'a' in module 'sdk:index.ts'", and Node's "The requested module '@harmont/hm' does not provide
    /// an export named 'a'".
    pub(super) fn find(message: &str) -> Option<Self> {
        if !message.contains("export") {
            return None;
        }
        let mut module = None;
        let mut name = None;
        for word in message.split('\'').skip(1).step_by(2) {
            match specifier_of(word) {
                Some(specifier) => module = embedded::builtin(specifier),
                None => name = Some(word.to_owned()),
            }
        }
        Some(Self {
            module: module?,
            name: name?,
        })
    }

    /// Whether `specifier` means the module.
    pub(super) fn is_of(&self, specifier: &str) -> bool {
        embedded::builtin(specifier) == Some(self.module)
    }

    /// What is wrong, with the fix.
    pub(super) fn message(&self) -> String {
        let Self { module, name } = self;
        if module.starts_with(embedded::HOST) {
            return format!(
                "hm: this module has no {name:?} here\n  \
                 fix: set HM_TS_RUNTIME=node to run pipelines in your Node, with all of its modules"
            );
        }
        let (own, other) = if self.is_of(SDK) {
            (SDK, TOOLCHAINS)
        } else {
            (TOOLCHAINS, SDK)
        };
        let in_own = values(own);
        let in_other = values(other);
        let fix = if in_other.contains(&name.as_str()) {
            format!("import {{ {name} }} from {other:?}")
        } else if let Some((near, from)) = nearest(name, &[(own, &in_own), (other, &in_other)]) {
            format!("import {{ {near} }} from {from:?}")
        } else {
            format!("import some of {}", in_own.join(", "))
        };
        format!("hm: {own:?} has no {name:?}\n  fix: {fix}")
    }
}

/// How users write a module that an engine names.
fn specifier_of(word: &str) -> Option<&str> {
    match word {
        "sdk:index.ts" | SDK => Some(SDK),
        "sdk:toolchains/index.ts" | TOOLCHAINS => Some(TOOLCHAINS),
        "host:fs.ts" => Some("node:fs"),
        "host:fs_promises.ts" => Some("node:fs/promises"),
        "host:path.ts" => Some("node:path"),
        _ => None,
    }
}

/// The names of values that a module of the SDK exports.
fn values(specifier: &str) -> Vec<&'static str> {
    let source = embedded::builtin(specifier)
        .and_then(embedded::source)
        .unwrap_or_default();
    let exports = narrow::exports(source).into_iter();
    exports
        .filter(|export| !export.is_type)
        .map(|export| export.name)
        .collect()
}

/// The closest name with its module; the first module wins.
fn nearest<'a>(name: &str, known: &[(&'a str, &Vec<&'a str>)]) -> Option<(&'a str, &'a str)> {
    let all = known
        .iter()
        .flat_map(|(from, names)| names.iter().map(|known| (*known, *from)));
    let scored = all.map(|(known, from)| (strsim::damerau_levenshtein(name, known), (known, from)));
    let (distance, nearest) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance * NEAR <= name.chars().count()).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_both_engines_lead_to_the_name_that_is_meant() {
        let told = |name: &str, module: &str| {
            UnknownName::find(&format!("Could not find export '{name}' in module '{module}'"))
                .map(|found| found.message())
        };
        let of_node = "The requested module '@harmont/hm' does not provide an export named 'pipelin'";
        assert_eq!(
            UnknownName::find(of_node).unwrap().message(),
            "hm: \"@harmont/hm\" has no \"pipelin\"\n  fix: import { pipeline } from \"@harmont/hm\""
        );
        assert_eq!(
            told("onChanged", "sdk:index.ts").unwrap(),
            "hm: \"@harmont/hm\" has no \"onChanged\"\n  fix: import { onChange } from \"@harmont/hm\""
        );
        assert_eq!(
            told("go", "sdk:index.ts").unwrap(),
            "hm: \"@harmont/hm\" has no \"go\"\n  fix: import { go } from \"@harmont/hm/toolchains\""
        );
        assert_eq!(
            told("cobol", "sdk:toolchains/index.ts").unwrap().split(", ").next(),
            Some("hm: \"@harmont/hm/toolchains\" has no \"cobol\"\n  fix: import some of aptBase")
        );
        assert!(
            told("writeFileSync", "host:fs.ts")
                .unwrap()
                .contains("HM_TS_RUNTIME=node")
        );
        assert_eq!(told("a", "/p/b.ts"), None);
    }

    #[test]
    fn every_name_of_the_sdk_is_known() {
        let names = values(SDK);
        for name in ["auto", "sh", "aptBase", "Trigger", "PipelineError"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(!names.contains(&"Duration"), "{names:?}");
    }
}
