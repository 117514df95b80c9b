//! Takes the values of a hop. Gives the rule by which its calls get their tenants.
//! Never opens a file: that is done when the hop starts.

use http::HeaderName;

use super::layer::Origin;
use super::values::Values;
use super::{ConfigError, HopSettings};
use crate::tenant::{Source, TenantRule, Trusted, valid_name};
use crate::wire::{Address, Network};

/// What a source may be.
const FORM: &str = "must be header:NAME, token or baggage:KEY";

impl Values<'_> {
    pub(crate) fn tenant_rule(&self) -> Result<TenantRule, ConfigError> {
        if let Some((name, origin)) = self.text("tenant") {
            return if valid_name(&name) {
                Ok(TenantRule::fixed(&name))
            } else {
                Err(ConfigError::invalid(
                    &origin,
                    "a tenant is 1 to 128 bytes without control characters",
                ))
            };
        }
        let Some((texts, origin)) = self.list("tenant_from") else {
            return Ok(TenantRule::default());
        };
        let mut rule = TenantRule {
            trusted: self.trusted()?,
            ..TenantRule::default()
        };
        for text in texts {
            self.add_source(&mut rule, &text, &origin)?;
        }
        Ok(rule)
    }

    fn add_source(
        &self,
        rule: &mut TenantRule,
        text: &str,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        let invalid = |problem: &str| Err(ConfigError::invalid(origin, problem));
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        if kind != "baggage" && !rule.baggage.is_empty() {
            return invalid("baggage:KEY is anybody's word and must stand last");
        }
        match (kind, rest) {
            ("header", Some(name)) => match HeaderName::try_from(name) {
                Ok(name) => rule.sources.push(Source::Header(name)),
                Err(_) => return invalid("that is no name of a header"),
            },
            ("token", None) => {
                let Some(file) = self.path("tokens_file") else {
                    return invalid("token needs tokens_file");
                };
                rule.tokens_file = Some(file);
                rule.sources.push(Source::Token);
            }
            ("baggage", Some("")) => return invalid("the key after baggage: is missing"),
            ("baggage", Some(key)) => rule.baggage.push(key.into()),
            _ => return invalid(FORM),
        }
        Ok(())
    }

    fn trusted(&self) -> Result<Trusted, ConfigError> {
        Ok(match self.networks("trusted_proxies")? {
            Some(networks) => Trusted::Networks(networks),
            None => Trusted::ThisMachine,
        })
    }

    pub(crate) fn networks(&self, key: &'static str) -> Result<Option<Vec<Network>>, ConfigError> {
        let Some((texts, origin)) = self.list(key) else {
            return Ok(None);
        };
        let networks = texts.iter().map(|text| {
            text.parse()
                .map_err(|problem: &str| ConfigError::invalid(&origin, problem))
        });
        networks.collect::<Result<_, _>>().map(Some)
    }
}

/// A header that clients of other machines send, and that nobody was said to speak for them.
pub(super) fn warning(hop: &HopSettings) -> Option<String> {
    let rule = &hop.common.tenant;
    let header = |source: &Source| matches!(source, Source::Header(_));
    let public = matches!(&hop.listen, Address::Tcp(address) if !address.ip().is_loopback());
    let unsaid = rule.trusted == Trusted::ThisMachine && rule.sources.iter().any(header);
    (public && unsaid).then(|| {
        format!(
            "hop {}: the tenant in a header is believed of this machine only: name others in trusted_proxies",
            hop.name
        )
    })
}
