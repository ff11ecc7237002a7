//! Durations in the configuration.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A duration in whole seconds, written as `90s`, `15m` or `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Period(u32);

/// The text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration in hours, minutes and seconds, such as 90s, 15m or 1h30m")]
pub struct PeriodError;

impl Period {
    /// A duration of `seconds`.
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// The sum; `None` on overflow.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The duration in whole seconds.
    pub const fn as_seconds(self) -> u32 {
        self.0
    }

    /// The duration as a standard library type.
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let mut rest = text;
        let mut seconds = 0_u32;
        for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
            if let Some((number, after)) = rest.split_once(unit) {
                let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                let number: u32 = number.parse().ok().filter(|_| is_number).ok_or(PeriodError)?;
                seconds = number
                    .checked_mul(length)
                    .and_then(|more| seconds.checked_add(more))
                    .ok_or(PeriodError)?;
                rest = after;
            }
        }
        if text.is_empty() || !rest.is_empty() {
            return Err(PeriodError);
        }
        Ok(Self(seconds))
    }
}

impl TryFrom<String> for Period {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, PeriodError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    /// The format that Tekton reads too.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        write!(formatter, "{hours}h{minutes}m{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_printed() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h30m", 5400),
            ("0h55m0s", 3300),
            ("2h", 7200),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.as_seconds(), seconds, "{text}");
            assert_eq!(period.to_string().parse(), Ok(period));
        }
        for text in ["", "5", "h", "5m1h", "1.5h", "-1s", "+1s", "1h 5m", "99999999h", "5x"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError), "{text}");
        }
    }
}
