//! Takes what a request says of its tenant, where the hop looks for it. Gives the tenant of its call.
//! Never guesses: what is missing, too long or unprintable is `unknown`, and counted.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::record::{Tenant, TenantSource};

/// The tenant of a call that names none.
pub const UNKNOWN: &str = "unknown";

/// The longest name of a tenant, in bytes.
pub const MAX_NAME: usize = 128;

/// Where a hop looks for the tenant of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TenantRule {
    /// `--tenant NAME`
    Fixed(Arc<str>),
    /// `--tenant-from header:NAME`
    Header(http::HeaderName),
    /// `--tenant-from baggage:KEY`, in `_meta` first, then in the HTTP header
    Baggage(Box<str>),
    #[default]
    None,
}

/// What one request offers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offer<'a> {
    /// The value of the header the rule names.
    pub header: Option<&'a [u8]>,
    pub meta_baggage: Option<&'a str>,
    pub header_baggage: Option<&'a str>,
}

impl TenantRule {
    #[must_use]
    pub fn resolve(&self, offer: &Offer<'_>) -> Tenant {
        let (source, name) = match self {
            Self::Fixed(name) => {
                return Tenant {
                    name: Arc::clone(name),
                    source: TenantSource::Fixed,
                };
            }
            Self::Header(_) => (TenantSource::Header, offer.header.and_then(printable)),
            Self::Baggage(key) => (
                TenantSource::Baggage,
                offer
                    .meta_baggage
                    .and_then(|baggage| member(baggage, key))
                    .or_else(|| {
                        offer
                            .header_baggage
                            .and_then(|baggage| member(baggage, key))
                    }),
            ),
            Self::None => (TenantSource::None, None),
        };
        match name.filter(|name| valid_name(name)) {
            Some(name) => Tenant {
                name: name.as_ref().into(),
                source,
            },
            None => Tenant {
                name: UNKNOWN.into(),
                source: TenantSource::None,
            },
        }
    }
}

/// 1 to 128 bytes, all of them printable.
#[must_use]
pub fn valid_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(unprintable)
}

/// Controls, and the characters that show nothing or turn the text around: two names that look alike must be alike.
fn unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn printable(value: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(value)
        .ok()
        .map(|text| Cow::Borrowed(text.trim()))
}

/// The value of one member of a W3C baggage string; the first of several with that key.
fn member<'a>(baggage: &'a str, key: &str) -> Option<Cow<'a, str>> {
    baggage.split(',').find_map(|member| {
        let (name, value) = member.split_once('=')?;
        if name.trim() != key {
            return None;
        }
        let value = value.split(';').next().unwrap_or_default().trim();
        percent_decode_str(value).decode_utf8().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(rule: &TenantRule, offer: &Offer<'_>) -> (String, TenantSource) {
        let tenant = rule.resolve(offer);
        (tenant.name.to_string(), tenant.source)
    }

    #[test]
    fn a_tenant_comes_from_where_the_rule_says() {
        let header = TenantRule::Header(http::HeaderName::from_static("x-tenant"));
        let baggage = TenantRule::Baggage("tenant.id".into());
        let offer = Offer {
            header: Some(b" acme "),
            meta_baggage: Some("a=1, tenant.id = gl%C3%B6bex;p=1 ,tenant.id=no"),
            header_baggage: Some("tenant.id=header"),
        };
        assert_eq!(name(&header, &offer), ("acme".into(), TenantSource::Header));
        assert_eq!(
            name(&baggage, &offer),
            ("glöbex".into(), TenantSource::Baggage)
        );
        assert_eq!(
            name(&TenantRule::Fixed("x".into()), &offer),
            ("x".into(), TenantSource::Fixed)
        );
    }

    #[test]
    fn what_is_no_name_is_unknown() {
        let rule = TenantRule::Header(http::HeaderName::from_static("x-tenant"));
        let unknown = (UNKNOWN.to_owned(), TenantSource::None);
        for value in [
            &b""[..],
            b"a\x01b",
            b"\xff",
            "\u{202e}abc".as_bytes(),
            &[b'a'; 129],
        ] {
            let offer = Offer {
                header: Some(value),
                ..Offer::default()
            };
            assert_eq!(name(&rule, &offer), unknown, "{value:?}");
        }
        assert_eq!(name(&rule, &Offer::default()), unknown);
        assert_eq!(name(&TenantRule::None, &Offer::default()), unknown);
        let missing = Offer {
            meta_baggage: Some("other=1,broken"),
            ..Offer::default()
        };
        assert_eq!(
            name(&TenantRule::Baggage("tenant.id".into()), &missing),
            unknown
        );
    }
}
