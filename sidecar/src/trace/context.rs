//! Takes what each carrier said. Gives the parent, the link and the ids of the new span.
//! Never trusts a malformed value: it is as if it were not there.

use crate::record::{CallContext, ParentSource, TraceContext};

/// `tracestate` may be longer; what we carry on is bounded (W3C Trace Context 3.3.1.5 asks for at least 512).
const MAX_TRACESTATE: usize = 1024;

/// A valid `traceparent` and the `tracestate` beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    pub context: TraceContext,
    pub tracestate: Box<str>,
}

impl Carrier {
    /// Reads one carrier; none without a valid `traceparent`.
    #[must_use]
    pub fn read(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Self> {
        let context = parse_traceparent(traceparent?)?;
        let tracestate = tracestate
            .map(str::trim)
            .filter(|state| valid_tracestate(state))
            .unwrap_or_default();
        Some(Self {
            context,
            tracestate: tracestate.into(),
        })
    }
}

/// What the carriers of one request said.
#[derive(Debug, Clone, Default)]
pub struct Carriers {
    pub meta: Option<Carrier>,
    pub header: Option<Carrier>,
    pub env: Option<Carrier>,
    /// The call inside of which the peer sent this request.
    pub call: Option<Carrier>,
}

/// The new span's place, and the context that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub call: CallContext,
    /// What is written into the message and the header.
    pub outgoing: TraceContext,
}

/// Chooses the parent: `_meta`, else the header, else the environment, else the causing call, else none.
#[must_use]
pub fn decide(carriers: &Carriers, span_pair: bool, random: &mut fastrand::Rng) -> Decision {
    let (parent, source) = match carriers {
        Carriers {
            meta: Some(meta), ..
        } => (Some(meta), ParentSource::Meta),
        Carriers {
            header: Some(header),
            ..
        } => (Some(header), ParentSource::Header),
        Carriers { env: Some(env), .. } => (Some(env), ParentSource::Env),
        Carriers {
            call: Some(call), ..
        } => (Some(call), ParentSource::Call),
        _ => (None, ParentSource::Root),
    };
    let link = carriers.header.as_ref().map(|header| header.context);
    let context = TraceContext {
        trace_id: parent.map_or_else(|| random.u128(1..), |parent| parent.context.trace_id),
        span_id: random.u64(1..),
        flags: parent.map_or(1, |parent| parent.context.flags),
    };
    let pair_span_id = span_pair.then(|| random.u64(1..));
    let call = CallContext {
        context,
        pair_span_id,
        parent: parent.map(|parent| parent.context),
        parent_source: source,
        link: link.filter(|link| {
            source == ParentSource::Meta && Some(*link) != parent.map(|p| p.context)
        }),
        tracestate: parent
            .map(|parent| parent.tracestate.clone())
            .unwrap_or_default(),
    };
    let outgoing = TraceContext {
        span_id: pair_span_id.unwrap_or(context.span_id),
        ..context
    };
    Decision { call, outgoing }
}

/// A `traceparent` of version 00: always so long.
pub type Traceparent = [u8; 55];

/// The text of a `traceparent` of version 00, in ASCII. Every call writes it twice, so it takes no formatter.
#[must_use]
pub fn format_traceparent(context: &TraceContext) -> Traceparent {
    let mut text = *b"00-________________________________-________________-__";
    write_hex(&mut text, 3, &context.trace_id.to_be_bytes());
    write_hex(&mut text, 36, &context.span_id.to_be_bytes());
    write_hex(&mut text, 53, &[context.flags]);
    text
}

fn write_hex(text: &mut Traceparent, at: usize, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (places, _) = text.split_at_mut(at).1.as_chunks_mut::<2>();
    for (place, byte) in places.iter_mut().zip(bytes) {
        *place = [byte >> 4, byte & 0xf].map(|digit| DIGITS[usize::from(digit)]);
    }
}

/// W3C Trace Context 3.2: version 00 exactly, later versions by their first four fields.
#[must_use]
pub fn parse_traceparent(text: &str) -> Option<TraceContext> {
    let bytes = text.as_bytes();
    let head = bytes.get(..55)?;
    let dash = |at: usize| head.get(at) == Some(&b'-');
    if !(dash(2) && dash(35) && dash(52)) {
        return None;
    }
    let version = hex(head.get(..2)?)?;
    let tail_fits = match (version, bytes.get(55)) {
        (0xff, _) => false,
        (_, None) => true,
        (0, Some(_)) => false,
        (_, Some(next)) => *next == b'-',
    };
    let trace_id = hex(head.get(3..35)?)?;
    let span_id = u64::try_from(hex(head.get(36..52)?)?).ok()?;
    let flags = u8::try_from(hex(head.get(53..55)?)?).ok()?;
    (tail_fits && trace_id != 0 && span_id != 0).then_some(TraceContext {
        trace_id,
        span_id,
        // sampled, and random of level 2; the others mean nothing yet and are not passed on
        flags: flags & 0x03,
    })
}

/// Lower-case hexadecimal digits only, as the specification demands.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn valid_tracestate(state: &str) -> bool {
    state.len() <= MAX_TRACESTATE
        && state.bytes().all(|b| (0x20..0x7f).contains(&b))
        && state
            .split(',')
            .all(|member| member.trim().is_empty() || member.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn carrier(text: &str) -> Option<Carrier> {
        Carrier::read(Some(text), Some("a=1"))
    }

    #[test]
    fn only_valid_traceparents_are_read() {
        assert!(parse_traceparent(VALID).is_some());
        let later = VALID.replacen("00", "cc", 1);
        assert!(parse_traceparent(&later).is_some());
        assert!(parse_traceparent(&format!("{later}-more")).is_some());
        for bad in [
            "",
            "00",
            &format!("{VALID}-more"),
            &format!("{later}x"),
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replace("b7ad6b7169203331", "0000000000000000"),
            &VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &VALID.replace('-', "_"),
        ] {
            assert_eq!(parse_traceparent(bad), None, "{bad}");
        }
    }

    #[test]
    fn meta_is_the_parent_and_a_different_header_a_link() {
        let carriers = Carriers {
            meta: carrier(VALID),
            header: carrier(&VALID.replace("b7ad", "aaaa")),
            ..Carriers::default()
        };
        let decision = decide(&carriers, false, &mut fastrand::Rng::with_seed(1));
        assert_eq!(decision.call.parent_source, ParentSource::Meta);
        assert_eq!(decision.call.parent, carriers.meta.map(|m| m.context));
        assert_eq!(decision.call.link, carriers.header.map(|h| h.context));
        assert_eq!(decision.outgoing, decision.call.context);
    }

    #[test]
    fn the_same_header_is_no_link_and_an_unsampled_parent_stays_so() {
        let carriers = Carriers {
            meta: carrier(&VALID.replace("-01", "-00")),
            header: carrier(&VALID.replace("-01", "-00")),
            ..Carriers::default()
        };
        let decision = decide(&carriers, true, &mut fastrand::Rng::with_seed(1));
        assert_eq!(decision.call.link, None);
        assert_eq!(decision.outgoing.flags, 0);
        assert_eq!(Some(decision.outgoing.span_id), decision.call.pair_span_id);
    }

    #[test]
    fn a_tracestate_that_is_none_is_left_out() {
        for bad in ["no member", "a=\u{7f}", &"a=1,".repeat(400)] {
            let read = Carrier::read(Some(VALID), Some(bad)).unwrap();
            assert_eq!(&*read.tracestate, "", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace_id in 1_u128.., span_id in 1_u64.., flags in 0_u8..4) {
            let context = TraceContext { trace_id, span_id, flags };
            let text = format_traceparent(&context);
            let text = std::str::from_utf8(&text).unwrap();
            prop_assert_eq!(parse_traceparent(text), Some(context));
            let formatted = format!("00-{:032x}-{:016x}-{:02x}", context.trace_id, context.span_id, context.flags);
            prop_assert_eq!(text, formatted);
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let _ = parse_traceparent(&text);
        }
    }
}
