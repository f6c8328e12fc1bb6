//! Durations for people.

use std::fmt;

/// Shown with two units at most: `340ms`, `1.2s`, `2m03s`, `1h02m`.
pub(super) struct Millis(pub(super) u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        match seconds {
            0 => write!(f, "{millis}ms"),
            1..60 => write!(f, "{seconds}.{}s", millis / 100),
            60..3600 => write!(f, "{minutes}m{:02}s", seconds % 60),
            3600.. => write!(f, "{hours}h{:02}m", minutes % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Millis;

    #[test]
    fn two_units_at_most() {
        let shown = [0, 999, 1000, 59_999, 60_000, 3_599_999, 3_600_000, 90_000_000].map(|ms| Millis(ms).to_string());
        assert_eq!(
            shown,
            ["0ms", "999ms", "1.0s", "59.9s", "1m00s", "59m59s", "1h00m", "25h00m"]
        );
    }
}
