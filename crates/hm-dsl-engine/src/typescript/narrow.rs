//! Parts of the toolchains: a file that names what it imports gets these and not all the others, whose sources would have
//! to be parsed and run for nothing.
//!
//! The module `@harmont/hm/toolchains` only hands on what modules of its own export. A part of it hands on less, from the
//! same modules, so all files see the same objects.

use std::collections::BTreeSet;

use super::embedded;

const TOOLCHAINS: &str = "sdk:toolchains/index.ts";

/// Something that the toolchains export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Export {
    pub(super) name: &'static str,
    /// The module that has it, as the toolchains import it.
    from: &'static str,
    /// It leaves no trace in JavaScript.
    pub(super) is_type: bool,
}

/// The module that has these names of `module`; `None` where only the whole one will do.
pub(crate) fn module(module: &str, names: &BTreeSet<String>) -> Option<String> {
    if module != TOOLCHAINS {
        return None;
    }
    let exports = exports(embedded::source(TOOLCHAINS)?);
    let mut values = Vec::new();
    for name in names {
        // A name that is not there is for the engine to refuse.
        let export = exports.iter().find(|export| export.name == name)?;
        if !export.is_type {
            values.push(export.name);
        }
    }
    Some(format!("{TOOLCHAINS}#{}", values.join(",")))
}

/// The JavaScript of a module that [`module`] named.
pub(crate) fn code(module: &str) -> Option<String> {
    let names = module.strip_prefix(TOOLCHAINS)?.strip_prefix('#')?;
    let exports = exports(embedded::source(TOOLCHAINS)?);
    let wanted = names
        .split(',')
        .filter_map(|name| exports.iter().find(|export| export.name == name));
    let lines: Vec<String> = wanted
        .map(|export| format!("export {{ {} }} from \"{}\";\n", export.name, export.from))
        .collect();
    Some(lines.concat())
}

/// Reads `export { a, type B } from "./c.js";`, which is all that the modules of the SDK's names consist of; tests hold that.
pub(super) fn exports(source: &'static str) -> Vec<Export> {
    let mut exports = Vec::new();
    for statement in source.split(';') {
        let Some((head, from)) = statement.rsplit_once("} from ") else {
            continue;
        };
        let Some((keyword, names)) = head.split_once('{') else {
            continue;
        };
        let all_types = keyword.trim_end().ends_with("type");
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let (name, is_type) = name
                .strip_prefix("type ")
                .map_or((name, all_types), |name| (name, true));
            exports.push(Export {
                name,
                from: from.trim().trim_matches('"'),
                is_type,
            });
        }
    }
    exports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typescript::strip::{Mapping, strip};

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_part_hands_on_what_is_named() {
        let part = module(TOOLCHAINS, &names(&["go", "GoOptions", "js"])).unwrap();
        assert_eq!(part, "sdk:toolchains/index.ts#go,js");
        assert_eq!(
            code(&part).unwrap(),
            "export { go } from \"./go.js\";\nexport { js } from \"./js.js\";\n"
        );
        assert_eq!(module(TOOLCHAINS, &names(&["go", "nothing"])), None);
        assert_eq!(module("sdk:index.ts", &names(&["sh"])), None);
        assert_eq!(code(TOOLCHAINS), None);
    }

    #[test]
    fn all_that_the_toolchains_export_is_known() {
        let source = embedded::source(TOOLCHAINS).unwrap();
        let stripped = strip(TOOLCHAINS, source, Mapping::Dropped).unwrap();
        let all: BTreeSet<String> = exports(source)
            .iter()
            .filter(|export| !export.is_type)
            .map(|export| export.name.to_owned())
            .collect();
        assert!(all.len() > 30, "{all:?}");
        let statements = stripped
            .code
            .split(';')
            .map(str::trim)
            .filter(|statement| !statement.is_empty());
        let told: BTreeSet<String> = statements
            .flat_map(|statement| {
                let inside = statement
                    .split_once("export {")
                    .and_then(|(_, rest)| rest.split_once('}'));
                let (inside, _) = inside.expect("nothing but exports from other modules");
                inside.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(all, told);
    }
}
