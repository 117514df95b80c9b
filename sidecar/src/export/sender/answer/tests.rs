use http::{HeaderValue, Response};
use proptest::prelude::*;

use super::*;

fn head(status: u16, headers: &[(&'static str, &str)]) -> Parts {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(*name, HeaderValue::try_from(*value).unwrap());
    }
    response.into_parts().0
}

fn again_http(status: u16, headers: &[(&'static str, &str)]) -> Again {
    http_answer(&head(status, headers), b"").unwrap_err().again
}

fn again_grpc(status: u16, headers: &[(&'static str, &str)]) -> Again {
    let trailers = head(200, headers).headers;
    let refusal = grpc_answer(&head(status, &[]), &trailers, b"");
    refusal.unwrap_err().again
}

/// `google.rpc.Status` with a `RetryInfo` of 7 s, as a gRPC library writes it.
const SEVEN_SECONDS: &str =
    "CA4aMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIBw";

#[test]
fn http_is_tried_again_where_the_specification_says_so() {
    assert_eq!(again_http(503, &[]), Again::Soon);
    assert_eq!(again_http(502, &[]), Again::Soon);
    assert_eq!(again_http(400, &[]), Again::Never);
    assert_eq!(again_http(500, &[]), Again::Never);
    let asked = again_http(429, &[("retry-after", "7")]);
    assert_eq!(asked, Again::After(Duration::from_secs(7)));
    let forever = again_http(503, &[("retry-after", "99999999")]);
    assert_eq!(forever, Again::After(Duration::from_secs(600)));
}

#[test]
fn grpc_is_tried_again_where_the_specification_says_so() {
    for code in ["1", "4", "10", "11", "14", "15"] {
        assert_eq!(again_grpc(200, &[("grpc-status", code)]), Again::Soon);
    }
    for code in ["2", "3", "5", "6", "7", "8", "9", "12", "13", "16", "x"] {
        assert_eq!(again_grpc(200, &[("grpc-status", code)]), Again::Never);
    }
    for code in ["8", "14"] {
        let details = ("grpc-status-details-bin", SEVEN_SECONDS);
        let asked = again_grpc(200, &[("grpc-status", code), details]);
        assert_eq!(asked, Again::After(Duration::from_secs(7)));
    }
}

#[test]
fn what_stands_before_a_collector_is_judged_by_its_http_status() {
    assert_eq!(again_grpc(503, &[]), Again::Soon);
    assert_eq!(again_grpc(404, &[]), Again::Never);
    assert_eq!(again_grpc(200, &[]), Again::Never);
}

#[test]
fn a_status_in_the_head_counts() {
    let refusal = grpc_answer(&head(200, &[("grpc-status", "14")]), &HeaderMap::new(), b"");
    assert_eq!(refusal.unwrap_err().again, Again::Soon);
}

#[test]
fn refused_spans_are_read_out_of_both_answers() {
    let partial = [0x0a, 0x07, 0x08, 0x96, 0x01, 0x12, 0x02, b'n', b'o'];
    assert_eq!(http_answer(&head(200, &[]), &partial), Ok(150));
    let framed = [&[0, 0, 0, 0, 9][..], &partial].concat();
    let trailers = head(200, &[("grpc-status", "0")]).headers;
    assert_eq!(grpc_answer(&head(200, &[]), &trailers, &framed), Ok(150));
    let negative = [
        0x0a, 0x0b, 0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1,
    ];
    assert_eq!(http_answer(&head(200, &[]), &negative), Ok(0));
}

proptest! {
    #[test]
    fn no_answer_can_make_us_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in "[ -~]{0,100}") {
        let _read = http_answer(&head(200, &[]), &body);
        let trailers = head(200, &[("grpc-status", "14"), ("grpc-status-details-bin", text.trim())]).headers;
        let _read = grpc_answer(&head(200, &[]), &trailers, &body);
        let _read = retry_delay(&body);
    }
}
