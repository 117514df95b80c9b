//! Takes lines of hashes and tenants. Gives the tenant of a token whose hash is among them.
//! Never holds a token, and never says more of a line than its number: it may hold a token by mistake (no I/O).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ring::digest;

use super::valid_name;

/// Tenants by the SHA-256 of their tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens(HashMap<[u8; 32], Arc<str>>);

/// A line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TokensError {
    pub line: usize,
    pub problem: &'static str,
}

impl fmt::Debug for Tokens {
    /// Hashes of weak tokens can be guessed from.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Lines of 64 hexadecimal digits and a tenant. Empty lines, and those that begin with `#`, say nothing.
    ///
    /// # Errors
    /// The first line that is none of these, or gives a hash to another tenant.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |problem| TokensError {
                line: index + 1,
                problem,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let form = "must be the SHA-256 of a token in hexadecimal digits, and a tenant";
            let (hash, tenant) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| wrong(form))?;
            let (hash, tenant) = (unhex(hash).ok_or_else(|| wrong(form))?, tenant.trim_start());
            if !valid_name(tenant) {
                return Err(wrong(
                    "a tenant is 1 to 128 bytes without control characters",
                ));
            }
            let before = tokens.insert(hash, Arc::from(tenant));
            if before.is_some_and(|before| *before != *tenant) {
                return Err(wrong("a line above gives the same token to another tenant"));
            }
        }
        Ok(Self(tokens))
    }

    #[must_use]
    pub fn tenant_of(&self, token: &[u8]) -> Option<&Arc<str>> {
        let hash = digest::digest(&digest::SHA256, token);
        self.0.get(hash.as_ref())
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let bytes = digits?;
    let (pairs, rest) = bytes.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    <[u8; 32]>::try_from(bytes).ok().filter(|_| rest.is_empty())
}
