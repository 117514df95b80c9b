//! Takes bytes inside a number or a string. Gives what the grammar says of them: RFC 8259 and RFC 3629.
//! Never keeps a state of its own: the scanner holds it.

/// How far a number has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Digits,
    Dot,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    /// The state behind one more byte; none when the byte does not belong to the number.
    pub(super) fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Digits, b'0'..=b'9') => Some(Self::Digits),
            (Self::Zero | Self::Digits, b'.') => Some(Self::Dot),
            (Self::Dot | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Digits | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    /// The number may end here.
    pub(super) fn may_end(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Digits | Self::Fraction | Self::Power
        )
    }
}

/// Bytes to come after a UTF-8 lead byte, and the range of the first of them (RFC 3629).
pub(super) fn utf8_lead(byte: u8) -> Option<(u8, u8, u8)> {
    match byte {
        0xc2..=0xdf => Some((1, 0x80, 0xbf)),
        0xe0 => Some((2, 0xa0, 0xbf)),
        0xe1..=0xec | 0xee..=0xef => Some((2, 0x80, 0xbf)),
        0xed => Some((2, 0x80, 0x9f)),
        0xf0 => Some((3, 0x90, 0xbf)),
        0xf1..=0xf3 => Some((3, 0x80, 0xbf)),
        0xf4 => Some((3, 0x80, 0x8f)),
        _ => None,
    }
}

/// How many bytes at the front are plain text: no quote, no escape, no control character, ASCII.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut run = 0;
    for chunk in bytes.chunks_exact(8) {
        let Ok(chunk) = <[u8; 8]>::try_from(chunk) else {
            break;
        };
        let word = u64::from_le_bytes(chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let escape = has_zero(word ^ (ONES * u64::from(b'\\')));
        // A borrow may mark bytes above the first that is meant, never one below it.
        let marks = control | quote | escape | (word & HIGHS);
        if marks != 0 {
            return run + marks.trailing_zeros() as usize / 8;
        }
        run += 8;
    }
    run + bytes
        .iter()
        .skip(run)
        .position(|&b| b == b'"' || b == b'\\' || !(0x20..0x80).contains(&b))
        .unwrap_or(bytes.len() - run)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain_run;

    proptest! {
        #[test]
        fn a_run_is_as_long_as_a_look_at_each_byte_says(
            bytes in prop::collection::vec(
                prop_oneof![6 => 0x20..0x7f_u8, 1 => any::<u8>(), 1 => prop::sample::select(&b"\"\\\x00\x1f\x20\x80\x21\x5b\x5d"[..])],
                0..64,
            )
        ) {
            let special = |b: &u8| *b == b'"' || *b == b'\\' || !(0x20..0x80).contains(b);
            let expected = bytes.iter().position(special).unwrap_or(bytes.len());
            prop_assert_eq!(plain_run(&bytes), expected);
        }
    }
}
