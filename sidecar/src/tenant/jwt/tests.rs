//! The keys and tokens of `golden.json` were made with another library (Python's `cryptography`), and the private keys
//! thrown away.

use super::*;

const GOLDEN: &str = include_str!("golden.json");

struct World {
    jwts: Jwts,
    rule: JwtRule,
    tokens: Value,
}

impl World {
    fn new() -> Self {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        Self {
            jwts: Jwts::parse(&golden["keys"].to_string()).unwrap(),
            rule: JwtRule {
                claim: "tenant".into(),
                issuer: Some("https://issuer".to_owned()),
                audience: Some("toolspan".to_owned()),
            },
            tokens: golden["tokens"].clone(),
        }
    }

    fn token(&self, name: &str) -> &str {
        self.tokens[name].as_str().unwrap()
    }

    fn of(&self, token: &str, now: u64) -> Result<Option<String>, UnknownTenant> {
        let now = UNIX_EPOCH + Duration::from_secs(now);
        match self.jwts.tenant_of(&self.rule, token.as_bytes(), now)? {
            Standing::Known(tenant) => Ok(Some(tenant.name.to_string())),
            Standing::Open => Ok(None),
            Standing::Untimely(tenant) => {
                assert_eq!(&*tenant.name, "acme");
                Err(UnknownTenant::JwtExpired)
            }
            Standing::Unknown(why) => Err(why),
        }
    }
}

#[test]
fn a_genuine_token_names_its_tenant() {
    let world = World::new();
    assert_eq!(format!("{:?}", world.jwts), "3 keys");
    for name in [
        "rs256",
        "es256",
        "eddsa",
        "no_kid",
        "one_audience",
        "no_nbf",
    ] {
        for _verified_and_known in 0..2 {
            let found = world.of(world.token(name), 1500);
            assert_eq!(found, Ok(Some("acme".to_owned())), "{name}");
        }
    }
    assert_eq!(world.jwts.lock().genuine.len(), 6);
}

#[test]
fn what_is_not_proven_is_unknown_by_its_reason() {
    let world = World::new();
    for (reason, names) in [
        (
            UnknownTenant::JwtInvalid,
            &[
                "none",
                "hs256",
                "hs256_by_kid",
                "lies_alg",
                "other_kid",
                "unknown_kid",
                "critical",
                "no_exp",
                "text_exp",
                "text_nbf",
            ][..],
        ),
        (
            UnknownTenant::JwtForeign,
            &["other_issuer", "no_issuer", "other_audience"],
        ),
        (UnknownTenant::JwtWithoutClaim, &["no_claim", "list_claim"]),
        (UnknownTenant::Invalid, &["bad_name"]),
    ] {
        for name in names {
            for _judged_and_known in 0..2 {
                assert_eq!(world.of(world.token(name), 1500), Err(reason), "{name}");
            }
        }
    }
    let known = world.jwts.lock();
    assert!(known.genuine.is_empty());
    assert_eq!(known.refused.len(), 16);
}

#[test]
fn each_changed_part_breaks_the_signature() {
    let world = World::new();
    for name in ["rs256", "es256", "eddsa"] {
        let token = world.token(name);
        let parts: Vec<&str> = token.split('.').collect();
        let [head, claims, signature] = parts.as_slice() else {
            panic!("three parts")
        };
        let other = URL_SAFE_NO_PAD
            .encode(r#"{"iss":"https://issuer","aud":"toolspan","exp":2000,"tenant":"globex"}"#);
        let (shorter, longer) = (
            &signature[..signature.len() - 4],
            format!("{signature}AAAA"),
        );
        for changed in [
            format!("{head}.{other}.{signature}"),
            format!("{head}.{claims}.{shorter}"),
            format!("{head}.{claims}.{longer}"),
            format!("{head}.{claims}."),
        ] {
            let found = world.of(&changed, 1500);
            assert_eq!(found, Err(UnknownTenant::JwtInvalid), "{name}");
        }
    }
}

#[test]
fn a_token_counts_from_its_beginning_to_its_end_give_or_take_a_minute() {
    let world = World::new();
    let token = world.token("eddsa");
    let expired = Err(UnknownTenant::JwtExpired);
    let acme = Ok(Some("acme".to_owned()));
    for (now, expected) in [
        (939, &expired),
        (940, &acme),
        (2059, &acme),
        (2060, &expired),
        (1500, &acme),
    ] {
        assert_eq!(&world.of(token, now), expected, "{now}");
    }
    let fresh = World::new();
    for (now, expected) in [(2060, &expired), (1500, &acme), (2060, &expired)] {
        assert_eq!(&fresh.of(token, now), expected, "its verdict has no time");
    }
    assert_eq!(fresh.jwts.lock().genuine.len(), 1);
}

#[test]
fn tokens_that_are_made_up_take_no_more_than_their_room_and_push_no_genuine_one_out() {
    let world = World::new();
    let token = world.token("eddsa");
    assert_eq!(world.of(token, 1500), Ok(Some("acme".to_owned())));
    for made_up in 0..=MAX_KNOWN {
        let head = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","n":{made_up}}}"#));
        let found = world.of(&format!("{head}.e30."), 1500);
        assert_eq!(found, Err(UnknownTenant::JwtInvalid));
        assert!(world.jwts.lock().refused.len() <= MAX_KNOWN);
    }
    let known = world.jwts.lock();
    assert_eq!((known.genuine.len(), known.refused.len()), (1, 1));
}

#[test]
fn what_is_no_jwt_is_for_others_to_judge() {
    let world = World::new();
    for token in [
        "",
        "opaque",
        "a.b",
        "a.b.c.d",
        "..",
        "bnVsbA.e30.c2ln",
        "e30!.e30.c2ln",
    ] {
        assert_eq!(world.of(token, 1500), Ok(None), "{token}");
    }
    assert_eq!(
        world.of("e30.e30.c2ln", 1500),
        Err(UnknownTenant::JwtInvalid)
    );
}

#[test]
fn keys_that_cannot_be_used_are_none() {
    for (text, problem) in [
        ("no json", "is no JSON"),
        ("{}", "is no JWK set: it has no list of keys"),
        (
            r#"{"keys":[]}"#,
            "has no public key for RS256, ES256 or EdDSA that can be used",
        ),
        (
            r#"{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"OKP","crv":"Ed25519","x":"AAAA","use":"enc"},{"kty":"OKP","crv":"Ed25519","x":"AAAA","alg":"ES256"},{"kty":"EC","crv":"P-384","x":"AA","y":"AA"},7]}"#,
            "has no public key for RS256, ES256 or EdDSA that can be used",
        ),
    ] {
        assert_eq!(Jwts::parse(text).unwrap_err(), problem, "{text}");
    }
}

#[test]
fn a_key_of_a_wrong_length_is_none() {
    let of = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let rsa = |n: &[u8]| serde_json::json!({"kty": "RSA", "n": of(n), "e": "AQAB"});
    let ec = |x: usize, y: usize| {
        let (x, y) = (of(&vec![1; x]), of(&vec![1; y]));
        serde_json::json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    };
    let ed = |x: usize| serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": of(&vec![1; x])});
    let counts = |keys: &[Value]| {
        let set = serde_json::json!({"keys": keys}).to_string();
        Jwts::parse(&set).map(|jwts| (jwts.usable(), jwts.useless()))
    };
    let long = [&[0, 0x80][..], &[1; 255]].concat();
    let short = [&[0x7f][..], &[1; 255]].concat();
    let good = [rsa(&long), rsa(&[255; 1024]), ec(32, 32), ed(32)];
    assert_eq!(counts(&good), Ok((4, 0)));
    for bad in [
        rsa(&[255; 128]),
        rsa(&short),
        rsa(&[255; 1025]),
        rsa(&[]),
        serde_json::json!({"kty": "RSA", "n": of(&long), "e": "AA"}),
        ec(31, 32),
        ec(32, 33),
        ed(0),
        ed(31),
        ed(33),
    ] {
        assert!(counts(std::slice::from_ref(&bad)).is_err(), "{bad}");
        assert_eq!(counts(&[bad, ed(32)]), Ok((1, 1)));
    }
}

#[test]
fn ed25519_has_two_names() {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let rule = JwtRule {
        claim: "t".into(),
        ..JwtRule::default()
    };
    for (of_key, of_token, found) in [
        ("EdDSA", "Ed25519", Ok("acme")),
        ("Ed25519", "EdDSA", Ok("acme")),
        ("Ed25519", "Ed25519", Ok("acme")),
        ("Ed25519", "ES256", Err(UnknownTenant::JwtInvalid)),
    ] {
        let set =
            serde_json::json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "alg": of_key}]});
        let jwts = Jwts::parse(&set.to_string()).unwrap();
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(serde_json::json!({"alg": of_token}));
        let signed = format!(
            "{head}.{}",
            part(serde_json::json!({"t": "acme", "exp": 2000}))
        );
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        let token = format!("{signed}.{signature}");
        let expected = found
            .map(|name: &str| Standing::Known(super::tenant(name, TenantSource::Jwt).unwrap()));
        let standing = jwts.tenant_of(&rule, token.as_bytes(), UNIX_EPOCH);
        assert_eq!(standing, expected, "{of_key} {of_token}");
    }
}
