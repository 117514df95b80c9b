//! Takes requests that say, prove or pretend whose they are. Gives the tenant that their calls are stored under.
//! Never lets an unproven word pass for a tenant: such a call is unknown, and counted by why.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tests::fleet::{Fleet, NOT_RELOADED, RELOADED};
use tests::hop::empty_result;
use tests::http_client::HttpClient;
use tests::http_peer::HttpPeer;
use tests::otlp::{Mode, Receiver, Span};
use tests::sidecar::{Proxy, argument};
use tests::wire::Version;
use tests::wire::certs::Authority;
use tests::wire::client::Client;

const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const BAGGED: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"baggage":"tenant.id=bagged"}}}"#;

/// A request, and the tenant and source that its call must have.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [u8], (&'a str, &'a str));

fn server() -> HttpPeer {
    HttpPeer::start(empty_result).expect("a port")
}

/// One `[[hop]]`.
fn hop(name: &str, server: &HttpPeer, more: &str) -> String {
    let url = server.url("");
    format!("[[hop]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nupstream = \"{url}\"\n{more}\n")
}

fn top(receiver: &Receiver) -> String {
    let url = receiver.grpc_url();
    format!("otlp_endpoint = \"{url}\"\nlog_level = \"trace\"\n")
}

/// A line of the file of tokens.
fn line(token: &str, tenant: &str) -> String {
    let hash = digest(&SHA256, token.as_bytes());
    let hash: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("{hash} {tenant}\n")
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a scratch file");
}

fn tenant(span: &Span) -> (&str, &str) {
    (span.text("tenant.id"), span.text("toolspan.tenant.source"))
}

/// Makes the calls one after another; each export of them is awaited before the next is made.
fn check(receiver: &Receiver, client: &mut HttpClient, cases: &[Case<'_>]) {
    for (headers, body, expected) in cases {
        let before = receiver.received().spans().len();
        let answer = client.post("/mcp", headers, body).expect("an answer");
        assert_eq!(answer.status, 200);
        let spans = receiver.wait_for_calls(before + 1);
        let found = spans.last().map(tenant);
        assert_eq!(found, Some(*expected), "{headers:?}");
    }
}

#[test]
fn the_first_source_that_says_anything_names_the_tenant() {
    let (receiver, server) = (Receiver::start(Mode::Accept), server());
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("tokens");
    write(&file, &format!("# ours\n{}", line("sesame", "by-token")));
    let list = format!(
        "tenant_from = [\"token\", \"header:x-tenant\", \"baggage:tenant.id\"]\ntokens_file = {file:?}\n"
    );
    let elsewhere = format!("{list}trusted_proxies = [\"10.0.0.0/8\"]");
    let config = top(&receiver) + &hop("near", &server, &list) + &hop("far", &server, &elsewhere);
    let fleet = Fleet::start(&config);
    let (token, false_token) = (
        ("authorization", "Bearer sesame"),
        ("authorization", "Bearer guessed"),
    );
    let header = ("x-tenant", "by-header");
    let unknown = ("unknown", "none");
    let near: [Case<'_>; 6] = [
        (&[token, header], BAGGED, ("by-token", "token")),
        (&[header], BAGGED, ("by-header", "header")),
        (
            &[("authorization", "Basic YTpi"), header],
            CALL,
            ("by-header", "header"),
        ),
        (&[], BAGGED, ("bagged", "baggage")),
        (&[false_token, header], BAGGED, unknown),
        (&[], CALL, unknown),
    ];
    check(&receiver, &mut fleet.connect("near"), &near);
    let far: [Case<'_>; 3] = [
        (&[token, header], CALL, ("by-token", "token")),
        (&[header], BAGGED, unknown),
        (&[], BAGGED, ("bagged", "baggage")),
    ];
    check(&receiver, &mut fleet.connect("far"), &far);
    let count = |why: &str| {
        fleet.metric(&format!(
            "toolspan_tenant_unknown_total{{reason=\"{why}\"}}"
        ))
    };
    let counts = ["missing", "unknown_token", "untrusted_peer", "invalid"].map(count);
    assert_eq!(counts, [1.0, 1.0, 1.0, 0.0]);
    let (summary, log) = fleet.stop();
    assert_eq!(summary.count("tenant_unknown"), 3);
    let told = format!("{} {:?}", log.text(), receiver.received());
    assert!(!told.contains("sesame") && !told.contains("guessed"));
    let arrived = server.requests();
    assert_eq!(arrived[0].header("authorization"), Some("Bearer sesame"));
}

#[test]
fn tokens_are_read_again_and_a_file_that_is_wrong_changes_nothing() {
    let (receiver, server) = (Receiver::start(Mode::Accept), server());
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("tokens");
    write(&file, &line("old", "acme"));
    let list = format!("tenant_from = \"token\"\ntokens_file = {file:?}\n");
    let config = top(&receiver) + &hop("one", &server, &list);
    let fleet = Fleet::start(&config);
    let mut client = fleet.connect("one");
    let (old, new) = (
        ("authorization", "Bearer old"),
        ("authorization", "Bearer new"),
    );
    let (known, unknown) = (("acme", "token"), ("unknown", "none"));
    let before: [Case<'_>; 2] = [(&[old], CALL, known), (&[new], CALL, unknown)];
    check(&receiver, &mut client, &before);
    write(&file, &line("new", "acme"));
    assert_eq!(fleet.reload(&config)["message"], RELOADED);
    let after: [Case<'_>; 2] = [(&[old], CALL, unknown), (&[new], CALL, known)];
    check(&receiver, &mut client, &after);
    write(&file, "a-token-by-mistake acme");
    let refused = fleet.reload(&config);
    assert_eq!(refused["message"], NOT_RELOADED);
    let error = refused["error"].as_str().expect("a text");
    assert!(error.contains("line 1: must be the SHA-256"), "{error}");
    check(&receiver, &mut client, &after);
    let (_, log) = fleet.stop();
    assert!(!log.text().contains("by-mistake"));
    let (code, told) = Fleet::spawn(&config).refusal();
    assert_ne!(code, 0);
    assert!(!told.contains("by-mistake"), "{told}");
}

#[test]
fn a_certificate_names_the_tenant_of_all_that_comes_over_its_connection() {
    let (receiver, server) = (Receiver::start(Mode::Accept), server());
    let authority = Authority::default();
    let ours = authority.issue("ours", &["localhost"]);
    let file = authority.file();
    let url = receiver.grpc_url();
    let options = [
        ("--otlp-endpoint", url.as_str()),
        ("--tls-cert", argument(&ours.cert)),
        ("--tls-key", argument(&ours.key)),
        ("--tls-client-ca", argument(&file)),
        ("--tenant-from", "certificate:dns:{tenant}.clients.test"),
        (
            "--tenant-from",
            "certificate:uri:spiffe://test/ns/{tenant}/sa/*",
        ),
        ("--tenant-from", "header:x-tenant"),
    ];
    let options: Vec<&str> = options
        .iter()
        .flat_map(|(flag, value)| [*flag, *value])
        .collect();
    let proxy = Proxy::start(&server.url(""), &options);
    let cases = [
        (&["acme.clients.test"][..], ("acme", "certificate")),
        (
            &["spiffe://test/ns/globex/sa/agent"],
            ("globex", "certificate"),
        ),
        (&["a.clients.test", "b.clients.test"], ("unknown", "none")),
        (&["gateway.test", "*.clients.test"], ("unknown", "none")),
        (&["gateway.test"], ("by-header", "header")),
    ];
    for (i, (names, expected)) in cases.into_iter().enumerate() {
        let identity = authority.issue(&format!("client-{i}"), names);
        let tls = authority.client(Version::Two, Some(&identity));
        let client = Client::connect(proxy.listens_at(), Version::Two, Some(tls));
        let mut client = client.expect("it is let in");
        let headers = [("x-tenant", if i == 3 { "" } else { "by-header" })];
        let body = std::str::from_utf8(CALL).expect("text");
        for made in 1..=2 {
            client.post("/mcp", &headers, body).expect("an answer");
            let spans = receiver.wait_for_calls(2 * i + made);
            assert_eq!(spans.last().map(tenant), Some(expected), "{names:?}");
        }
    }
    assert_eq!(proxy.stop().count("tenant_unknown"), 4);
}

#[test]
fn a_pod_has_its_namespace_or_label_for_calls_that_name_no_tenant() {
    let (receiver, server) = (Receiver::start(Mode::Accept), server());
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("labels");
    write(&file, "app=\"shop\"\nexample.com/team=\"blue\"\n");
    let variables = [
        ("POD_NAMESPACE", "prod"),
        ("TOOLSPAN_KUBERNETES_LABELS_FILE", argument(&file)),
    ];
    let url = receiver.grpc_url();
    let unknown = "kubernetes:label:none,header:x-tenant,kubernetes:namespace";
    let cases = [
        (
            "header:x-tenant,kubernetes:label:example.com/team",
            "blue",
            false,
        ),
        (unknown, "prod", true),
    ];
    for (i, (list, own, warns)) in cases.into_iter().enumerate() {
        let options = ["--otlp-endpoint", &url, "--tenant-from", list];
        let proxy = Proxy::start_with(&server.url(""), &options, &variables);
        let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
        let calls: [Case<'_>; 2] = [
            (&[], BAGGED, (own, "kubernetes")),
            (&[("x-tenant", "acme")], CALL, ("acme", "header")),
        ];
        check(&receiver, &mut client, &calls);
        let (_, log) = proxy.stop_and_keep_log();
        assert_eq!(log.text().contains("has no label none"), warns, "case {i}");
    }
}

/// An issuer of JWTs, with one key.
pub(crate) struct Issuer(Ed25519KeyPair);

impl Default for Issuer {
    fn default() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
    }
}

impl Issuer {
    pub(crate) fn keys(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string()
    }

    /// The header of a request with a token for this tenant, that ends so many seconds from now.
    pub(crate) fn bearer(&self, org: &str, seconds: i64) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time");
        let exp = i64::try_from(now.as_secs()).expect("a time") + seconds;
        let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let claims = json!({"iss": "https://issuer", "aud": "mcp", "exp": exp, "org": org});
        let signed = format!("{}.{}", encode(json!({"alg": "EdDSA"})), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()));
        format!("Bearer {signed}.{signature}")
    }
}

#[test]
fn a_claim_names_the_tenant_once_its_signature_is_verified() {
    let (receiver, server) = (Receiver::start(Mode::Accept), server());
    let folder = tempfile::tempdir().expect("a scratch folder");
    let [keys, tokens] = ["keys", "tokens"].map(|name| folder.path().join(name));
    let (issuer, other) = (Issuer::default(), Issuer::default());
    write(&keys, &issuer.keys());
    write(&tokens, &line("sesame", "by-token"));
    let more = format!(
        "tenant_from = [\"jwt:org\", \"token\", \"header:x-tenant\"]\njwt_keys_file = {keys:?}\n\
         jwt_issuer = \"https://issuer\"\njwt_audience = \"mcp\"\ntokens_file = {tokens:?}\n"
    );
    let config = top(&receiver) + &hop("one", &server, &more);
    let fleet = Fleet::start(&config);
    let mut client = fleet.connect("one");
    let bearers = [
        issuer.bearer("acme", 3600),
        issuer.bearer("acme", -3600),
        other.bearer("acme", 3600),
        "Bearer sesame".to_owned(),
    ];
    let [genuine, expired, forged, opaque] = bearers.each_ref().map(|b| ("authorization", &**b));
    let header = ("x-tenant", "by-header");
    let (acme, unknown) = (("acme", "jwt"), ("unknown", "none"));
    let cases: [Case<'_>; 6] = [
        (&[genuine, header], CALL, acme),
        (&[genuine], CALL, acme),
        (&[expired, header], CALL, unknown),
        (&[forged, header], CALL, unknown),
        (&[opaque, header], CALL, ("by-token", "token")),
        (&[header], CALL, ("by-header", "header")),
    ];
    check(&receiver, &mut client, &cases);
    write(&keys, &other.keys());
    assert_eq!(fleet.reload(&config)["unchanged"], 1);
    let cases: [Case<'_>; 2] = [(&[genuine], CALL, unknown), (&[forged], CALL, acme)];
    check(&receiver, &mut client, &cases);
    write(&keys, "{}");
    let refused = fleet.reload(&config);
    let error = refused["error"].as_str().expect("a text");
    assert!(error.contains("is no JWK set"), "{error}");
    check(&receiver, &mut client, &cases);
    let count = |why: &str| {
        fleet.metric(&format!(
            "toolspan_tenant_unknown_total{{reason=\"{why}\"}}"
        ))
    };
    assert_eq!(["jwt_invalid", "jwt_expired"].map(count), [3.0, 1.0]);
    let (_, log) = fleet.stop();
    let told = format!("{} {:?}", log.text(), receiver.received());
    for bearer in &bearers {
        let token = bearer.strip_prefix("Bearer ").expect("a token");
        assert!(!told.contains(token));
    }
}
