//! When and how soon to try again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::RetrySettings;

/// Counts the attempts at one thing.
#[derive(Debug)]
pub(super) struct Attempts {
    settings: RetrySettings,
    made: u32,
}

impl Attempts {
    pub(super) fn new(settings: RetrySettings) -> Self {
        Self { settings, made: 0 }
    }

    /// How many have failed since something was got.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Something was got: the count begins anew.
    pub(super) fn got_on(&mut self) {
        self.made = 0;
    }

    /// After a failed attempt: how long to wait before the next, `None` to give up. `asked` is what the server asked
    /// for.
    pub(super) fn failed(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let RetrySettings {
            attempts,
            first_delay,
            longest_delay,
        } = self.settings;
        let doubled = first_delay.saturating_mul(1 << self.made.min(16));
        self.made += 1;
        if self.made >= attempts || asked.is_some_and(|asked| asked > longest_delay) {
            return None;
        }
        Some(asked.unwrap_or(doubled).min(longest_delay))
    }
}

/// Whether the same request may be answered better the next time.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

/// What the `Retry-After` header says (RFC 9110 §10.2.3): seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new()
        .parse_timestamp(text.replace("GMT", "+0000"))
        .ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RetrySettings {
        RetrySettings {
            attempts: 4,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(3),
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let mut attempts = Attempts::new(settings());
        let waits: Vec<Option<u64>> = (0..4)
            .map(|_| attempts.failed(None).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [Some(1), Some(2), Some(3), None]);
        attempts.got_on();
        assert_eq!(
            attempts.failed(Some(Duration::from_secs(2))),
            Some(Duration::from_secs(2))
        );
        assert_eq!(attempts.failed(Some(Duration::from_secs(4))), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Thu, 01 Jan 2026 00:01:00 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(of("Wed, 31 Dec 2025 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
    }
}
