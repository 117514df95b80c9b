//! Takes the id of a message as it was written. Gives its value: two spellings that JSON takes for equal are equal.
//! Never mixes types: `1` is not `"1"`.

use super::text::unescape;

/// Numbers with more digits than this are spelled with an exponent.
const PLAIN: usize = 64;

/// The id of a request, or the name of something else: a number or a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Id {
    /// In the one spelling that its value has here: `1` for `1.0` and `10e-1` too.
    Number(Box<str>),
    String(Box<str>),
}

impl Id {
    /// The value of what stands between the quotes of a string.
    pub(crate) fn string(raw: &[u8]) -> Self {
        Self::String(unescape(raw).into())
    }

    /// The value of a number, as the scanner has checked it.
    pub(crate) fn number(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw);
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        Self::Number(match digits && text.len() <= PLAIN {
            true => text.into(),
            // A power beyond 64 bits is equal to itself only.
            false => spelled(&text).map_or_else(|| text.into(), Into::into),
        })
    }

    /// The text that `jsonrpc.request.id` shows.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Number(text) | Self::String(text) => text,
        }
    }
}

/// The one spelling of a number: its significant digits, and where its point stands in front of or behind them.
fn spelled(text: &str) -> Option<String> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let behind_zeros = all.trim_start_matches('0');
    let digits = behind_zeros.trim_end_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = all.len() - behind_zeros.len();
    let power: i64 = power.parse().ok()?;
    let place = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
    let point = power.checked_add(place)?;
    Some(match usize::try_from(point) {
        Ok(point) if point >= digits.len() && point <= PLAIN => {
            format!("{sign}{digits:0<point$}")
        }
        Ok(point) if point > 0 && digits.len() > point => {
            let (whole, fraction) = digits.split_at(point);
            format!("{sign}{whole}.{fraction}")
        }
        _ => format!("{sign}0.{digits}e{point}"),
    })
}

#[cfg(test)]
mod tests;
