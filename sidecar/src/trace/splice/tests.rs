use super::*;
use crate::frame::Scanner;
use crate::trace::context::{Carrier, Carriers, decide};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Splices with a header parent (`tracestate` k=v) unless `_meta` has one; ours is written as TP.
fn splice(text: &str) -> Result<String, NotInjected> {
    let mut scanner = Scanner::new();
    scanner.feed(text.as_bytes()).unwrap();
    scanner.finish().unwrap();
    let message = scanner.messages().next().unwrap();
    let read = |slot| message.whole_text(slot);
    let carriers = Carriers {
        meta: Carrier::read(
            read(Slot::Traceparent).as_deref(),
            read(Slot::Tracestate).as_deref(),
        ),
        header: Carrier::read(Some(PARENT), Some("k=\"v\"")),
        ..Carriers::default()
    };
    let decision = decide(&carriers, false, &mut fastrand::Rng::with_seed(3));
    let mut out = text.to_owned();
    for edit in plan(&message, &decision)?.into_iter().rev() {
        out.replace_range(edit.at, std::str::from_utf8(&edit.with).unwrap());
    }
    let ours = String::from_utf8(format_traceparent(&decision.outgoing).to_vec()).unwrap();
    Ok(out.replace(&ours, "TP"))
}

#[test]
fn the_context_goes_where_it_fits() {
    let state = r#""tracestate":"k=\"v\"""#;
    for (sent, arrives) in [
        (r#"{"id":1,"method":"a"}"#, format!(r#"{{"params":{{"_meta":{{"traceparent":"TP",{state}}}}},"id":1,"method":"a"}}"#)),
        (r#"{"id":1,"method":"a","params":{}}"#, format!(r#"{{"id":1,"method":"a","params":{{"_meta":{{"traceparent":"TP",{state}}}}}}}"#)),
        (r#"{"id":1,"method":"a","params": { "x" : 1e3 } }"#, format!(r#"{{"id":1,"method":"a","params": {{"_meta":{{"traceparent":"TP",{state}}}, "x" : 1e3 }} }}"#)),
        (r#"{"id":1,"method":"a","params":{"_meta":{ }}}"#, format!(r#"{{"id":1,"method":"a","params":{{"_meta":{{"traceparent":"TP",{state} }}}}}}"#)),
        (r#"{"id":1,"method":"a","params":{"_meta":{"p":1}}}"#, format!(r#"{{"id":1,"method":"a","params":{{"_meta":{{"traceparent":"TP",{state},"p":1}}}}}}"#)),
        (r#"{"id":1,"method":"a","params":{"_meta":{"traceparent":null,"tracestate":"old=1"}}}"#, r#"{"id":1,"method":"a","params":{"_meta":{"traceparent":"TP","tracestate":"k=\"v\""}}}"#.into()),
        (r#"{"id":1,"method":"a","params":{"_meta":{"tracestate":"s=1","trace\u0070arent":"PARENT"}}}"#, r#"{"id":1,"method":"a","params":{"_meta":{"tracestate":"s=1","trace\u0070arent":"TP"}}}"#.into()),
        (r#"{"id":1,"method":"a","params":{"_meta":{"traceparent":"x"},"_meta":{"traceparent":"PARENT"}}}"#, r#"{"id":1,"method":"a","params":{"_meta":{"traceparent":"x"},"_meta":{"traceparent":"TP"}}}"#.into()),
    ] {
        assert_eq!(splice(&sent.replace("PARENT", PARENT)).as_deref(), Ok(arrives.as_str()), "{sent}");
    }
}

#[test]
fn what_cannot_carry_a_context_says_why() {
    assert_eq!(
        splice(r#"{"id":1,"method":"a","params":[1]}"#),
        Err(NotInjected::ParamsNotObject)
    );
    assert_eq!(
        splice(r#"{"id":1,"method":"a","params":null}"#),
        Err(NotInjected::ParamsNotObject)
    );
    assert_eq!(
        splice(r#"{"id":1,"method":"a","params":{"_meta":null}}"#),
        Err(NotInjected::MetaNotObject)
    );
    assert_eq!(
        splice(r#"{"id":1,"method":"a","params":{"_meta":"x"}}"#),
        Err(NotInjected::MetaNotObject)
    );
}
