//! A workflow as a pipeline file.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::{self, Call};
use super::container::{Variables, variables};
use super::expression::Scope;
use super::fields::Fields;
use super::helpers::{self, Helpers};
use super::job::{self, Defaults, Job, Shared, comments};
use super::notes::{Note, Notes};
use super::python;
use super::skipped::skipped;
use super::triggers::{Triggers, triggers};
use super::yaml::{Node, YamlError, parse};
use crate::append::{append, append_line};

/// A pipeline file and what it lacks.
#[derive(Debug)]
pub(crate) struct Imported {
    /// `None` where nothing of the workflow could be taken over.
    pub(crate) source: Option<String>,
    pub(crate) jobs: usize,
    pub(crate) steps: usize,
    /// Line by line.
    pub(crate) notes: Vec<Note>,
}

/// Reads a workflow. `file` is told in the result, `slug` is what the pipeline is called.
pub(crate) fn github(workflow: &str, file: &str, slug: &str) -> Result<Imported, YamlError> {
    let node = parse(workflow)?;
    let notes = Notes::default();
    let helpers = Helpers::default();
    let fields = Fields::of(&node, "the workflow", &notes);
    fields.drop_silently(&["run-name"]);
    let name = fields.take("name").and_then(Node::text);
    let started = fields
        .take("on")
        .map_or_else(Triggers::default, |node| triggers(node, &notes));
    let scope = Scope {
        inputs: started.inputs.iter().cloned().collect(),
        ..Scope::default()
    };
    let env = fields
        .take("env")
        .map_or_else(Variables::default, |node| variables(node, &scope, &notes));
    let defaults = Defaults::of(fields.take("defaults"), &scope, &notes);
    let shared = Shared {
        scope: scope.with_variables(&env.plain),
        secrets: env.secret,
        shell: defaults.shell,
        folder: defaults.folder,
    };
    let written = fields.take("jobs").and_then(Node::pairs).unwrap_or_default();
    fields.note_rest("the workflow", &notes);
    require_order(&written)?;
    let mut about = notes.since(0);
    let (jobs, left_out) = jobs(&written, &shared, &notes, &helpers);
    about.extend(left_out);
    if jobs.is_empty() {
        notes.add(node.line, "not mapped: no job of the workflow is left");
        return Ok(Imported {
            source: None,
            jobs: 0,
            steps: 0,
            notes: notes.sorted(),
        });
    }
    let mark = notes.mark();
    let list = in_order(&jobs, &notes);
    about.extend(notes.since(mark));
    about.sort();
    let mut call = Call::new("@hm.pipeline");
    call.argument(python::quoted(slug, '"'));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        call.keyword("name", &python::quoted(name, '"'));
    }
    if !started.sources.is_empty() {
        // The lines after the first stand where the arguments of a call over several lines do.
        let list = calls::list(4, "", &started.sources);
        call.keyword("triggers", list.trim());
    }
    if !started.manual {
        call.keyword("allow_manual", "False");
    }
    if !env.plain.is_empty() {
        let source = python::dict(&env.plain);
        helpers.look_at(&source);
        call.keyword("env", &source);
    }
    let mut functions = String::new();
    for job in &jobs {
        append(&mut functions, format_args!("\n\n{}", job.source));
    }
    let notes = notes.sorted();
    let mut source = head(file, &notes, &helpers);
    source.push_str(&helpers.source());
    source.push_str(&functions);
    append(&mut source, format_args!("\n\n{}", comments(0, &about)));
    source.push_str(&call.source(0, "", ""));
    append_line(&mut source, format_args!("def pipeline():\n    return [\n{list}    ]"));
    Ok(Imported {
        source: Some(source),
        jobs: jobs.len(),
        steps: jobs.iter().map(|job| job.steps).sum(),
        notes,
    })
}

/// Fails where a job needs one that the workflow has not, or jobs need each other in a circle.
fn require_order(written: &[(&str, &Node)]) -> Result<(), YamlError> {
    let mut needs: Vec<Vec<(usize, usize)>> = Vec::new();
    for (id, node) in written {
        let mut known = Vec::new();
        for (line, name) in node.get("needs").and_then(Node::texts).unwrap_or_default() {
            let Some(place) = written.iter().position(|(other, _)| other.eq_ignore_ascii_case(name)) else {
                let what = format!("the job `{id}` needs `{name}`, which is no job of the workflow");
                return Err(YamlError::Needs { line, what });
            };
            known.push((line, place));
        }
        needs.push(known);
    }
    let mut done = vec![false; needs.len()];
    for _ in &needs {
        for (place, before) in needs.iter().enumerate() {
            done[place] = before.iter().all(|(_, earlier)| done[*earlier]);
        }
    }
    let open = |place: usize| needs[place].iter().find(|(_, earlier)| !done[*earlier]);
    let Some(mut at) = done.iter().position(|done| !done) else {
        return Ok(());
    };
    // What is left needs something that is left too: that way leads into the circle.
    for _ in &needs {
        at = open(at).map_or(at, |(_, earlier)| *earlier);
    }
    let (line, next) = open(at).copied().unwrap_or((1, at));
    let name = |place: usize| written.get(place).map_or("", |(id, _)| *id);
    let what = format!(
        "the job `{}` needs `{}`, which needs it in turn, so neither can begin",
        name(at),
        name(next)
    );
    Err(YamlError::Needs { line, what })
}

fn head(file: &str, notes: &[Note], helpers: &Helpers) -> String {
    let mut source = format!(
        "\"\"\"The workflow {} as a pipeline, made by `hm import github`.\n",
        python::within_quotes(file)
    );
    if notes.is_empty() {
        source.push_str("\nEverything in it was taken over.\n");
    } else {
        source.push_str("\nThe comments that begin with a line of it tell what is not as it was there.\n");
    }
    source.push_str("\"\"\"\n\n");
    for module in helpers.modules() {
        append_line(&mut source, format_args!("import {module}"));
    }
    if !helpers.modules().is_empty() {
        source.push('\n');
    }
    source.push_str("import harmont as hm\n");
    source
}

/// The jobs, and the notes about those that are left out.
fn jobs(written: &[(&str, &Node)], shared: &Shared, notes: &Notes, helpers: &Helpers) -> (Vec<Job>, Vec<Note>) {
    let mut taken: BTreeSet<String> = helpers::NAMES.iter().map(|name| (*name).to_owned()).collect();
    let (mut jobs, mut left_out) = (Vec::new(), Vec::new());
    let skipped = skipped(written, &shared.scope);
    for (place, (id, node)) in written.iter().enumerate() {
        let mark = notes.mark();
        if let Some((line, needed)) = skipped.get(&place) {
            let what = format!("left out: the job `{id}` needs `{needed}`, which never runs here");
            notes.add(*line, what);
            left_out.extend(notes.since(mark));
            continue;
        }
        let mut function = python::name(id);
        while !taken.insert(function.clone()) {
            function.push('_');
        }
        match job::job(id, &function, node, shared, notes, helpers) {
            Some(job) => jobs.push(job),
            None => left_out.extend(notes.since(mark)),
        }
    }
    (jobs, left_out)
}

/// The list that the pipeline returns. Jobs that need each other stand in groups with a wait between them.
fn in_order(jobs: &[Job], notes: &Notes) -> String {
    let places: BTreeMap<&str, usize> = jobs
        .iter()
        .enumerate()
        .map(|(place, job)| (job.id.as_str(), place))
        .collect();
    let mut needs: Vec<Vec<usize>> = Vec::new();
    for job in jobs {
        let mut known = Vec::new();
        for (line, name) in &job.needs {
            match places.get(name.as_str()) {
                Some(place) => known.push(*place),
                None => notes.add(
                    *line,
                    format!("not mapped: `{}` needs `{name}`, which is not there", job.id),
                ),
            }
        }
        needs.push(known);
    }
    // What runs whatever happened comes last, with what needs it, so that its wait makes nothing else go on.
    let late = reached(jobs, &needs);
    let mut list = String::new();
    let mut begun = false;
    for group in groups(&needs, &late) {
        let members: Vec<&Job> = group.iter().filter_map(|place| jobs.get(*place)).collect();
        let always = members.iter().filter(|job| job.always).count();
        if begun {
            let flag = if always == members.len() {
                "continue_on_failure=True"
            } else {
                ""
            };
            append_line(&mut list, format_args!("        hm.wait({flag}),"));
        }
        if always > 0 && always < members.len() {
            for job in members.iter().filter(|job| job.always) {
                notes.add(1, format!("not mapped: the job `{}` runs after success only", job.id));
            }
        }
        for job in members {
            append_line(&mut list, format_args!("        {},", job.leaf));
        }
        begun = true;
    }
    list
}

/// Which jobs run always or need one that does.
fn reached(jobs: &[Job], needs: &[Vec<usize>]) -> Vec<bool> {
    let mut late: Vec<bool> = jobs.iter().map(|job| job.always && !job.needs.is_empty()).collect();
    for _ in jobs {
        for (place, before) in needs.iter().enumerate() {
            late[place] |= before.iter().any(|earlier| late[*earlier]);
        }
    }
    late
}

/// Jobs whose needs are all in groups before theirs; a circle is a group of its own.
fn groups(needs: &[Vec<usize>], late: &[bool]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut done = vec![false; needs.len()];
    for wanted in [false, true] {
        loop {
            let open: Vec<usize> = (0..needs.len())
                .filter(|place| !done[*place] && late[*place] == wanted)
                .collect();
            if open.is_empty() {
                break;
            }
            let ready: Vec<usize> = open
                .iter()
                .copied()
                .filter(|place| needs[*place].iter().all(|earlier| done[*earlier]))
                .collect();
            let group = if ready.is_empty() { open } else { ready };
            for place in &group {
                done[*place] = true;
            }
            groups.push(group);
        }
    }
    groups
}
