//! An object whose members are taken one by one; what is left at the end is unknown.

use super::json::Json;
use super::pointer::Pointer;
use super::value::wrong_type;
use crate::problem::{Findings, ProblemCode};

/// As many as the largest object, a step, has.
const MOST_NAMES: usize = 18;

pub(super) struct Fields<'a> {
    at: &'a Pointer<'a>,
    /// Objects of a document are small: a walk finds a name sooner than a hash.
    members: Vec<(String, Json)>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// `None`, with a problem noted, where the value is no object.
    pub(super) fn of(value: Json, at: &'a Pointer<'a>, findings: &mut Findings) -> Option<Self> {
        let Json::Object(members) = value else {
            return wrong_type("an object", &value, at, findings);
        };
        let known = Vec::with_capacity(MOST_NAMES);
        Some(Self { at, members, known })
    }

    /// A member that must be there and not null. `None`, with a problem noted, where it is not there or not right.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        findings: &mut Findings,
        read: impl FnOnce(Json, &Pointer<'_>, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        if let Some(value) = self.take(name) {
            return read(value, &self.at.member(name), findings);
        }
        let (message, hint) = (format!("`{name}` is missing"), format!("add `{name}`"));
        findings.problem(ProblemCode::MissingField, self.at, message, hint);
        None
    }

    /// A member that may be absent or null. `None`, with a problem noted, where it is there and not right.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        findings: &mut Findings,
        read: impl FnOnce(Json, &Pointer<'_>, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name).filter(|value| !value.is_null())?;
        read(value, &self.at.member(name), findings)
    }

    /// A member that may be absent, then has its default, but can't be null.
    pub(super) fn defaulted<T: Default>(
        &mut self,
        name: &'static str,
        findings: &mut Findings,
        read: impl FnOnce(Json, &Pointer<'_>, &mut Findings) -> Option<T>,
    ) -> T {
        let value = self.take(name);
        value
            .and_then(|value| read(value, &self.at.member(name), findings))
            .unwrap_or_default()
    }

    /// Members that nobody took are warnings; those that were taken and are there again are problems.
    pub(super) fn finish(self, findings: &mut Findings) {
        for (name, _) in &self.members {
            let at = self.at.member(name);
            if self.known.contains(&name.as_str()) {
                repeated(&at, findings);
                continue;
            }
            let hint = match nearest(name, &self.known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            findings.warning(ProblemCode::UnknownField, at, format!("unknown field `{name}`"), hint);
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Json> {
        self.known.push(name);
        let place = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.remove(place).1)
    }
}

/// Readers of the document may differ in which of the two they take.
pub(super) fn repeated(at: &Pointer<'_>, findings: &mut Findings) {
    let message = format!("{} stands twice in its object", at.name());
    findings.problem(ProblemCode::RepeatedField, at, message, "remove one of the two");
}

/// The known name that this one may be a slip of: at most one letter in three differs.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let scored = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known));
    let (distance, nearest) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.chars().count() / 3).then_some(nearest)
}
