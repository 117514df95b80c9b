use super::*;

fn headers(authorization: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in authorization {
        headers.append(AUTHORIZATION, value.parse().unwrap());
    }
    headers
}

fn jwt(claims: &str, signature: &str) -> String {
    let claims = URL_SAFE_NO_PAD.encode(claims);
    format!("Bearer e30.{claims}.{signature}")
}

fn tenant(name: &str, source: TenantSource) -> Tenant {
    let name = name.into();
    Tenant { name, source }
}

fn certificate(text: &str) -> Option<Fingerprint> {
    Fingerprint::of(text.as_bytes())
}

#[test]
fn a_caller_is_one_credential_and_certificate_of_one_tenant() {
    let keys = Keys::default();
    let caller = |authorization: &[&str], shown, name, source| {
        Caller::new(&keys, &headers(authorization), shown, tenant(name, source))
    };
    let all = [
        caller(&[], None, "unknown", TenantSource::None),
        caller(&[], None, "unknown", TenantSource::Header),
        caller(&["Bearer a"], None, "acme", TenantSource::Header),
        caller(&["Bearer b"], None, "acme", TenantSource::Header),
        caller(&["Bearer a"], None, "globex", TenantSource::Header),
        caller(
            &["Bearer a", "Bearer b"],
            None,
            "acme",
            TenantSource::Header,
        ),
        caller(
            &["Bearer a"],
            certificate("a"),
            "acme",
            TenantSource::Header,
        ),
        caller(
            &["Bearer a"],
            certificate("b"),
            "acme",
            TenantSource::Header,
        ),
    ];
    for (i, one) in all.iter().enumerate() {
        assert_eq!(all.iter().filter(|other| *other == one).count(), 1, "{i}");
    }
}

/// Whether what one credential began may be used with another.
fn admits(one: &[&str], other: &[&str]) -> bool {
    let keys = Keys::default();
    let holder = |authorization| Holder::new(&keys, &headers(authorization), None, Claim::Ours);
    holder(one).admits(&holder(other))
}

#[test]
fn a_session_outlives_a_token_but_not_its_subject() {
    let alice = jwt(r#"{"iss":"https://a","sub":"alice","exp":1}"#, "s");
    let renewed = jwt(r#"{"exp":2,"sub":"alice","iss":"https://a"}"#, "t");
    let bob = jwt(r#"{"iss":"https://a","sub":"bob"}"#, "s");
    let elsewhere = jwt(r#"{"iss":"https://b","sub":"alice"}"#, "s");
    let nobody = jwt(r#"{"iss":"https://a"}"#, "s");
    let broken = "Bearer e30.###.s";
    assert!(admits(&[&alice], &[&renewed]));
    for other in [
        &bob,
        &elsewhere,
        &nobody,
        broken,
        "Bearer opaque",
        "Basic YWxpY2U6eA==",
    ] {
        assert!(!admits(&[&alice], &[other]), "{other}");
    }
    assert!(!admits(&[&alice], &[]));
    assert!(!admits(&[&alice], &[&alice, &alice]));
    assert!(!admits(&["Bearer opaque"], &[]));
    assert!(!admits(&["Bearer opaque"], &[&alice]));
    assert!(admits(&["Bearer opaque"], &["Bearer renewed"]));
    // alice:x, alice:y, bob:x
    assert!(admits(&["Basic YWxpY2U6eA=="], &["basic YWxpY2U6eQ=="]));
    assert!(!admits(&["Basic YWxpY2U6eA=="], &["Basic Ym9iOng="]));
}

#[test]
fn the_first_credential_that_is_shown_binds() {
    let keys = Keys::default();
    let of =
        |authorization: &[&str]| Holder::new(&keys, &headers(authorization), None, Claim::Ours);
    let mut holder = of(&[]);
    assert!(holder.admits(&of(&[])));
    assert!(holder.admits(&of(&["Bearer a"])));
    assert!(!holder.admits(&of(&[])));
}

#[test]
fn a_session_is_for_one_certificate_and_one_tenant() {
    let keys = Keys::default();
    let of = |shown, tenant| Holder::new(&keys, &HeaderMap::new(), certificate(shown), tenant);
    let header = |name: &str| Claim::Header(Some(name.into()));
    let baggage = |name: &str| Claim::Baggage(Some(name.into()));
    let admits = |one: &Claim, other: &Claim| of("a", one.clone()).admits(&of("a", other.clone()));
    assert!(!of("a", Claim::Ours).admits(&of("b", Claim::Ours)));
    assert!(admits(&header("acme"), &header("acme")));
    for other in [header("globex"), Claim::Header(None), baggage("acme")] {
        assert!(!admits(&header("acme"), &other), "{other:?}");
    }
    assert!(!admits(&Claim::Header(None), &header("acme")));
    assert!(admits(&baggage("acme"), &Claim::Baggage(None)));
    assert!(!admits(&baggage("acme"), &baggage("globex")));
    let mut holder = of("a", Claim::Baggage(None));
    assert!(holder.claims(&baggage("acme")));
    assert!(!holder.claims(&baggage("globex")));
}
