//! Takes the raw bytes between the quotes of a JSON string. Gives its text, borrowed where there is no escape.
//! Never fails: an escape that stands for no character (a lone surrogate) becomes U+FFFD.

use std::borrow::Cow;

/// The text of a JSON string's raw content, which the scanner has checked already.
#[must_use]
pub fn unescape(raw: &[u8]) -> Cow<'_, str> {
    if !raw.contains(&b'\\') {
        return String::from_utf8_lossy(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&escape, tail)) = rest.split_first() else {
            break;
        };
        rest = tail;
        if escape == b'u' {
            let (character, tail) = unicode(rest);
            rest = tail;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.push(simple(escape));
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn simple(escape: u8) -> u8 {
    match escape {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}

/// The character of a `\u` escape, with its low surrogate where there is one, and what follows.
fn unicode(rest: &[u8]) -> (char, &[u8]) {
    let Some((high, tail)) = hex4(rest) else {
        return (char::REPLACEMENT_CHARACTER, &[]);
    };
    if let (0xd800..=0xdbff, Some((low @ 0xdc00..=0xdfff, after))) =
        (high, tail.strip_prefix(b"\\u").and_then(hex4))
    {
        let joined = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (
            char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER),
            after,
        );
    }
    (
        char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
        tail,
    )
}

fn hex4(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, tail) = bytes.split_at_checked(4)?;
    let text = std::str::from_utf8(digits).ok()?;
    Some((u32::from_str_radix(text, 16).ok()?, tail))
}

/// Appends `text` as the content of a JSON string.
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            c if (c as u32) < 0x20 => {
                out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_become_characters() {
        assert_eq!(unescape(br"\u005fmeta"), "_meta");
        assert_eq!(unescape(br#"a\"b\\c\/d\n"#), "a\"b\\c/d\n");
        assert_eq!(unescape(br"\ud83d\ude00"), "\u{1f600}");
        assert_eq!(unescape(br"\ud83d!"), "\u{fffd}!");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let raw = &json.as_bytes()[1..json.len() - 1];
            prop_assert_eq!(unescape(raw), text.as_str());
            let mut escaped = Vec::new();
            escape_into(&mut escaped, &text);
            prop_assert_eq!(unescape(&escaped), text.as_str());
        }

        #[test]
        fn any_bytes_are_survived(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = unescape(&raw);
        }
    }
}
