//! Readers of plain values: each gives the value, or `None` with a problem noted.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::fields::repeated;
use super::json::Json;
use super::pointer::Pointer;
use crate::problem::{Findings, ProblemCode};

pub(super) fn string(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<String> {
    let Json::String(text) = value else {
        return wrong_type("a string", &value, at, findings);
    };
    Some(text)
}

/// A text that is handed to a process.
pub(super) fn process_text(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<String> {
    let text = string(value, at, findings)?;
    if text.contains('\0') {
        let message = format!("{} holds a NUL character", at.name());
        findings.problem(
            ProblemCode::InvalidText,
            at,
            message,
            "remove the NUL: no process can be given one",
        );
    }
    Some(text)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that all readers have")]
pub(super) fn boolean(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<bool> {
    let Json::Bool(flag) = value else {
        return wrong_type("true or false", &value, at, findings);
    };
    Some(flag)
}

/// Any value; a reader that can't fail.
#[expect(clippy::unnecessary_wraps, reason = "the shape that all readers have")]
pub(super) fn any(value: Json, _: &Pointer<'_>, _: &mut Findings) -> Option<Value> {
    Some(value.into_value())
}

pub(super) fn unsigned(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<u64> {
    let Json::Number(number) = value else {
        return wrong_type("a whole number", &value, at, findings);
    };
    let fitting = number.as_u64();
    if fitting.is_none() {
        let message = format!("{} must be a whole number of 0 or more, not {number}", at.name());
        findings.problem(ProblemCode::OutOfRange, at, message, "write a whole number");
    }
    fitting
}

pub(super) fn unsigned_32(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<u32> {
    let number = unsigned(value, at, findings)?;
    let fitting = u32::try_from(number).ok();
    if fitting.is_none() {
        let message = format!("{} must be at most {}, not {number}", at.name(), u32::MAX);
        findings.problem(ProblemCode::OutOfRange, at, message, "write a smaller number");
    }
    fitting
}

/// A budget: at least one second.
pub(super) fn seconds(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<NonZeroU32> {
    let budget = NonZeroU32::new(unsigned_32(value, at, findings)?);
    if budget.is_none() {
        let message = format!("{} is 0", at.name());
        findings.problem(
            ProblemCode::ZeroTimeout,
            at,
            message,
            "write at least 1, or leave it out for no limit",
        );
    }
    budget
}

pub(super) fn positive(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<NonZeroU64> {
    let number = NonZeroU64::new(unsigned(value, at, findings)?);
    if number.is_none() {
        findings.problem(
            ProblemCode::OutOfRange,
            at,
            format!("{} is 0", at.name()),
            "write at least 1",
        );
    }
    number
}

pub(super) fn positive_fraction(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<f64> {
    let Json::Number(number) = value else {
        return wrong_type("a number", &value, at, findings);
    };
    let fitting = number.as_f64().filter(|number| *number > 0.0 && number.is_finite());
    if fitting.is_none() {
        let message = format!("{} must be greater than 0, not {number}", at.name());
        findings.problem(
            ProblemCode::OutOfRange,
            at,
            message,
            "write a number greater than 0, such as 0.5",
        );
    }
    fitting
}

/// One of a few words, as serde reads them.
pub(super) fn word<T: DeserializeOwned>(
    known: &'static [&'static str],
) -> impl Fn(Json, &Pointer<'_>, &mut Findings) -> Option<T> {
    move |value, at, findings| {
        let text = string(value, at, findings)?;
        let message = format!("{} can't be {text:?}", at.name());
        let found = serde_json::from_value(Value::String(text)).ok();
        if found.is_none() {
            findings.problem(
                ProblemCode::UnknownValue,
                at,
                message,
                format!("one of: {}", known.join(", ")),
            );
        }
        found
    }
}

/// A list; items that are not right are left out, with their problems noted.
pub(super) fn list<T>(
    read: impl Fn(Json, &Pointer<'_>, &mut Findings) -> Option<T>,
) -> impl Fn(Json, &Pointer<'_>, &mut Findings) -> Option<Vec<T>> {
    move |value, at, findings| {
        let Json::Array(items) = value else {
            return wrong_type("an array", &value, at, findings);
        };
        let items = items.into_iter().enumerate();
        Some(
            items
                .filter_map(|(position, item)| read(item, &at.item(position), findings))
                .collect(),
        )
    }
}

/// Variables of an environment.
pub(super) fn environment(value: Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<BTreeMap<String, String>> {
    let Json::Object(members) = value else {
        return wrong_type("an object of strings", &value, at, findings);
    };
    let mut variables = BTreeMap::new();
    for (name, value) in members {
        let at = at.member(&name);
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("{name:?} can't be the name of a variable");
            findings.problem(
                ProblemCode::InvalidText,
                at,
                message,
                "a name is not empty and has no `=` and no NUL",
            );
        }
        let text = process_text(value, &at, findings);
        if text.and_then(|text| variables.insert(name.clone(), text)).is_some() {
            repeated(&at, findings);
        }
    }
    Some(variables)
}

pub(super) fn wrong_type<T>(wanted: &str, got: &Json, at: &Pointer<'_>, findings: &mut Findings) -> Option<T> {
    let message = format!("{} must be {wanted}, not {}", at.name(), got.in_words());
    findings.problem(ProblemCode::WrongType, at, message, format!("write {wanted}"));
    None
}
