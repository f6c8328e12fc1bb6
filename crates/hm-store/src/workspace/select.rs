//! Hash over the entries that a list of paths and globs selects.
//!
//! A pattern without wildcards is a path from the workspace's root. A pattern with wildcards follows gitignore(5): without
//! a slash it matches at any depth, `**` crosses folders, a slash at the end means folders only. A folder stands for all
//! below it. `!` before a pattern takes away what it matches; the last pattern that matches an entry or a folder above
//! it decides.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use super::manifest::{Entry, EntryKind, Manifest, hash_entry, is_below, path_order};

/// What a list of patterns selects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OnChange {
    /// Hash over the names, types, modes, link targets and contents of the entries selected.
    pub hash: blake3::Hash,
    /// How many entries were selected.
    pub selected: usize,
    /// Patterns (without `!`) that match nothing in the workspace, as they were given.
    pub unmatched: Vec<String>,
}

/// A pattern is no glob.
#[derive(Debug, thiserror::Error)]
#[error("{pattern:?} is not a valid path or glob")]
pub struct PatternError {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: globset::Error,
}

/// Hashes what the patterns select.
pub fn hash_paths(manifest: &Manifest, patterns: &[String]) -> Result<OnChange, PatternError> {
    let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text)).collect();
    let decisions = decide(manifest.entries(), &patterns)?;

    let mut hasher = blake3::Hasher::new_derive_key("hm workspace selection 2");
    let mut selected = 0;
    for (entry, decision) in manifest.entries().iter().zip(&decisions.last) {
        if decision.is_some_and(|index| !patterns[index].negated) {
            hash_entry(&mut hasher, entry);
            selected += 1;
        }
    }
    let unmatched: Vec<String> = patterns
        .iter()
        .zip(&decisions.matched)
        .filter(|(pattern, matched)| !pattern.negated && !**matched)
        .map(|(pattern, _)| pattern.given.to_owned())
        .collect();
    // A result's log tells which patterns matched nothing: it must not be replayed for a list of which that isn't true.
    for pattern in &unmatched {
        hasher.update(&(pattern.len() as u64).to_le_bytes());
        hasher.update(pattern.as_bytes());
    }
    Ok(OnChange {
        hash: hasher.finalize(),
        selected,
        unmatched,
    })
}

struct Pattern<'a> {
    given: &'a str,
    negated: bool,
    only_dirs: bool,
    form: Form,
}

enum Form {
    /// A path from the root; empty for the root itself.
    Literal(Vec<u8>),
    /// A glob over the whole path.
    Glob(String),
}

impl<'a> Pattern<'a> {
    fn parse(given: &'a str) -> Self {
        let (negated, rest) = match given.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, given),
        };
        let rooted = rest.starts_with('/') || rest.starts_with("./");
        let rest = rest.trim_start_matches("./").trim_start_matches('/');
        let only_dirs = rest.ends_with('/');
        let body = rest.trim_end_matches('/');
        let form = if body.contains(['*', '?', '[', '\\', '{']) {
            Form::Glob(whole_path_glob(body, rooted))
        } else if body == "." {
            Form::Literal(Vec::new())
        } else {
            Form::Literal(body.as_bytes().to_vec())
        };
        Self {
            given,
            negated,
            only_dirs,
            form,
        }
    }

    fn takes(&self, entry: &Entry) -> bool {
        !self.only_dirs || matches!(entry.kind, EntryKind::Dir)
    }
}

/// The pattern's reach in terms of a glob that has to match the whole path.
fn whole_path_glob(body: &str, rooted: bool) -> String {
    let anywhere = !rooted && !body.contains('/');
    let mut glob = if anywhere {
        format!("**/{body}")
    } else {
        body.to_owned()
    };
    if glob.ends_with("/**") {
        glob.push_str("/*");
    }
    // Braces are ordinary characters for gitignore(5).
    glob.replace('{', "[{]").replace('}', "[}]")
}

struct Decisions {
    /// For each entry the index of the last pattern that matches it or a folder above it.
    last: Vec<Option<usize>>,
    /// For each pattern whether it matches anything.
    matched: Vec<bool>,
}

fn decide(entries: &[Entry], patterns: &[Pattern<'_>]) -> Result<Decisions, PatternError> {
    let mut decisions = Decisions {
        last: vec![None; entries.len()],
        matched: vec![false; patterns.len()],
    };
    for (index, pattern) in patterns.iter().enumerate() {
        if let Form::Literal(path) = &pattern.form {
            mark_literal(entries, pattern, path, index, &mut decisions);
        }
    }
    let globs: Vec<usize> = (0..patterns.len())
        .filter(|i| matches!(patterns[*i].form, Form::Glob(_)))
        .collect();
    if !globs.is_empty() {
        mark_globs(entries, patterns, &globs, &mut decisions)?;
    }
    Ok(decisions)
}

/// Marks the entry and all below it: one run of the sorted list.
fn mark_literal(entries: &[Entry], pattern: &Pattern<'_>, path: &[u8], index: usize, decisions: &mut Decisions) {
    let start = if path.is_empty() {
        0
    } else {
        match entries.binary_search_by(|entry| path_order(&entry.path, path)) {
            Ok(at) if pattern.takes(&entries[at]) => at,
            _ => return,
        }
    };
    decisions.matched[index] = true;
    let run = entries[start..]
        .iter()
        .take_while(|entry| *entry.path == *path || is_below(&entry.path, path))
        .count();
    for last in &mut decisions.last[start..start + run] {
        *last = (*last).max(Some(index));
    }
}

/// Tries all globs on each entry; entries take over what decides for the folder above them.
fn mark_globs(
    entries: &[Entry],
    patterns: &[Pattern<'_>],
    globs: &[usize],
    decisions: &mut Decisions,
) -> Result<(), PatternError> {
    let set = compile(patterns, globs)?;
    let mut folders: Vec<(&[u8], Option<usize>)> = Vec::new();
    let mut hits = Vec::new();
    for (entry, last) in entries.iter().zip(&mut decisions.last) {
        while folders.last().is_some_and(|(folder, _)| !is_below(&entry.path, folder)) {
            folders.pop();
        }
        let from_above = folders.last().and_then(|(_, decision)| *decision);
        *last = (*last).max(from_above);
        set.matches_candidate_into(&Candidate::new(Path::new(OsStr::from_bytes(&entry.path))), &mut hits);
        for index in hits
            .iter()
            .map(|hit| globs[*hit])
            .filter(|index| patterns[*index].takes(entry))
        {
            decisions.matched[index] = true;
            *last = (*last).max(Some(index));
        }
        if matches!(entry.kind, EntryKind::Dir) {
            folders.push((&entry.path, *last));
        }
    }
    Ok(())
}

fn compile(patterns: &[Pattern<'_>], globs: &[usize]) -> Result<GlobSet, PatternError> {
    let mut builder = GlobSetBuilder::new();
    let failed = |pattern: &Pattern<'_>, source| PatternError {
        pattern: pattern.given.to_owned(),
        source,
    };
    for pattern in globs.iter().map(|index| &patterns[*index]) {
        if let Form::Glob(glob) = &pattern.form {
            let glob = GlobBuilder::new(glob)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|source| failed(pattern, source))?;
            builder.add(glob);
        }
    }
    builder.build().map_err(|source| failed(&patterns[globs[0]], source))
}

#[cfg(test)]
mod tests {
    use super::super::manifest::testing::{dir, file, link};
    use super::*;

    fn sample() -> Vec<Entry> {
        vec![
            file("Cargo.lock", "lock"),
            dir("src"),
            file("src/main.rs", "main"),
            dir("src/gen"),
            file("src/gen/out.rs", "out"),
            file("src-old.rs", "old"),
            dir("sub"),
            file("sub/Cargo.lock", "inner"),
            file("sub/notes.md", "notes"),
            link("sub/link", "notes.md"),
            file("{odd}", "odd"),
        ]
    }

    fn selected(patterns: &[&str]) -> (Vec<String>, Vec<String>) {
        let manifest = Manifest::new(sample());
        let given: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let parsed: Vec<_> = given.iter().map(|text| Pattern::parse(text)).collect();
        let decisions = decide(manifest.entries(), &parsed).unwrap();
        let names = manifest
            .entries()
            .iter()
            .zip(decisions.last)
            .filter(|(_, last)| last.is_some_and(|index| !parsed[index].negated))
            .map(|(entry, _)| String::from_utf8_lossy(&entry.path).into_owned())
            .collect();
        (names, hash_paths(&manifest, &given).unwrap().unmatched)
    }

    #[track_caller]
    fn check(patterns: &[&str], names: &[&str], unmatched: &[&str]) {
        let (found, missed) = selected(patterns);
        assert_eq!(found, names);
        assert_eq!(missed, unmatched);
    }

    #[test]
    fn a_plain_path_is_from_the_root() {
        check(&["Cargo.lock"], &["Cargo.lock"], &[]);
        check(
            &["./sub/Cargo.lock", "/Cargo.lock"],
            &["Cargo.lock", "sub/Cargo.lock"],
            &[],
        );
        check(&["notes.md", "../x"], &[], &["notes.md", "../x"]);
    }

    #[test]
    fn a_folder_means_all_below() {
        check(&["src"], &["src", "src/gen", "src/gen/out.rs", "src/main.rs"], &[]);
        check(&["src/gen/"], &["src/gen", "src/gen/out.rs"], &[]);
        check(&["Cargo.lock/"], &[], &["Cargo.lock/"]);
        assert_eq!(selected(&["."]).0.len(), sample().len());
        check(&["s*b"], &["sub", "sub/Cargo.lock", "sub/link", "sub/notes.md"], &[]);
    }

    #[test]
    fn globs_follow_gitignore() {
        check(&["*.rs"], &["src/gen/out.rs", "src/main.rs", "src-old.rs"], &[]);
        check(&["/*.rs"], &["src-old.rs"], &[]);
        check(&["src/*.rs"], &["src/main.rs"], &[]);
        check(&["src/**"], &["src/gen", "src/gen/out.rs", "src/main.rs"], &[]);
        check(
            &["**/*.rs", "*.py"],
            &["src/gen/out.rs", "src/main.rs", "src-old.rs"],
            &["*.py"],
        );
        check(&["**/Cargo.lock"], &["Cargo.lock", "sub/Cargo.lock"], &[]);
        check(&["{od?}"], &["{odd}"], &[]);
    }

    #[test]
    fn the_last_match_decides() {
        check(&["src", "!src/gen"], &["src", "src/main.rs"], &[]);
        check(
            &["src", "!*.rs", "src/gen/out.rs"],
            &["src", "src/gen", "src/gen/out.rs"],
            &[],
        );
        check(
            &["!src/gen", "src/*"],
            &["src/gen", "src/gen/out.rs", "src/main.rs"],
            &[],
        );
        check(&["sub/*", "!**/*.md"], &["sub/Cargo.lock", "sub/link"], &[]);
    }

    #[test]
    fn the_hash_sees_names_modes_and_contents_of_what_is_selected_only() {
        let patterns = ["src".to_owned(), "*.md".to_owned()];
        let hash = |entries: Vec<Entry>| hash_paths(&Manifest::new(entries), &patterns).unwrap().hash;
        let base = hash(sample());
        let change = |at: usize, to: Entry| {
            let mut entries = sample();
            entries[at] = to;
            hash(entries)
        };
        assert_eq!(change(0, file("Cargo.lock", "other")), base);
        assert_ne!(change(2, file("src/main.rs", "other")), base);
        assert_ne!(change(8, file("sub/notes2.md", "notes")), base);
        let mut exec = file("src/main.rs", "main");
        exec.mode = 0o755;
        assert_ne!(change(2, exec), base);
        let mut later = file("src/main.rs", "main");
        later.mtime_ns = 5;
        assert_eq!(change(2, later), base);
    }

    #[test]
    fn the_hash_tells_which_patterns_match_nothing() {
        let hash = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            hash_paths(&Manifest::new(sample()), &patterns).unwrap().hash
        };
        assert_ne!(hash(&["no-such-a"]), hash(&["no-such-b"]));
        assert_ne!(hash(&["src", "no-such-a"]), hash(&["src"]));
        assert_eq!(hash(&["src", "!no-such-a"]), hash(&["src/"]));
    }

    #[test]
    fn a_broken_glob_is_named() {
        let error = hash_paths(&Manifest::default(), &["a".into(), "x[".into()]).unwrap_err();
        assert_eq!(error.to_string(), "\"x[\" is not a valid path or glob");
    }
}
