//! Durations as typed: `90`, `90s`, `15m`, `1h30m`.

use std::time::Duration;

/// A duration that can't be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum DurationError {
    /// Not a run of numbers with units.
    #[error("`{0}` is not a duration")]
    Malformed(String),
    /// Nothing or less.
    #[error("a budget of 0 seconds can't be kept")]
    Zero,
}

/// Reads whole seconds, or a sum of parts with `h`, `m` or `s` as in the SDKs.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    let mut total: u64 = 0;
    let mut digits = String::new();
    for character in text.chars() {
        let unit = match character {
            '0'..='9' => {
                digits.push(character);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(malformed()),
        };
        let number: u64 = digits.parse().map_err(|_| malformed())?;
        digits.clear();
        total = number
            .checked_mul(unit)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(malformed)?;
    }
    if !digits.is_empty() {
        if total != 0 {
            return Err(malformed());
        }
        total = digits.parse().map_err(|_| malformed())?;
    } else if text.is_empty() {
        return Err(malformed());
    }
    if total == 0 {
        Err(DurationError::Zero)
    } else {
        Ok(Duration::from_secs(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_summed() {
        assert_eq!(parse("1h30m5s"), Ok(Duration::from_secs(5405)));
        assert_eq!(parse("90"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        for text in ["", "m", "5x", "-1", "1h5", "1.5h", "99999999999999999999h"] {
            assert_eq!(parse(text), Err(DurationError::Malformed(text.to_owned())), "{text}");
        }
        assert_eq!(parse("0s"), Err(DurationError::Zero));
    }
}
