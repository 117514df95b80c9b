//! Takes what a request and its connection say of who asks. Gives what tells one client from another.
//! Never keeps a credential, only keyed hashes, and never lets anybody in: who is who was decided before us (no I/O).
//!
//! A shared child belongs to one [`Caller`]: whatever differs makes another. A session belongs to a [`Holder`], which
//! must outlive a token and a certificate: clients get new ones while a session goes on.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};

use crate::record::{Tenant, TenantSource};
use crate::tap::http::headers::only;
use crate::tenant::{Standing, TenantRule, UnknownTenant};
use crate::wire::{Fingerprint, SubjectNames};

/// What hashes are made with: 128 bits that only this process can make.
#[derive(Debug, Default)]
pub(super) struct Keys([RandomState; 2]);

impl Keys {
    pub fn hash(&self, of: impl Hash) -> [u64; 2] {
        self.0.each_ref().map(|key| key.hash_one(&of))
    }
}

/// Who shares a child: one credential and one certificate of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    credential: Option<[u64; 2]>,
    certificate: Option<Fingerprint>,
    tenant: Option<Arc<str>>,
}

impl Caller {
    pub fn new(
        keys: &Keys,
        headers: &HeaderMap,
        certificate: Option<Fingerprint>,
        tenant: Option<Tenant>,
    ) -> Self {
        let given = headers.get_all(AUTHORIZATION).iter();
        let given: Vec<&[u8]> = given.map(HeaderValue::as_bytes).collect();
        Self {
            credential: (!given.is_empty()).then(|| keys.hash(given)),
            certificate,
            // One may be called as those that have none are.
            tenant: tenant.map(|tenant| tenant.name),
        }
    }
}

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    certificate: Option<Certificate>,
    credential: Credential,
    tenant: Claim,
    /// What the sources made of its last request: the questions of the child are asked on its behalf.
    pub standing: Standing,
}

/// What of a certificate stays when it is renewed, and is the same in all replicas of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificate {
    /// The hash of the names that it is for.
    Of([u64; 2]),
    /// It is for none that we can read.
    Nameless(Fingerprint),
}

/// What of a credential stays when it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential {
    None,
    /// The hash of whom it is about.
    Of([u64; 2]),
    /// It does not say whom it is about.
    Opaque,
}

/// What a request says of its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing: all that come here are of one.
    Ours,
    /// Each request shows it, or has none.
    Shown(Option<Arc<str>>),
    /// Only requests that carry baggage name it.
    Baggage(Option<Arc<str>>),
}

impl Claim {
    pub fn new(
        rule: &TenantRule,
        standing: &Standing,
        found: Result<Tenant, UnknownTenant>,
    ) -> Self {
        if rule.is_same_for_all() {
            return Self::Ours;
        }
        if let Standing::Untimely(tenant) = standing {
            // It still is its tenant's: tokens are renewed while a session goes on.
            return Self::Shown(Some(Arc::clone(&tenant.name)));
        }
        match found {
            Ok(tenant) if tenant.source == TenantSource::Baggage => {
                Self::Baggage(Some(tenant.name))
            }
            Ok(tenant) => Self::Shown(Some(tenant.name)),
            Err(UnknownTenant::Missing) if !rule.baggage.is_empty() => Self::Baggage(None),
            Err(_) => Self::Shown(None),
        }
    }

    /// Whether a request of that claim may use what has this one.
    fn admits(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Ours) => true,
            (Self::Baggage(one), Self::Baggage(other)) => {
                one.is_none() || other.is_none() || one == other
            }
            _ => self == other,
        }
    }
}

impl Certificate {
    pub fn new(keys: &Keys, fingerprint: Fingerprint, names: &SubjectNames) -> Self {
        if names.dns.is_empty() && names.uris.is_empty() {
            return Self::Nameless(fingerprint);
        }
        let (mut dns, mut uris) = (names.dns.clone(), names.uris.clone());
        dns.sort_unstable();
        uris.sort_unstable();
        Self::Of(keys.hash((dns, uris)))
    }
}

impl Credential {
    fn new(keys: &Keys, headers: &HeaderMap) -> Self {
        if !headers.contains_key(AUTHORIZATION) {
            return Self::None;
        }
        let given = only(headers, &AUTHORIZATION).and_then(|value| value.to_str().ok());
        given
            .and_then(|value| value.trim().split_once(' '))
            .and_then(|(scheme, rest)| subject(keys, scheme, rest.trim()))
            .map_or(Self::Opaque, Self::Of)
    }
}

impl Holder {
    pub fn new(
        keys: &Keys,
        headers: &HeaderMap,
        certificate: Option<Certificate>,
        tenant: Claim,
    ) -> Self {
        Self {
            certificate,
            credential: Credential::new(keys, headers),
            tenant,
            standing: Standing::default(),
        }
    }

    /// Whether a request of somebody could use the session. Nothing changes by it.
    pub fn knows(&self, other: &Self) -> bool {
        // Who began without a credential has kept nobody out so far; some are asked for one later.
        let credential = self.credential == Credential::None || self.credential == other.credential;
        self.certificate == other.certificate && credential && self.tenant.admits(&other.tenant)
    }

    /// Whether a request of somebody may use the session. What was not known of its holder is from then on.
    pub fn admits(&mut self, other: &Self) -> bool {
        if !self.knows(other) {
            return false;
        }
        if self.tenant == Claim::Baggage(None) {
            self.tenant = other.tenant.clone();
        }
        self.credential = other.credential;
        self.standing.clone_from(&other.standing);
        true
    }
}

/// Whom a credential is about: the user of a password, or issuer and subject of a JWT, whose signature is not looked
/// at, because this only compares. None when that cannot be read.
fn subject(keys: &Keys, scheme: &str, rest: &str) -> Option<[u64; 2]> {
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = STANDARD.decode(rest).ok()?;
        let user = pair.split(|byte| *byte == b':').next()?;
        return Some(keys.hash(("user", user)));
    }
    let mut parts = rest.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let claim = |name: &str| claims.get(name).and_then(serde_json::Value::as_str);
    Some(keys.hash(("subject", claim("iss"), claim("sub")?)))
}

#[cfg(test)]
mod tests;
