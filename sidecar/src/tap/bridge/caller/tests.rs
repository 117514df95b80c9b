use super::*;
use crate::tenant::Source;

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

fn tenant(name: &str) -> Option<Tenant> {
    let (name, source) = (name.into(), TenantSource::Header);
    Some(Tenant { name, source })
}

fn certificate(text: &str) -> Option<Fingerprint> {
    Fingerprint::of(text.as_bytes())
}

#[test]
fn a_caller_is_one_credential_and_certificate_of_one_tenant() {
    let keys = Keys::default();
    let caller = |authorization: &[&str], shown, tenant| {
        Caller::new(&keys, &headers(authorization), shown, tenant)
    };
    let all = [
        caller(&[], None, None),
        caller(&[], None, tenant("unknown")),
        caller(&["Bearer a"], None, tenant("acme")),
        caller(&["Bearer b"], None, tenant("acme")),
        caller(&["Bearer a"], None, tenant("globex")),
        caller(&["Bearer a", "Bearer b"], None, tenant("acme")),
        caller(&["Bearer a"], certificate("a"), tenant("acme")),
        caller(&["Bearer a"], certificate("b"), tenant("acme")),
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
    let of = |shown, tenant| {
        let shown = certificate(shown).map(Certificate::Nameless);
        Holder::new(&keys, &HeaderMap::new(), shown, tenant)
    };
    let header = |name: &str| Claim::Shown(Some(name.into()));
    let baggage = |name: &str| Claim::Baggage(Some(name.into()));
    let admits = |one: &Claim, other: &Claim| of("a", one.clone()).admits(&of("a", other.clone()));
    assert!(!of("a", Claim::Ours).admits(&of("b", Claim::Ours)));
    assert!(admits(&header("acme"), &header("acme")));
    for other in [header("globex"), Claim::Shown(None), baggage("acme")] {
        assert!(!admits(&header("acme"), &other), "{other:?}");
    }
    assert!(!admits(&Claim::Shown(None), &header("acme")));
    assert!(admits(&baggage("acme"), &Claim::Baggage(None)));
    assert!(!admits(&baggage("acme"), &baggage("globex")));
    let mut holder = of("a", Claim::Baggage(None));
    assert!(holder.admits(&of("a", baggage("acme"))));
    assert!(!holder.admits(&of("a", baggage("globex"))));
}

#[test]
fn a_look_at_a_request_binds_a_session_to_nothing() {
    let keys = Keys::default();
    let of = |authorization: &[&str], tenant: &str| {
        let tenant = Claim::Baggage((!tenant.is_empty()).then(|| tenant.into()));
        Holder::new(&keys, &headers(authorization), None, tenant)
    };
    let mut holder = of(&[], "");
    assert!(holder.knows(&of(&["Bearer a"], "acme")));
    assert!(holder.admits(&of(&["Basic YWxpY2U6eA=="], "globex")));
    assert!(!holder.knows(&of(&["Bearer a"], "globex")));
    assert!(!holder.knows(&of(&["Basic YWxpY2U6eA=="], "acme")));
}

#[test]
fn a_claim_is_what_requests_have_a_say_in() {
    let baggage = TenantRule {
        baggage: vec!["tenant.id".into()],
        ..TenantRule::default()
    };
    let both = TenantRule {
        sources: vec![Source::Token],
        ..baggage.clone()
    };
    let of = |source| {
        Ok(Tenant {
            name: "acme".into(),
            source,
        })
    };
    let (missing, false_one) = (
        || Err(UnknownTenant::Missing),
        || Err(UnknownTenant::UnknownToken),
    );
    let open = Standing::Open;
    let acme = || Some(Arc::from("acme"));
    let fixed = TenantRule::fixed("acme");
    assert_eq!(
        Claim::new(&fixed, &open, of(TenantSource::Fixed)),
        Claim::Ours
    );
    assert_eq!(
        Claim::new(&TenantRule::default(), &open, missing()),
        Claim::Ours
    );
    for rule in [&baggage, &both] {
        let claim = Claim::new(rule, &open, of(TenantSource::Baggage));
        assert_eq!(claim, Claim::Baggage(acme()));
        assert_eq!(Claim::new(rule, &open, missing()), Claim::Baggage(None));
    }
    let claim = Claim::new(&both, &open, of(TenantSource::Token));
    assert_eq!(claim, Claim::Shown(acme()));
    assert_eq!(Claim::new(&both, &open, false_one()), Claim::Shown(None));
    let late = Standing::Untimely(of(TenantSource::Jwt).expect("a tenant"));
    let expired = || Err(UnknownTenant::JwtExpired);
    assert_eq!(Claim::new(&both, &late, expired()), Claim::Shown(acme()));
    let ours = Claim::new(&TenantRule::default(), &late, expired());
    assert_eq!(ours, Claim::Ours);
}

#[test]
fn a_session_outlives_a_certificate_but_not_its_names() {
    let keys = Keys::default();
    let names = |names: &[&str]| -> Vec<Box<str>> { names.iter().map(|&n| n.into()).collect() };
    let of = |shown, dns: &[&str], uris: &[&str]| {
        let (dns, uris) = (names(dns), names(uris));
        let shown = certificate(shown).expect("a hash");
        Certificate::new(&keys, shown, &SubjectNames { dns, uris })
    };
    let gateway = of(
        "a",
        &["gateway", "gateway.prod"],
        &["spiffe://prod/gateway"],
    );
    let renewed = of(
        "b",
        &["gateway.prod", "gateway"],
        &["spiffe://prod/gateway"],
    );
    assert_eq!(gateway, renewed);
    for other in [
        of("a", &["gateway"], &["spiffe://prod/gateway"]),
        of("a", &["gateway", "gateway.prod"], &[]),
        of(
            "a",
            &[],
            &["gateway", "gateway.prod", "spiffe://prod/gateway"],
        ),
        of("a", &[], &[]),
    ] {
        assert_ne!(gateway, other);
    }
    assert_ne!(of("a", &[], &[]), of("b", &[], &[]));
    assert_eq!(of("a", &[], &[]), of("a", &[], &[]));
}
