//! Evaluation of whole projects by the machine's Python.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod evaluate;
#[cfg(test)]
mod support;
