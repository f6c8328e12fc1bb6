//! The environment of a command.

use std::collections::BTreeMap;

/// `PATH` where neither the image nor the step sets one.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The image's variables, the baseline where they say nothing, and the step's over both.
pub(crate) fn effective(
    image: &[(String, String)],
    home: &str,
    step: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut env = step;
    for (name, value) in image {
        if !env.contains_key(name) {
            env.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in [("HOME", home), ("PATH", DEFAULT_PATH)] {
        if !env.contains_key(name) {
            env.insert(name.to_owned(), value.to_owned());
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_wins_over_the_image_and_the_image_over_the_baseline() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let image = pairs(&[("PATH", "/image"), ("A", "image"), ("B", "image")]);
        let env = effective(
            &image,
            "/root",
            pairs(&[("A", "step"), ("C", "step")]).into_iter().collect(),
        );
        let expected = [
            ("A", "step"),
            ("B", "image"),
            ("C", "step"),
            ("HOME", "/root"),
            ("PATH", "/image"),
        ];
        assert_eq!(env.into_iter().collect::<Vec<_>>(), pairs(&expected));
        assert_eq!(effective(&[], "/", BTreeMap::new())["PATH"], DEFAULT_PATH);
    }
}
