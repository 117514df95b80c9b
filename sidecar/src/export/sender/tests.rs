use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::*;

fn signal(endpoint: &str, protocol: Protocol) -> SignalSettings {
    SignalSettings {
        enabled: true,
        endpoint: endpoint.to_owned(),
        protocol,
        timeout: Duration::from_secs(1),
    }
}

#[test]
fn a_body_can_be_compressed_in_both_protocols() {
    for (protocol, prefix) in [(Protocol::Grpc, PREFIX), (Protocol::HttpProtobuf, 0)] {
        for gzip in [false, true] {
            let mut sender = Sender::new(&signal("http://127.0.0.1:1/x", protocol), &[]).unwrap();
            sender.gzip = gzip;
            let body = sender.body(b"an export").unwrap();
            let (head, rest) = body.split_at(prefix);
            let mut message = Vec::new();
            match gzip {
                true => drop(GzDecoder::new(rest).read_to_end(&mut message).unwrap()),
                false => message.extend_from_slice(rest),
            }
            assert_eq!(message, b"an export");
            if prefix > 0 {
                let length = u32::try_from(rest.len()).unwrap().to_be_bytes();
                assert_eq!(head, [&[u8::from(gzip)], &length[..]].concat());
            }
        }
    }
}

#[test]
fn grpc_has_a_path_of_its_own_and_http_the_one_it_was_given() {
    let grpc = target(&signal("http://127.0.0.1:4317/x", Protocol::Grpc)).unwrap();
    assert_eq!(grpc.path(), GRPC_PATH);
    let http = target(&signal("http://127.0.0.1:4318/x?y", Protocol::HttpProtobuf)).unwrap();
    assert_eq!(http.to_string(), "http://127.0.0.1:4318/x?y");
    let tls = target(&signal("https://127.0.0.1:4318", Protocol::Grpc));
    assert!(matches!(tls, Err(SenderError::Scheme)));
}

#[test]
fn waiting_grows_and_follows_the_collector() {
    use backoff::Again;
    let mut backoff = Backoff::default();
    let first = backoff.next(&Again::Soon).unwrap();
    assert!(first >= Duration::from_millis(200) && first <= Duration::from_millis(400));
    let asked = backoff.next(&Again::After(Duration::from_secs(7))).unwrap();
    assert!(asked >= Duration::from_secs(7));
    let later = backoff.next(&Again::Soon).unwrap();
    assert!(later >= Duration::from_secs(14));
    for _ in 0..9 {
        let most = backoff.next(&Again::Soon).unwrap();
        assert!(most <= Duration::from_secs(30));
    }
    assert_eq!(backoff.next(&Again::Never), None);
}
