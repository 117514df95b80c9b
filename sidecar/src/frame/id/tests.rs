use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Id {
    Id::number(text.as_bytes())
}

#[test]
fn a_number_is_what_it_is_worth() {
    for (text, same) in [
        ("1", "1.0"),
        ("1", "1e0"),
        ("1", "10e-1"),
        ("1", "0.01E+2"),
        ("0", "-0"),
        ("0", "0.0e99999999999999999999"),
        ("-12.5", "-1250e-2"),
        ("0.05", "5e-2"),
        ("9007199254740993", "9007199254740993.000"),
        ("1e70", "10e69"),
        (&format!("1{}", "0".repeat(300)), "1e300"),
        ("1e99999999999999999999", "1e99999999999999999999"),
    ] {
        assert_eq!(number(text), number(same), "{text} and {same}");
    }
    for (text, other) in [
        ("1", "10"),
        ("1", "-1"),
        ("1", "0.1"),
        ("12", "1.2"),
        ("9007199254740993", "9007199254740992"),
        ("1e70", "1e71"),
        ("1e99999999999999999999", "1e99999999999999999998"),
    ] {
        assert_ne!(number(text), number(other), "{text} and {other}");
    }
    assert_ne!(number("1"), Id::string(b"1"));
    assert_eq!(Id::string(br"\u0031"), Id::string(b"1"));
    assert_ne!(Id::string(b"1.0"), Id::string(b"1"));
}

#[test]
fn what_everybody_writes_is_shown_as_it_is_written() {
    for text in ["0", "7", "100", "-3", "1.5", "9007199254740993"] {
        assert_eq!(number(text).text(), text);
    }
}

proptest! {
    /// A number of hundredths, written in several ways, is equal to another exactly if it is as many hundredths.
    #[test]
    fn equal_exactly_if_equal_in_value(one in -2000_i64..2000, other in -2000_i64..2000, shift in 0_usize..80) {
        let sign = if other < 0 { "-" } else { "" };
        let (whole, part) = (other.abs() / 100, other.abs() % 100);
        let zeros = "0".repeat(shift);
        for spelling in [
            format!("{other}e-2"),
            format!("{sign}{whole}.{part:02}{zeros}"),
            format!("{other}{zeros}E-{}", shift + 2),
            format!("{sign}0.{zeros}{:05}e+{}", other.abs(), shift + 3),
        ] {
            prop_assert_eq!(number(&format!("{one}e-2")) == number(&spelling), one == other, "{}", spelling);
        }
    }
}
