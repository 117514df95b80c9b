//! Takes the standard variables of OTLP exporters. Gives the headers and the compression they ask for.
//! Never shows a value: headers are secrets.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::SenderError;
use crate::export::settings::Secret;

const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
const COMPRESSION: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
];

/// Those of the configuration; those of the environment are added and win.
pub(super) fn headers(given: &[(String, Secret)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        put(&mut headers, name, value.reveal());
    }
    let text = first(HEADERS).map(|(_, text)| text).unwrap_or_default();
    for (name, value) in pairs(&text) {
        put(&mut headers, name, &value);
    }
    headers
}

/// What is no header is left out, as other exporters do.
fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

/// `name=value,name=value`, where a value may be percent-encoded.
fn pairs(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.split(',').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let decoded = percent_decode_str(value).decode_utf8();
        let value = decoded.map_or_else(|_| value.to_owned(), Into::into);
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}

pub(super) fn gzip() -> Result<bool, SenderError> {
    match first(COMPRESSION) {
        None => Ok(false),
        Some((variable, text)) => match text.as_str() {
            "gzip" => Ok(true),
            "" | "none" => Ok(false),
            _ => Err(SenderError::Compression { variable }),
        },
    }
}

fn first(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    names
        .into_iter()
        .find_map(|name| Some((name, std::env::var(name).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn values_are_decoded_and_nonsense_is_left_out() {
        let found: Vec<_> = pairs("a=1, b = x%20y ,c,=d,e=").collect();
        assert_eq!(found, [("a", "1".to_owned()), ("b", "x y".to_owned())]);
    }
}
