//! Evaluation of whole projects by the machine's Python, the built-in engine for TypeScript, and Node.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod evaluate;
#[cfg(test)]
mod lifeline;
#[cfg(test)]
mod origins;
#[cfg(test)]
mod python_errors;
#[cfg(test)]
mod support;
#[cfg(test)]
mod typescript;
#[cfg(test)]
mod typescript_budgets;
#[cfg(test)]
mod typescript_errors;
