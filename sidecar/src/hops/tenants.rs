//! Takes the rule by which a hop finds tenants. Gives it with its files read.
//! Never changes what runs: a file that cannot be used is known before anything follows it.

use std::fs::read_to_string;
use std::path::Path;

use anyhow::{Context, anyhow};
use tracing::info;

use crate::tenant::{Jwts, TenantRule, Tenants, Tokens};

/// Reads the files of a rule.
pub(super) fn read(rule: &TenantRule) -> anyhow::Result<Tenants> {
    let tenants = Tenants::from(rule.clone());
    if let Some(file) = &rule.tokens_file {
        tenants.know(tokens(file)?);
    }
    if let Some(file) = &rule.jwt_keys_file {
        tenants.verify_by(jwts(file)?);
    }
    Ok(tenants)
}

fn jwts(file: &Path) -> anyhow::Result<Jwts> {
    let text = read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    let jwts = Jwts::parse(&text).map_err(|problem| anyhow!("{} {problem}", file.display()))?;
    info!(
        file = %file.display(),
        usable = jwts.usable(),
        useless = jwts.useless(),
        "read the keys of JWTs"
    );
    Ok(jwts)
}

fn tokens(file: &Path) -> anyhow::Result<Tokens> {
    let text = read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Tokens::parse(&text).with_context(|| file.display().to_string())
}
