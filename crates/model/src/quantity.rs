//! Quantities as people write them: durations (`250ms`, `30s`, `5m`, `1h30m`), sizes (`64MiB`), money (`4000 USD/month`).

use std::fmt;
use std::time::Duration;

/// Whether a text is a day of the calendar, such as `2026-10-01`.
pub fn is_day(text: &str) -> bool {
    crate::scalar::day(text) == Some(true)
}

/// Reads a duration: numbers with a unit of `ms`, `s`, `m`, `h` or `d`, largest first. The error says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a duration such as `250ms`, `30s`, `5m` or `1h30m`, found `{text}`");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(expected());
    }
    let mut total = Duration::ZERO;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("`{text}` has no unit; write `{text}s` or `{text}ms`"))?;
        let number: f64 = rest[..digits].parse().map_err(|_| expected())?;
        let after = &rest[digits..];
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let millis: u64 = match after[..unit_end].trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected()),
        };
        if millis >= last_unit {
            return Err(expected());
        }
        last_unit = millis;
        #[expect(clippy::cast_precision_loss, reason = "a unit is far below 2^52")]
        let seconds = number * millis as f64 / 1000.0;
        let part = Duration::try_from_secs_f64(seconds).map_err(|_| expected())?;
        total = total.checked_add(part).ok_or_else(expected)?;
        rest = &after[unit_end..];
    }
    Ok(total)
}

/// A duration in the notation that [`parse_duration`] reads: `0s`, `250ms`, `1m30s`.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if millis >= size {
            text += &format!("{}{unit}", millis / size);
            millis %= size;
        }
    }
    text
}

/// An amount of money per month, in a currency.
#[derive(Clone, Debug, PartialEq)]
pub struct MonthlyCost {
    /// The amount.
    pub amount: f64,
    /// ISO 4217, such as `USD`.
    pub currency: String,
}

impl MonthlyCost {
    /// Reads `4000 USD/month`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected an amount per month such as `4000 USD/month`, found `{text}`");
        let (amount, rest) = text.trim().split_once(' ').ok_or_else(expected)?;
        let currency = rest.trim().strip_suffix("/month").ok_or_else(expected)?.trim();
        let amount: f64 = amount.replace('_', "").parse().map_err(|_| expected())?;
        if currency.len() != 3
            || !currency.chars().all(|c| c.is_ascii_uppercase())
            || !(amount.is_finite() && amount >= 0.0)
        {
            return Err(expected());
        }
        Ok(Self { amount, currency: currency.into() })
    }
}

impl fmt::Display for MonthlyCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/month", self.amount, self.currency)
    }
}

/// Reads a size in bytes: `64MiB`, `100GB`, `512`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a size such as `64MiB` or `100GB`, found `{text}`");
    let text_trimmed = text.trim();
    let digits = text_trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(text_trimmed.len());
    let number: u64 = text_trimmed[..digits].parse().map_err(|_| expected())?;
    let unit: u64 = match text_trimmed[digits..].trim() {
        "" | "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "TiB" => 1 << 40,
        _ => return Err(expected()),
    };
    number.checked_mul(unit).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("1.5s", 1_500), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(
                parse_duration(&format_duration(Duration::from_millis(millis))),
                Ok(Duration::from_millis(millis))
            );
        }
        for text in ["", "5", "s", "5 parsecs", "1m1h", "-1s", "1s1s", "213000000000000d 5000000000000000h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("5").unwrap_err(), "`5` has no unit; write `5s` or `5ms`");
    }

    #[test]
    fn money_and_sizes_are_read() {
        assert_eq!(MonthlyCost::parse("4000 USD/month").unwrap().to_string(), "4000 USD/month");
        assert!(MonthlyCost::parse("4000").is_err());
        assert!(MonthlyCost::parse("4000 dollars/month").is_err());
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert!(parse_bytes("64 potatoes").is_err());
    }
}
