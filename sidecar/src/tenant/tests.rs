use super::*;

const ACME: &str = "5a8d1d5e8dd7c1a8e2a3c9f2a6b3b8f1e6d5c4b3a291807f6e5d4c3b2a190807";

/// Headers as names and values.
fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    headers
}

fn header(name: &'static str) -> Source {
    Source::Header(HeaderName::from_static(name))
}

fn baggage(keys: &[&str]) -> TenantRule {
    TenantRule {
        baggage: keys.iter().map(|key| (*key).into()).collect(),
        ..TenantRule::default()
    }
}

fn of_header() -> TenantRule {
    TenantRule {
        sources: vec![header("x-tenant")],
        ..TenantRule::default()
    }
}

type Found = Result<(String, TenantSource), UnknownTenant>;

fn ok(name: &str, source: TenantSource) -> Found {
    Ok((name.to_owned(), source))
}

/// Whose a request with these headers is, of a peer with this address.
fn from(tenants: &Tenants, peer: Option<&str>, pairs: &[(&str, &[u8])]) -> Found {
    let headers = headers(pairs);
    let standing = tenants.judge(&Evidence {
        headers: &headers,
        peer: peer.map(|peer| peer.parse().unwrap()),
        names: None,
        now: SystemTime::UNIX_EPOCH,
    });
    let baggage = pairs.iter().find(|(name, _)| *name == "baggage");
    let baggage = baggage.and_then(|(_, value)| std::str::from_utf8(value).ok());
    let found = tenants.find(Some(&standing), None, baggage);
    found.map(|tenant| (tenant.name.to_string(), tenant.source))
}

fn local(rule: &TenantRule, pairs: &[(&str, &[u8])]) -> Found {
    from(&rule.clone().into(), Some("127.0.0.1"), pairs)
}

#[test]
fn a_tenant_comes_from_where_the_rule_says() {
    let said: [(&str, &[u8]); 2] = [("x-tenant", b" acme "), ("baggage", b"tenant.id=globex")];
    assert_eq!(local(&of_header(), &said), ok("acme", TenantSource::Header));
    assert_eq!(
        local(&baggage(&["tenant.id"]), &said),
        ok("globex", TenantSource::Baggage)
    );
    assert_eq!(
        local(&TenantRule::fixed("x"), &said),
        ok("x", TenantSource::Fixed)
    );
    assert_eq!(
        local(&TenantRule::default(), &said),
        Err(UnknownTenant::Missing)
    );
}

#[test]
fn baggage_of_the_message_wins_over_that_of_the_head() {
    let tenants = Tenants::from(baggage(&["tenant.id", "org"]));
    let find = |message, head| {
        let found = tenants.find(None, message, head);
        found.map(|tenant| tenant.name.to_string())
    };
    let message = "a=1, tenant.id = gl%C3%B6bex;p=1 ,tenant.id=no";
    let head = Some("tenant.id=head");
    assert_eq!(find(Some(message), head), Ok("glöbex".to_owned()));
    assert_eq!(find(Some("other=1,broken"), head), Ok("head".to_owned()));
    assert_eq!(find(Some("org=one"), None), Ok("one".to_owned()));
    assert_eq!(find(Some("org=one"), head), Ok("head".to_owned()));
    assert_eq!(find(None, None), Err(UnknownTenant::Missing));
    let invalid = find(Some("tenant.id=a%01b"), head);
    assert_eq!(invalid, Err(UnknownTenant::Invalid));
}

#[test]
fn the_first_source_that_says_anything_decides() {
    let rule = TenantRule {
        sources: vec![header("x-one"), header("x-two")],
        ..baggage(&["tenant.id"])
    };
    let (one, two, bag): ((&str, &[u8]), _, _) = (
        ("x-one", b"1"),
        ("x-two", &b"2"[..]),
        ("baggage", &b"tenant.id=3"[..]),
    );
    assert_eq!(
        local(&rule, &[two, one, bag]),
        ok("1", TenantSource::Header)
    );
    assert_eq!(local(&rule, &[two, bag]), ok("2", TenantSource::Header));
    assert_eq!(local(&rule, &[bag]), ok("3", TenantSource::Baggage));
    assert_eq!(local(&rule, &[]), Err(UnknownTenant::Missing));
    // What is wrong is not made good by a weaker word behind it.
    let wrong = ("x-one", &b""[..]);
    assert_eq!(
        local(&rule, &[wrong, two, bag]),
        Err(UnknownTenant::Invalid)
    );
    assert_eq!(
        local(&rule, &[one, one, two, bag]),
        Err(UnknownTenant::Ambiguous)
    );
    let own = TenantRule {
        own: TenantRule::fixed("own").own,
        ..rule
    };
    assert_eq!(local(&own, &[two]), ok("2", TenantSource::Header));
    assert_eq!(local(&own, &[bag]), ok("own", TenantSource::Fixed));
}

#[test]
fn what_is_no_name_is_unknown() {
    let long = [b'a'; 129];
    for value in [&b""[..], b"a\tb", b"\xff", "\u{202e}abc".as_bytes(), &long] {
        let found = local(&of_header(), &[("x-tenant", value)]);
        assert_eq!(found, Err(UnknownTenant::Invalid), "{value:?}");
    }
    let longest = local(&of_header(), &[("x-tenant", &long[1..])]);
    assert!(longest.is_ok());
}

#[test]
fn a_header_is_believed_of_trusted_peers_only() {
    let said: [(&str, &[u8]); 2] = [("x-tenant", b"acme"), ("baggage", b"tenant.id=globex")];
    let rule = |trusted| {
        Tenants::from(TenantRule {
            trusted,
            sources: vec![header("x-tenant")],
            ..baggage(&["tenant.id"])
        })
    };
    let acme = ok("acme", TenantSource::Header);
    let untrusted = Err(UnknownTenant::UntrustedPeer);
    let usual = rule(Trusted::ThisMachine);
    for peer in [
        None,
        Some("127.8.0.1"),
        Some("::1"),
        Some("::ffff:127.0.0.1"),
    ] {
        assert_eq!(from(&usual, peer, &said), acme, "{peer:?}");
    }
    for peer in [Some("10.0.0.1"), Some("fd00::1")] {
        assert_eq!(from(&usual, peer, &said), untrusted, "{peer:?}");
    }
    let proxies = rule(Trusted::Networks(vec!["10.0.0.0/8".parse().unwrap()]));
    assert_eq!(from(&proxies, Some("10.0.0.1"), &said), acme);
    assert_eq!(from(&proxies, None, &said), acme, "our own user");
    for peer in [Some("127.0.0.1"), Some("11.0.0.1")] {
        assert_eq!(from(&proxies, peer, &said), untrusted, "{peer:?}");
    }
    // Who names none in the header has said nothing that would need trust.
    let silent = from(&proxies, Some("11.0.0.1"), &said[1..]);
    assert_eq!(silent, ok("globex", TenantSource::Baggage));
}

/// The SHA-256 of `secret`.
const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

fn of_tokens(text: &str) -> Tenants {
    let tenants = Tenants::from(TenantRule {
        sources: vec![Source::Token, header("x-tenant")],
        ..TenantRule::default()
    });
    tenants.know(Tokens::parse(text).unwrap());
    tenants
}

#[test]
fn a_token_is_looked_up_by_its_hash() {
    let tenants = of_tokens(&format!("# ours\n\n{SECRET}   a c m e\n{ACME} other"));
    let of = |authorization: &[&str]| {
        let mut pairs: Vec<(&str, &[u8])> = vec![("x-tenant", b"header")];
        let given = authorization.iter().map(|given| given.as_bytes());
        pairs.extend(given.map(|given| ("authorization", given)));
        from(&tenants, None, &pairs)
    };
    let acme = ok("a c m e", TenantSource::Token);
    assert_eq!(of(&["Bearer secret"]), acme);
    assert_eq!(of(&["bearer   secret "]), acme);
    assert_eq!(of(&["Bearer Secret"]), Err(UnknownTenant::UnknownToken));
    assert_eq!(
        of(&["Bearer secret", "Bearer secret"]),
        Err(UnknownTenant::Ambiguous)
    );
    for none in [&[][..], &["Basic secret"], &["Bearer"], &["Bearer  "]] {
        assert_eq!(of(none), ok("header", TenantSource::Header), "{none:?}");
    }
    tenants.know(Tokens::parse(&format!("{} new", SECRET.to_uppercase())).unwrap());
    assert_eq!(of(&["Bearer secret"]), ok("new", TenantSource::Token));
    tenants.know(Tokens::default());
    assert_eq!(of(&["Bearer secret"]), Err(UnknownTenant::UnknownToken));
}

#[test]
fn a_line_that_is_none_is_named_by_its_number_alone() {
    for (text, line) in [
        ("secret acme".to_owned(), 1),
        (format!("\n{SECRET}"), 2),
        (format!("{SECRET}a acme"), 1),
        (format!("{}  acme", &SECRET[1..]), 1),
        (format!("{SECRET} acme\n# fine\n{SECRET} globex"), 3),
        (format!("{SECRET} {}", "x".repeat(129)), 1),
        (format!("{}é acme", &SECRET[2..]), 1),
    ] {
        let error = Tokens::parse(&text).unwrap_err();
        assert_eq!(error.line, line, "{text}");
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("secret") && !shown.contains(&SECRET[2..9]),
            "{shown}"
        );
    }
    let twice = format!("{SECRET} acme\n{SECRET} acme");
    assert_eq!(format!("{:?}", Tokens::parse(&twice).unwrap()), "1 tokens");
}

#[test]
fn a_certificate_names_one_tenant_or_none() {
    let pattern = Pattern::parse("dns:{tenant}.clients.test").unwrap();
    let tenants = Tenants::from(TenantRule {
        sources: vec![Source::Certificate(pattern), header("x-tenant")],
        ..TenantRule::default()
    });
    let headers = headers(&[("x-tenant", b"header")]);
    let of = |names: Option<&[&str]>| {
        let names = names.map(|names| SubjectNames {
            dns: names.iter().map(|name| (*name).into()).collect(),
            uris: Vec::new(),
        });
        let standing = tenants.judge(&Evidence {
            headers: &headers,
            peer: None,
            names: names.as_ref(),
            now: SystemTime::UNIX_EPOCH,
        });
        let found = tenants.find(Some(&standing), None, None);
        found.map(|tenant| (tenant.name.to_string(), tenant.source))
    };
    let acme = ok("acme", TenantSource::Certificate);
    let (one, same, other) = (
        "acme.clients.test",
        "ACME.clients.test",
        "globex.clients.test",
    );
    assert_eq!(of(Some(&[one])), acme);
    assert_eq!(of(Some(&["elsewhere.test", one, same])), acme);
    assert_eq!(of(Some(&[one, other])), Err(UnknownTenant::Ambiguous));
    // A gateway's certificate says nothing of tenants; its header does.
    let header = ok("header", TenantSource::Header);
    assert_eq!(of(Some(&["gateway.test"])), header);
    assert_eq!(of(None), header);
}
