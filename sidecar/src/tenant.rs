//! Takes what a request and its connection say of their tenant. Gives the tenant of a call, by the first source that says
//! anything.
//! Never guesses, and never believes what it cannot verify: such a call is `unknown`, and counted by reason (no I/O).

mod jwt;
mod pattern;
mod tokens;

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::record::{Tenant, TenantSource};
use crate::wire::{Network, SubjectNames};

pub use jwt::{JwtRule, Jwts};
pub use pattern::Pattern;
pub use tokens::{Tokens, TokensError};

/// The tenant of a call that names none.
pub const UNKNOWN: &str = "unknown";

/// The longest name of a tenant, in bytes.
pub const MAX_NAME: usize = 128;

/// Where a hop looks for the tenant of a call: the sources in their order, then its own, then baggage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantRule {
    pub sources: Vec<Source>,
    /// Whose headers are believed.
    pub trusted: Trusted,
    /// The tenant of all calls that no source names.
    pub own: Option<Tenant>,
    /// Keys of baggage, which is anybody's word.
    pub baggage: Vec<Box<str>>,
    /// The file of hashes of tokens.
    pub tokens_file: Option<PathBuf>,
    /// The file of keys that JWTs are verified by.
    pub jwt_keys_file: Option<PathBuf>,
}

/// What a request or its connection can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `header:NAME`, of a peer that is trusted
    Header(HeaderName),
    /// `certificate:PATTERN`: a name in the client's certificate
    Certificate(Pattern),
    /// `jwt:CLAIM`: a claim of the bearer token, where that is a JWT whose signature is verified
    Jwt(JwtRule),
    /// `token`: the bearer token, by its hash in a file
    Token,
}

/// Peers that speak for others. Whoever uses our Unix socket is our user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trusted {
    #[default]
    ThisMachine,
    Networks(Vec<Network>),
}

/// Why a call has no tenant; the `reason` of its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnknownTenant {
    /// Nothing named one.
    Missing,
    /// What named it is no name.
    Invalid,
    /// It was named more than once.
    Ambiguous,
    /// A peer named it that is not trusted.
    UntrustedPeer,
    /// The token is in no line of the file.
    UnknownToken,
    /// A JWT is not signed by a key that we have, or not as a JWT must be.
    JwtInvalid,
    /// It is over, or has not begun.
    JwtExpired,
    /// It is of another issuer, or for another audience.
    JwtForeign,
    JwtWithoutClaim,
}

impl UnknownTenant {
    pub const ALL: [Self; 9] = [
        Self::Missing,
        Self::Invalid,
        Self::Ambiguous,
        Self::UntrustedPeer,
        Self::UnknownToken,
        Self::JwtInvalid,
        Self::JwtExpired,
        Self::JwtForeign,
        Self::JwtWithoutClaim,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Ambiguous => "ambiguous",
            Self::UntrustedPeer => "untrusted_peer",
            Self::UnknownToken => "unknown_token",
            Self::JwtInvalid => "jwt_invalid",
            Self::JwtExpired => "jwt_expired",
            Self::JwtForeign => "jwt_foreign",
            Self::JwtWithoutClaim => "jwt_without_claim",
        }
    }
}

/// What is known of a request before its message is read.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    pub headers: &'a HeaderMap,
    /// None where the connection has no address: a Unix socket.
    pub peer: Option<IpAddr>,
    /// The names in the client's certificate.
    pub names: Option<&'a SubjectNames>,
    pub now: SystemTime,
}

/// What the sources made of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// No source said anything.
    #[default]
    Open,
    Known(Tenant),
    /// It is proven by a token whose time is not now. A session of that tenant goes on; its calls are unknown.
    Untimely(Tenant),
    /// The first that said something cannot be believed; those behind it are not asked.
    Unknown(UnknownTenant),
}

/// The rule of a hop, with what its sources look things up in.
#[derive(Debug, Default)]
pub struct Tenants {
    rule: TenantRule,
    tokens: RwLock<Arc<Tokens>>,
    jwts: RwLock<Option<Arc<Jwts>>>,
}

impl From<TenantRule> for Tenants {
    fn from(rule: TenantRule) -> Self {
        Self {
            rule,
            ..Self::default()
        }
    }
}

impl TenantRule {
    /// `--tenant NAME`
    #[must_use]
    pub fn fixed(name: &str) -> Self {
        let own = Tenant {
            name: name.into(),
            source: TenantSource::Fixed,
        };
        Self {
            own: Some(own),
            ..Self::default()
        }
    }

    /// Adds a source behind those before it.
    pub fn add(&mut self, source: Source) {
        if self.own.is_none() {
            self.sources.push(source);
        }
    }

    /// The one tenant that all calls have.
    #[must_use]
    pub fn one(&self) -> Option<&Arc<str>> {
        let own = self.own.as_ref().filter(|_| self.sources.is_empty())?;
        Some(&own.name)
    }

    /// Whether requests have no say in it.
    #[must_use]
    pub fn is_same_for_all(&self) -> bool {
        self.sources.is_empty() && !self.reads_baggage()
    }

    fn reads_baggage(&self) -> bool {
        self.own.is_none() && !self.baggage.is_empty()
    }
}

impl Trusted {
    fn trusts(&self, peer: Option<IpAddr>) -> bool {
        let Some(peer) = peer else { return true };
        match self {
            Self::ThisMachine => peer.to_canonical().is_loopback(),
            Self::Networks(networks) => networks.iter().any(|network| network.holds(peer)),
        }
    }
}

impl Tenants {
    #[must_use]
    pub fn rule(&self) -> &TenantRule {
        &self.rule
    }

    /// Looks tokens up in these from now on.
    pub fn know(&self, tokens: Tokens) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// Verifies JWTs by these keys from now on.
    pub fn verify_by(&self, jwts: Jwts) {
        *self.jwts.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(jwts));
    }

    /// Looks up in what another has read under the same rule.
    pub fn follow(&self, other: &Self) {
        let (tokens, jwts) = (other.tokens(), other.jwts());
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
        *self.jwts.write().unwrap_or_else(PoisonError::into_inner) = jwts;
    }

    /// What is looked up in: nobody who brings other tokens or keys waits for a signature.
    fn tokens(&self) -> Arc<Tokens> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&tokens)
    }

    fn jwts(&self) -> Option<Arc<Jwts>> {
        let jwts = self.jwts.read().unwrap_or_else(PoisonError::into_inner);
        jwts.clone()
    }

    /// Whether baggage is worth reading.
    #[must_use]
    pub fn reads_baggage(&self) -> bool {
        self.rule.reads_baggage()
    }

    /// Asks the sources, until one has something to say.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence<'_>) -> Standing {
        for source in &self.rule.sources {
            match self.ask(source, evidence) {
                Ok(Standing::Open) => {}
                Ok(standing) => return standing,
                Err(why) => return Standing::Unknown(why),
            }
        }
        Standing::Open
    }

    fn ask(&self, source: &Source, evidence: &Evidence<'_>) -> Result<Standing, UnknownTenant> {
        match source {
            Source::Header(name) => {
                let Some(value) = only(evidence.headers, name)? else {
                    return Ok(Standing::Open);
                };
                if !self.rule.trusted.trusts(evidence.peer) {
                    return Err(UnknownTenant::UntrustedPeer);
                }
                let name = std::str::from_utf8(value.as_bytes());
                let name = name.map_err(|_| UnknownTenant::Invalid)?.trim();
                tenant(name, TenantSource::Header).map(Standing::Known)
            }
            Source::Certificate(pattern) => {
                let names = evidence.names.into_iter();
                let mut found = names.flat_map(|names| pattern.tenants(names));
                let Some(first) = found.next() else {
                    return Ok(Standing::Open);
                };
                if found.any(|other| other != first) {
                    return Err(UnknownTenant::Ambiguous);
                }
                tenant(&first, TenantSource::Certificate).map(Standing::Known)
            }
            Source::Jwt(rule) => {
                let Some(token) = bearer(evidence.headers)? else {
                    return Ok(Standing::Open);
                };
                match self.jwts() {
                    Some(jwts) => jwts.tenant_of(rule, token, evidence.now),
                    None => Err(UnknownTenant::JwtInvalid),
                }
            }
            Source::Token => {
                let Some(token) = bearer(evidence.headers)? else {
                    return Ok(Standing::Open);
                };
                let tokens = self.tokens();
                let name = tokens.tenant_of(token);
                let name = name.ok_or(UnknownTenant::UnknownToken)?;
                Ok(Standing::Known(Tenant {
                    name: Arc::clone(name),
                    source: TenantSource::Token,
                }))
            }
        }
    }

    /// The tenant of a call, by what the sources made of its request and by its baggage: that of its message first, then
    /// that of its head.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find(
        &self,
        standing: Option<&Standing>,
        of_message: Option<&str>,
        of_head: Option<&str>,
    ) -> Result<Tenant, UnknownTenant> {
        match standing {
            Some(Standing::Known(tenant)) => return Ok(tenant.clone()),
            Some(Standing::Untimely(_)) => return Err(UnknownTenant::JwtExpired),
            Some(Standing::Unknown(why)) => return Err(*why),
            Some(Standing::Open) | None => {}
        }
        if let Some(own) = &self.rule.own {
            return Ok(own.clone());
        }
        for key in &self.rule.baggage {
            let mut carriers = [of_message, of_head].into_iter().flatten();
            if let Some(name) = carriers.find_map(|baggage| member(baggage, key)) {
                return tenant(&name, TenantSource::Baggage);
            }
        }
        Err(UnknownTenant::Missing)
    }
}

/// The tenant of a call that has none.
#[must_use]
pub fn unknown() -> Tenant {
    Tenant {
        name: UNKNOWN.into(),
        source: TenantSource::None,
    }
}

fn tenant(name: &str, source: TenantSource) -> Result<Tenant, UnknownTenant> {
    if !valid_name(name) {
        return Err(UnknownTenant::Invalid);
    }
    let name = name.into();
    Ok(Tenant { name, source })
}

/// 1 to 128 bytes, all of them printable.
#[must_use]
pub fn valid_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(unprintable)
}

/// Controls, and the characters that show nothing or turn the text around: two names that look alike must be alike.
fn unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The value of a header that must not be repeated: whoever reads another of its lines would read another name.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, UnknownTenant> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(UnknownTenant::Ambiguous),
    }
}

/// The token of `Authorization: Bearer TOKEN`; none where another scheme is used.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, UnknownTenant> {
    let Some(value) = only(headers, &AUTHORIZATION)? else {
        return Ok(None);
    };
    let (scheme, token) = match value.as_bytes().split_at_checked(7) {
        Some((scheme, token)) => (scheme, token.trim_ascii()),
        None => return Ok(None),
    };
    let bearer = scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty();
    Ok(bearer.then_some(token))
}

/// The value of one member of a W3C baggage string; the first of several with that key.
fn member<'a>(baggage: &'a str, key: &str) -> Option<Cow<'a, str>> {
    baggage.split(',').find_map(|member| {
        let (name, value) = member.split_once('=')?;
        if name.trim() != key {
            return None;
        }
        let value = value.split(';').next().unwrap_or_default().trim();
        percent_decode_str(value).decode_utf8().ok()
    })
}

#[cfg(test)]
mod tests;
