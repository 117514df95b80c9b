//! Takes what a span and its resource say about their tenant.
//! Gives the tenant a row belongs to.
//! Never guesses: what is missing or unfit is `unknown`.

/// The tenant of rows that name none, or none that is fit to be one.
pub const UNKNOWN: &str = "unknown";

/// The attribute that names the tenant, on spans, metric points and resources.
pub const ATTRIBUTE: &str = "tenant.id";

/// The longest tenant name, in bytes.
pub const MAX_BYTES: usize = 128;

/// The tenant in `value`, when it is fit to be one: 1 to 128 bytes of UTF-8, all of it to be seen.
#[must_use]
pub fn valid(value: &[u8]) -> Option<&str> {
    if value.is_empty() || value.len() > MAX_BYTES {
        return None;
    }
    let name = std::str::from_utf8(value).ok()?;
    (!name.chars().any(unprintable)).then_some(name)
}

/// Whether `char` moves, hides or reorders text instead of showing something.
///
/// Two tenants that look the same must not differ, and none may rearrange the terminal that lists it.
#[must_use]
pub fn unprintable(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The tenant of one row: its own attribute, else its resource's, else [`UNKNOWN`].
#[must_use]
pub fn resolve<'a>(item: Option<&'a [u8]>, resource: Option<&'a [u8]>) -> &'a str {
    item.and_then(valid)
        .or_else(|| resource.and_then(valid))
        .unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_item_wins_over_the_resource() {
        assert_eq!(resolve(Some(b"acme"), Some(b"other")), "acme");
        assert_eq!(resolve(None, Some(b"other")), "other");
        assert_eq!(resolve(None, None), UNKNOWN);
    }

    #[test]
    fn an_unfit_name_is_no_name() {
        let long = [b'a'; MAX_BYTES + 1];
        for unfit in [
            b"".as_slice(),
            b"a\nb",
            b"a\x7f",
            "a\u{85}".as_bytes(),
            "acme\u{200b}".as_bytes(),
            "\u{202e}emca".as_bytes(),
            "a\u{2066}b".as_bytes(),
            "a\u{ad}b".as_bytes(),
            "\u{feff}a".as_bytes(),
            "a\u{e0041}".as_bytes(),
            b"\xff",
            &long,
        ] {
            assert_eq!(valid(unfit), None);
            assert_eq!(resolve(Some(unfit), Some(b"acme")), "acme");
        }
        assert_eq!(valid(&[b'a'; MAX_BYTES]).map(str::len), Some(MAX_BYTES));
        assert_eq!(valid("b\u{fc}ro, 東京".as_bytes()), Some("b\u{fc}ro, 東京"));
    }
}
