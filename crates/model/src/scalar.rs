//! The kinds of single values in a `lifeboat.yaml`: how each is read, and what JSON Schema says of it.
//!
//! Both stand side by side, so that what an editor accepts is what the parser accepts.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::app::{DeclaredPrice, Place, Provider};
use crate::problem::{listed, nearest};
use crate::quantity::{MonthlyCost, format_duration, parse_bytes, parse_duration};

/// A kind of value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar {
    /// Any text that is not blank.
    Text,
    /// A name of our own: of an app, a region or a component, declared or referred to.
    Name,
    /// A host name.
    Host,
    /// An IP address that others can reach.
    Address,
    /// Where a region lies.
    Place,
    /// A duration between two bounds.
    Duration(Duration, Duration),
    /// A size in bytes.
    Bytes,
    /// A size in bytes per day.
    BytesPerDay,
    /// Money per month.
    Cost,
    /// A whole number between two bounds.
    Integer(i64, i64),
    /// A number of at least zero.
    Amount,
    /// A share of a whole, above 0 and below 1.
    Share,
    /// Only `true`.
    True,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A path on the component, or a whole URL.
    HttpTarget,
    /// A path on the component.
    Path,
    /// The base URL of a server.
    Endpoint,
    /// Whose price, where and of what.
    PriceKey,
    /// US dollars per unit.
    Price,
    /// A day.
    Date,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Address(IpAddr),
    Place(Place),
    Duration(Duration),
    Bytes(u64),
    Cost(MonthlyCost),
    Integer(i64),
    Number(f64),
    True,
}

/// Why a value could not be read.
#[derive(Debug, PartialEq)]
pub(crate) struct Misread {
    pub message: String,
    pub suggestion: Option<String>,
}

const DURATION: &str =
    r"^\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*(ms|s|min|m|h|d)(\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*(ms|s|min|m|h|d))*\s*$";
const NAME: &str = "^[a-z][a-z0-9-]{0,39}$";
const HOST: &str =
    r"^(?=.{1,254}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?$";
const PLACE: &str = r"^(local/[a-z0-9][a-z0-9-]*|aws/[a-z]+(-[a-z]+)+-[0-9]+|azure/[a-z][a-z0-9]*|kubernetes/[!-~]+)$";
const BYTES: &str = r"^\s*[0-9]+\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)?\s*$";
const BYTES_PER_DAY: &str = r"^\s*[0-9]+\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)\s*/day$";
const COST: &str = r"^\s*[0-9][0-9_.]*\s+[A-Z]{3}\s*/month\s*$";
const PERCENT: &str = r"^[0-9]{1,2}(\.[0-9]+)?%$";
const HTTP_TARGET: &str = r"^(/[!-~]*|http://[!-~]+)$";
const PATH: &str = r"^/[!-~]*$";
const ENDPOINT: &str = r"^https?://[!-~]+$";
const PRICE_KEY: &str = "^((aws|azure)/[!-.0-~]+/[!-~]+|(local|kubernetes)/[!-~]+/[!-.0-~]+)$";
const DATE: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$";

impl Scalar {
    /// What would be right, for people.
    pub fn expected(self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Name => "a name of at most 40 of `a-z`, `0-9` and `-` that begins with a letter".into(),
            Self::Host => "a host name with a domain, such as `shop.example.com`".into(),
            Self::Address => "an IP address that others can reach, such as `10.0.1.5` or `2001:db8::5`".into(),
            Self::Place => {
                "`local/NAME`, `aws/REGION` such as `aws/eu-north-1`, `azure/REGION` such as `azure/northeurope`, or `kubernetes/CONTEXT`".into()
            }
            Self::Duration(least, most) => {
                let bounds = match (least.is_zero(), most == Duration::MAX) {
                    (true, true) => String::new(),
                    (true, false) => format!(" of at most {}", format_duration(most)),
                    (false, true) => format!(" of at least {}", format_duration(least)),
                    (false, false) => format!(" from {} to {}", format_duration(least), format_duration(most)),
                };
                format!("a duration{bounds}, such as `250ms`, `30s`, `5m` or `1h30m`")
            }
            Self::Bytes => "a size such as `64MiB` or `100GB`".into(),
            Self::BytesPerDay => "a size per day such as `20GB/day`".into(),
            Self::Cost => "an amount per month such as `4000 USD/month`".into(),
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Amount => "a number of at least 0".into(),
            Self::Share => "a share above 0 and below 1, such as `0.9999` or `99.99%`".into(),
            Self::True => "`true`".into(),
            Self::Word(words) => listed(words.iter().copied(), "or"),
            Self::HttpTarget => "a path such as `/healthz`, or a URL such as `http://127.0.0.1:8080/healthz`".into(),
            Self::Path => "a path such as `/healthz`".into(),
            Self::Endpoint => "a URL such as `https://10.0.1.5:2379`".into(),
            Self::PriceKey => {
                "`PROVIDER/REGION/SKU` such as `aws/eu-north-1/ec2/m6g.large`, or `global` as region for all of the provider's".into()
            }
            Self::Price => format!("US dollars per unit from 0 to {}, such as `0.0952`", DeclaredPrice::MOST_USD),
            Self::Date => "a day such as `2026-10-01`".into(),
        }
    }

    /// Reads a scalar. `plain`: it stood without quotes, so that it may be a number or a boolean.
    pub fn read(self, text: &str, plain: bool) -> Result<Value, Misread> {
        let value = match self {
            Self::Integer(least, most) => return read_integer(text, plain, least, most),
            Self::Amount => return read_number(text, plain).map(Value::Number),
            Self::Share => return read_share(text, plain),
            Self::Price => return read_price(text, plain),
            Self::True => {
                return if plain && is_true(text) { Ok(Value::True) } else { Err(misread(text, "is not `true`")) };
            }
            Self::Text => {
                if text.trim().is_empty() || text.contains('\0') {
                    return Err(misread(text, "is not a text"));
                }
                Value::Text(text.into())
            }
            Self::Name => read_name(text)?,
            Self::Host => read_host(text)?,
            Self::Address => read_address(text)?,
            Self::Place => read_place(text)?,
            Self::Duration(least, most) => read_duration(text, least, most)?,
            Self::Bytes => {
                let bytes = parse_bytes(text).map_err(|_| misread(text, "is not a size"))?;
                return Ok(Value::Bytes(bytes));
            }
            Self::BytesPerDay => read_bytes_per_day(text)?,
            Self::Cost => read_cost(text)?,
            Self::Word(words) => read_word(text, words)?,
            Self::HttpTarget => read_http_target(text)?,
            Self::Path => read_path(text)?,
            Self::Endpoint => read_endpoint(text)?,
            Self::PriceKey => read_price_key(text)?,
            Self::Date => read_date(text)?,
        };
        if plain && !is_text(text) {
            return Err(Misread {
                message: format!("`{text}` without quotes is a number or a boolean"),
                suggestion: Some(format!("\"{text}\"")),
            });
        }
        Ok(value)
    }

    /// What JSON Schema says of it.
    pub fn json_schema(self) -> Json {
        let pattern = |pattern: &str| json!({"type": "string", "pattern": pattern});
        match self {
            Self::Text => pattern(r"\S"),
            Self::Name => pattern(NAME),
            Self::Host => pattern(HOST),
            Self::Address => json!({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
            Self::Place => pattern(PLACE),
            Self::Duration(..) => pattern(DURATION),
            Self::Bytes => json!({"anyOf": [{"type": "integer", "minimum": 0}, pattern(BYTES)]}),
            Self::BytesPerDay => pattern(BYTES_PER_DAY),
            Self::Cost => pattern(COST),
            Self::Integer(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Self::Amount => json!({"type": "number", "minimum": 0}),
            Self::Share => json!({"anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, pattern(PERCENT)]}),
            Self::True => json!({"const": true}),
            Self::Word(words) => json!({"enum": words}),
            Self::HttpTarget => pattern(HTTP_TARGET),
            Self::Path => pattern(PATH),
            Self::Endpoint => pattern(ENDPOINT),
            Self::PriceKey => pattern(PRICE_KEY),
            Self::Price => json!({"type": "number", "minimum": 0, "maximum": DeclaredPrice::MOST_USD}),
            Self::Date => pattern(DATE),
        }
    }

    /// A default as JSON, from its text in the table of fields.
    pub fn json_default(self, text: &str) -> Json {
        match self {
            Self::Integer(..) => text.parse::<i64>().map_or(Json::Null, Json::from),
            _ => text.into(),
        }
    }
}

fn misread(text: &str, what: &str) -> Misread {
    let shown: String = text.chars().take(60).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    Misread { message: format!("`{}{dots}` {what}", shown.escape_debug()), suggestion: None }
}

/// What stands in quotes where a number should be: the number itself is the suggestion.
fn unquoted(text: &str) -> Misread {
    Misread { suggestion: Some(text.into()), ..misread(text, "is a text, not a number") }
}

fn is_true(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE")
}

/// Whether YAML's core schema takes a plain scalar for a text (YAML 1.2.2, 10.3.2).
fn is_text(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && unsigned.parse::<f64>().is_ok();
    let prefixed = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    let word =
        matches!(text, "" | "~" | "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
            || matches!(unsigned, ".inf" | ".Inf" | ".INF")
            || matches!(text, ".nan" | ".NaN" | ".NAN");
    !(number || word || prefixed("0x", 16) || prefixed("0o", 8))
}

fn read_integer(text: &str, plain: bool, least: i64, most: i64) -> Result<Value, Misread> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || (!digits.starts_with('0') && digits.chars().all(|c| c.is_ascii_digit()));
    let number: Option<i64> = if canonical { text.parse().ok() } else { None };
    match number {
        Some(_) if !plain => Err(unquoted(text)),
        Some(number) if (least..=most).contains(&number) => Ok(Value::Integer(number)),
        Some(_) => Err(misread(text, "is out of range")),
        None if canonical && !digits.is_empty() => Err(misread(text, "is out of range")),
        None => Err(misread(text, "is not a whole number")),
    }
}

fn read_number(text: &str, plain: bool) -> Result<f64, Misread> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    match number {
        Some(_) if !plain => Err(unquoted(text)),
        Some(number) if text.starts_with(|c: char| c.is_ascii_digit()) => Ok(number),
        _ => Err(misread(text, "is not a number of at least 0")),
    }
}

fn read_price(text: &str, plain: bool) -> Result<Value, Misread> {
    if let Some(amount) = text.strip_suffix("USD").or_else(|| text.strip_prefix('$')) {
        return Err(Misread {
            suggestion: Some(amount.trim().into()),
            ..misread(text, "has a currency: prices are in USD")
        });
    }
    let usd = read_number(text, plain).map_err(|misread| Misread {
        message: misread.message.replace("is not a number of at least 0", "is not a price"),
        ..misread
    })?;
    if usd > DeclaredPrice::MOST_USD {
        Err(misread(text, "is more than anything costs"))
    } else {
        Ok(Value::Number(usd))
    }
}

fn read_price_key(text: &str) -> Result<Value, Misread> {
    let wrong = || misread(text, "does not say whose price of what it is");
    let Some((provider, region, _)) = DeclaredPrice::split(text) else {
        let given = text.split('/').next().unwrap_or_default();
        let known = || Provider::ALL.iter().map(|provider| provider.as_str());
        if known().any(|known| known == given) || !text.contains('/') {
            return Err(wrong());
        }
        let suggestion = nearest(given, known()).map(|provider| text.replacen(given, &provider, 1));
        return Err(Misread { suggestion, ..misread(given, "is not a provider") });
    };
    // A place's name has its form, so that a price is not given to a region that cannot be.
    if let Some(region) = region {
        read_place(&format!("{}/{region}", provider.as_str())).map_err(|_| misread(region, "is not a region"))?;
    }
    Ok(Value::Text(text.into()))
}

fn read_date(text: &str) -> Result<Value, Misread> {
    let wrong = || misread(text, "is not a day");
    match day(text) {
        None => Err(wrong()),
        Some(true) => Ok(Value::Text(text.into())),
        Some(false) => Err(misread(text, "is no day of any calendar")),
    }
}

/// Whether a text that looks like a day, such as `2026-10-01`, is one; `None`: it does not.
pub(crate) fn day(text: &str) -> Option<bool> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let number = |text: &str, digits: usize| {
        (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u32>().ok()).flatten()
    };
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    Some((1..=days).contains(&day))
}

fn read_share(text: &str, plain: bool) -> Result<Value, Misread> {
    let wrong = || misread(text, "is not a share");
    let share = match text.strip_suffix('%') {
        Some(percent) => {
            let whole = percent.split('.').next().unwrap_or_default();
            let digits = percent.chars().all(|c| c.is_ascii_digit() || c == '.') && !percent.ends_with('.');
            if !digits || !(1..=2).contains(&whole.len()) {
                return Err(wrong());
            }
            // Not divided by 100, which would make 0.9990000000000001 of 99.9%.
            format!("{percent}e-2").parse::<f64>().map_err(|_| wrong())?
        }
        None => read_number(text, plain)?,
    };
    if share > 0.0 && share < 1.0 { Ok(Value::Number(share)) } else { Err(misread(text, "is not between 0 and 1")) }
}

fn read_name(text: &str) -> Result<Value, Misread> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(allowed) && text.len() <= 40 {
        return Ok(Value::Text(text.into()));
    }
    let lower: String = text.to_lowercase().replace(['_', ' ', '.'], "-");
    let usable = lower.starts_with(|c: char| c.is_ascii_lowercase()) && lower.chars().all(allowed) && lower.len() <= 40;
    let what = if text.chars().count() > 40 { "is longer than 40 characters" } else { "is not a name" };
    Err(Misread { suggestion: usable.then_some(lower), ..misread(text, what) })
}

/// Labels as in RFC 1123, 2.1; the last may not begin with a digit, so that no address is taken for a name.
fn read_host(text: &str) -> Result<Value, Misread> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = name.rsplit('.').next().unwrap_or_default();
    if name.len() > 253 || !name.split('.').all(label) || !top.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(misread(text, "is not a host name"));
    }
    if !name.contains('.') {
        return Err(misread(text, "has no domain"));
    }
    Ok(Value::Text(name.to_ascii_lowercase()))
}

fn read_address(text: &str) -> Result<Value, Misread> {
    let address: IpAddr = text.parse().map_err(|_| misread(text, "is not an IP address"))?;
    if address.is_unspecified() || address.is_multicast() || address == IpAddr::from([255, 255, 255, 255]) {
        return Err(misread(text, "is not the address of one machine"));
    }
    Ok(Value::Address(address))
}

fn read_place(text: &str) -> Result<Value, Misread> {
    let (provider, name) = text.split_once('/').ok_or_else(|| {
        let known = Provider::ALL.iter().any(|provider| provider.as_str() == text);
        misread(text, if known { "names a provider but no place of it" } else { "is not a place" })
    })?;
    let Some(&found) = Provider::ALL.iter().find(|candidate| candidate.as_str() == provider) else {
        let suggestion = nearest(provider, Provider::ALL.iter().map(|provider| provider.as_str()));
        let suggestion = suggestion.map(|provider| format!("{provider}/{name}"));
        return Err(Misread { suggestion, ..misread(provider, "is not a provider") });
    };
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = match found {
        Provider::Local => name.starts_with(alphanumeric) && name.chars().all(|c| alphanumeric(c) || c == '-'),
        Provider::Aws => is_aws_region(name),
        Provider::Azure => name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(alphanumeric),
        Provider::Kubernetes => !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic()),
    };
    if !fits {
        return Err(misread(text, "is not a place"));
    }
    Ok(Value::Place(Place { provider: found, name: name.into() }))
}

/// At least two words and a number, as in `eu-north-1`, `us-gov-west-1`.
fn is_aws_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()))
        && !number.is_empty()
        && number.chars().all(|c| c.is_ascii_digit())
}

fn read_duration(text: &str, least: Duration, most: Duration) -> Result<Value, Misread> {
    let Ok(duration) = parse_duration(text) else {
        return Err(if text.parse::<f64>().is_ok_and(|number| number.is_finite() && number >= 0.0) {
            Misread { suggestion: Some(format!("{text}s")), ..misread(text, "has no unit") }
        } else {
            misread(text, "is not a duration")
        });
    };
    if duration < least {
        return Err(misread(text, "is too short"));
    }
    if duration > most {
        return Err(misread(text, "is too long"));
    }
    Ok(Value::Duration(duration))
}

fn read_bytes_per_day(text: &str) -> Result<Value, Misread> {
    let wrong = || misread(text, "is not a size per day");
    let Some(size) = text.strip_suffix("/day") else {
        let suggestion = parse_bytes(text).ok().map(|_| format!("{text}/day"));
        return Err(Misread { suggestion, ..wrong() });
    };
    if size.trim_end().ends_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong());
    }
    parse_bytes(size).map(Value::Bytes).map_err(|_| wrong())
}

fn read_cost(text: &str) -> Result<Value, Misread> {
    let amount = text.split_whitespace().next().unwrap_or_default();
    let digits = amount.starts_with(|c: char| c.is_ascii_digit())
        && amount.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | '.'));
    let cost = MonthlyCost::parse(text).ok().filter(|_| digits);
    cost.map(Value::Cost).ok_or_else(|| misread(text, "is not an amount per month"))
}

fn read_word(text: &str, words: &[&str]) -> Result<Value, Misread> {
    if words.contains(&text) {
        return Ok(Value::Text(text.into()));
    }
    Err(Misread { suggestion: nearest(text, words.iter().copied()), ..misread(text, "is not known here") })
}

fn read_http_target(text: &str) -> Result<Value, Misread> {
    let graphic = text.chars().all(|c| c.is_ascii_graphic());
    let url = text.strip_prefix("http://").is_some_and(|rest| !rest.is_empty());
    if graphic && (text.starts_with('/') || url) {
        return Ok(Value::Text(text.into()));
    }
    if text.starts_with("https://") {
        return Err(misread(text, "asks for TLS, for which there is `https: PATH`"));
    }
    let suggestion = (graphic && !text.is_empty() && !text.contains("://")).then(|| format!("/{text}"));
    Err(Misread { suggestion, ..misread(text, "is neither a path nor a URL") })
}

fn read_path(text: &str) -> Result<Value, Misread> {
    let graphic = text.chars().all(|c| c.is_ascii_graphic());
    if graphic && text.starts_with('/') {
        return Ok(Value::Text(text.into()));
    }
    let suggestion = (graphic && !text.is_empty() && !text.contains("://")).then(|| format!("/{text}"));
    Err(Misread { suggestion, ..misread(text, "is not a path") })
}

fn read_endpoint(text: &str) -> Result<Value, Misread> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic())) {
        return Ok(Value::Text(text.into()));
    }
    let bare = !text.is_empty() && !text.contains("://") && text.chars().all(|c| c.is_ascii_graphic());
    Err(Misread { suggestion: bare.then(|| format!("https://{text}")), ..misread(text, "is not a URL") })
}
