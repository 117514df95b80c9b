//! Takes keys of an issuer, a JWT and the time. Gives the tenant that a claim of it names, once its signature is verified.
//! Never lets a token choose how it is verified: the key says by which algorithm; and never holds a token (no I/O).
//!
//! The current JWT library brings a second library for cryptography; what is needed of it is this file, over `ring`.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::Value;

use super::{Standing, UnknownTenant, tenant};
use crate::record::{Tenant, TenantSource};

/// How far the clocks of issuers may be from ours, in seconds.
const SKEW: f64 = 60.0;
/// Tokens that are remembered as genuine, and as many as none. Beyond it all of that kind are forgotten, and verified
/// again.
const MAX_KNOWN: usize = 4096;
/// What of RSA is safe, and `ring` verifies by.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// What a token must say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JwtRule {
    /// The claim that names the tenant.
    pub claim: Box<str>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
}

/// Keys of an issuer, and what they have said of tokens.
pub struct Jwts {
    keys: Vec<Key>,
    /// Keys in the set that cannot be used.
    useless: usize,
    known: Mutex<Known>,
}

/// Verdicts by the hash of the token; a signature is dear, and a client asks more than once. They are apart so that
/// whoever makes up tokens pushes no genuine one out.
#[derive(Default)]
struct Known {
    genuine: HashMap<[u8; 32], Verified>,
    refused: HashMap<[u8; 32], UnknownTenant>,
}

impl Known {
    fn of(&self, hash: &[u8; 32]) -> Option<Result<Verified, UnknownTenant>> {
        let refused = || self.refused.get(hash).copied().map(Err);
        self.genuine.get(hash).cloned().map(Ok).or_else(refused)
    }

    fn remember(&mut self, hash: [u8; 32], verdict: &Result<Verified, UnknownTenant>) {
        match verdict {
            Ok(verified) => add(&mut self.genuine, hash, verified.clone()),
            Err(why) => add(&mut self.refused, hash, *why),
        }
    }
}

fn add<T>(known: &mut HashMap<[u8; 32], T>, hash: [u8; 32], verdict: T) {
    if known.len() >= MAX_KNOWN {
        known.clear();
    }
    known.insert(hash, verdict);
}

#[derive(Debug, Clone)]
struct Verified {
    tenant: Tenant,
    expires: f64,
    begins: f64,
}

struct Key {
    id: Option<String>,
    material: Material,
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Jwts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} keys", self.keys.len())
    }
}

impl Jwts {
    /// Reads a JWK set. Keys for other uses or algorithms are left out.
    ///
    /// # Errors
    /// When it is none, or has no key that can be used.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let set: Value = serde_json::from_str(text).map_err(|_| "is no JSON")?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or("is no JWK set: it has no list of keys")?;
        let all = keys.len();
        let keys: Vec<Key> = keys.iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err("has no public key for RS256, ES256 or EdDSA that can be used");
        }
        Ok(Self {
            useless: all - keys.len(),
            keys,
            known: Mutex::default(),
        })
    }

    /// Keys that can be used.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.keys.len()
    }

    /// Keys for other uses or algorithms, or that are none.
    #[must_use]
    pub fn useless(&self) -> usize {
        self.useless
    }

    /// What a token proves; nothing where it is no JWT at all.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn tenant_of(
        &self,
        rule: &JwtRule,
        token: &[u8],
        now: SystemTime,
    ) -> Result<Standing, UnknownTenant> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now = since.as_secs_f64();
        let hash: Option<[u8; 32]> = digest::digest(&digest::SHA256, token)
            .as_ref()
            .try_into()
            .ok();
        let known = hash.and_then(|hash| self.lock().of(&hash));
        let verdict = match known {
            Some(verdict) => verdict,
            None => {
                // What is no JWT costs no signature.
                let Some(verdict) = self.verify(rule, token).transpose() else {
                    return Ok(Standing::Open);
                };
                if let Some(hash) = hash {
                    self.lock().remember(hash, &verdict);
                }
                verdict
            }
        };
        let verified = verdict?;
        let timely = verified.begins - SKEW <= now && now < verified.expires + SKEW;
        let standing = if timely {
            Standing::Known
        } else {
            Standing::Untimely
        };
        Ok(standing(verified.tenant))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verify(&self, rule: &JwtRule, token: &[u8]) -> Result<Option<Verified>, UnknownTenant> {
        let Some([signed, head, claims, signature]) = parts(token) else {
            return Ok(None);
        };
        // Whatever has a head is meant to be one, and is none if the rest is not right.
        let Ok(head) = URL_SAFE_NO_PAD.decode(head) else {
            return Ok(None);
        };
        let head: Value = match serde_json::from_slice(&head) {
            Ok(head @ Value::Object(_)) => head,
            _ => return Ok(None),
        };
        let invalid = UnknownTenant::JwtInvalid;
        let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| invalid);
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        // What is critical is something that we do not know.
        if head.get("crit").is_some() {
            return Err(invalid);
        }
        let (algorithm, id) = (text(&head, "alg"), text(&head, "kid"));
        let algorithm = algorithm.ok_or(invalid)?;
        let proven = self
            .keys
            .iter()
            .filter(|key| key.material.algorithms().contains(&algorithm))
            .filter(|key| key.id.is_none() || id.is_none() || key.id.as_deref() == id)
            .any(|key| key.material.verifies(signed, &signature));
        if !proven {
            return Err(invalid);
        }
        let claims: Value = serde_json::from_slice(&claims).map_err(|_| invalid)?;
        read(rule, &claims).map(Some)
    }
}

/// The claims of a token that is genuine.
fn read(rule: &JwtRule, claims: &Value) -> Result<Verified, UnknownTenant> {
    let is_ours = |name: &str, wanted: &Option<String>| match (wanted, claims.get(name)) {
        (None, _) => true,
        (Some(wanted), Some(Value::String(one))) => one == wanted,
        (Some(wanted), Some(Value::Array(several))) if name == "aud" => {
            several.iter().any(|one| one.as_str() == Some(wanted))
        }
        _ => false,
    };
    if !is_ours("iss", &rule.issuer) || !is_ours("aud", &rule.audience) {
        return Err(UnknownTenant::JwtForeign);
    }
    let number = |name: &str| claims.get(name).map(|value| value.as_f64());
    let name = text(claims, &rule.claim).ok_or(UnknownTenant::JwtWithoutClaim)?;
    Ok(Verified {
        tenant: tenant(name, TenantSource::Jwt)?,
        // One that never ends is none that can be taken back.
        expires: number("exp").flatten().ok_or(UnknownTenant::JwtInvalid)?,
        begins: match number("nbf") {
            None => 0.0,
            Some(begins) => begins.ok_or(UnknownTenant::JwtInvalid)?,
        },
    })
}

/// What is signed, and then each part as it is encoded: the head, the claims and the signature.
fn parts(token: &[u8]) -> Option<[&[u8]; 4]> {
    let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    let (first, second) = (dots.next()?.0, dots.next()?.0);
    if dots.next().is_some() {
        return None;
    }
    Some([
        token.get(..second)?,
        token.get(..first)?,
        token.get(first + 1..second)?,
        token.get(second + 1..)?,
    ])
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

impl Key {
    fn read(key: &Value) -> Option<Self> {
        let material = Material::read(key)?;
        let algorithms = material.algorithms();
        let fits = text(key, "use").is_none_or(|given| given == "sig")
            && text(key, "alg").is_none_or(|given| algorithms.contains(&given));
        fits.then(|| Self {
            id: text(key, "kid").map(Into::into),
            material,
        })
    }
}

impl Material {
    /// What can verify something: a key that is too short would make all of its tokens look forged.
    fn read(key: &Value) -> Option<Self> {
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(key, name)?).ok();
        let long = |name: &str| bytes(name).filter(|bytes| bytes.len() == 32);
        Some(match (text(key, "kty")?, text(key, "crv")) {
            ("RSA", None) => {
                let plain = |bytes: Vec<u8>| bytes.into_iter().skip_while(|b| *b == 0).collect();
                let (n, e): (Vec<u8>, Vec<u8>) = (plain(bytes("n")?), plain(bytes("e")?));
                let top = n.first()?.leading_zeros() as usize;
                let fits = RSA_BITS.contains(&(n.len() * 8 - top)) && !e.is_empty();
                fits.then_some(Self::Rsa { n, e })?
            }
            // Uncompressed, as SEC 1 writes a point.
            ("EC", Some("P-256")) => Self::P256([&[4], &*long("x")?, &*long("y")?].concat()),
            ("OKP", Some("Ed25519")) => Self::Ed25519(long("x")?),
            _ => return None,
        })
    }

    fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Rsa { .. } => &["RS256"],
            Self::P256(_) => &["ES256"],
            // RFC 9864 names the curve.
            Self::Ed25519(_) => &["EdDSA", "Ed25519"],
        }
    }

    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                signed,
                signature,
            ),
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature),
        };
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests;
