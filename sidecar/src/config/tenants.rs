//! Takes the values of a hop. Gives the rule by which its calls get their tenants.
//! Never opens a file but those that tell a pod of itself: the others are read when the hop starts.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use super::layer::Origin;
use super::values::Values;
use super::{ConfigError, HopSettings, kubernetes};
use crate::record::{Tenant, TenantSource};
use crate::tenant::{JwtRule, Pattern, Source, TenantRule, Trusted, valid_name};
use crate::wire::{Address, Network};

/// What a source may be.
const FORM: &str = "must be certificate:PATTERN, jwt:CLAIM, token, header:NAME, kubernetes:namespace, kubernetes:label:KEY or baggage:KEY";
const PATTERN_FORM: &str = "must be certificate:dns:PATTERN or certificate:uri:PATTERN, with one {tenant} and a * only for a whole part";

/// Headers whose value must not become the name of anything.
const SECRET: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

impl Values<'_> {
    /// `top` is what the whole process was told; `warnings` gets what is missing though it was asked for.
    pub(crate) fn tenant_rule(
        &self,
        top: Values<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<TenantRule, ConfigError> {
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
            match text.strip_prefix("kubernetes:") {
                Some(what) if rule.baggage.is_empty() => {
                    match top.of_pod(what, &origin)? {
                        // What stands behind one that is always there is never asked.
                        Ok(own) => drop(rule.own.get_or_insert(own)),
                        Err(problem) => warnings.push(format!("{text}: {problem}")),
                    }
                }
                _ => self.add_source(&mut rule, &text, &origin)?,
            }
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
            ("certificate", Some(pattern)) => match Pattern::parse(pattern) {
                Some(pattern) => rule.add(Source::Certificate(pattern)),
                None => return invalid(PATTERN_FORM),
            },
            ("header", Some(name)) => match HeaderName::try_from(name) {
                Ok(name) if SECRET.contains(&name) => {
                    return invalid("a credential is no name: what is in it would be recorded");
                }
                Ok(name) => rule.add(Source::Header(name)),
                Err(_) => return invalid("that is no name of a header"),
            },
            ("jwt", Some("")) => return invalid("the claim after jwt: is missing"),
            ("jwt", Some(_)) if rule.sources.contains(&Source::Token) => {
                return invalid(
                    "jwt:CLAIM must stand before token, which takes every bearer token",
                );
            }
            ("jwt", Some(_)) if rule.sources.iter().any(is_jwt) => {
                return invalid(
                    "jwt:CLAIM can stand once: what the first finds without its claim is unknown",
                );
            }
            ("jwt", Some(claim)) => {
                let Some(file) = self.path("jwt_keys_file") else {
                    return invalid("jwt:CLAIM needs jwt_keys_file");
                };
                let text = |key| self.text(key).map(|(text, _)| text);
                rule.jwt_keys_file = Some(file);
                rule.add(Source::Jwt(JwtRule {
                    claim: claim.into(),
                    issuer: text("jwt_issuer"),
                    audience: text("jwt_audience"),
                }));
            }
            ("token", None) => {
                let Some(file) = self.path("tokens_file") else {
                    return invalid("token needs tokens_file");
                };
                rule.tokens_file = Some(file);
                rule.add(Source::Token);
            }
            ("baggage", Some("")) => return invalid("the key after baggage: is missing"),
            ("baggage", Some(key)) => rule.baggage.push(key.into()),
            _ => return invalid(FORM),
        }
        Ok(())
    }

    /// What our pod is told of itself, or why it is not.
    fn of_pod(&self, what: &str, origin: &Origin) -> Result<Result<Tenant, String>, ConfigError> {
        let found = match what.split_once(':') {
            None if what == "namespace" => {
                kubernetes::namespace(self.text("kubernetes_namespace").map(|(text, _)| text))
            }
            Some(("label", key)) if !key.is_empty() => {
                let file = self.path("kubernetes_labels_file").unwrap_or_default();
                kubernetes::label(&file, key)
            }
            _ => return Err(ConfigError::invalid(origin, FORM)),
        };
        let named = found.and_then(|name| match valid_name(&name) {
            true => Ok(Tenant {
                name: name.into(),
                source: TenantSource::Kubernetes,
            }),
            false => Err("that is no name of a tenant".to_owned()),
        });
        Ok(named)
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

fn is_jwt(source: &Source) -> bool {
    matches!(source, Source::Jwt(_))
}

/// Whether nobody who can reach a hop may name a tenant in a header: a loopback address is reached from this machine only.
fn trusts_nobody(trusted: &Trusted, listen: &Address) -> bool {
    let Address::Tcp(address) = listen else {
        return false;
    };
    let here = [
        address.ip(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    match trusted {
        Trusted::ThisMachine => !address.ip().is_loopback(),
        Trusted::Networks(networks) => {
            let held = |network: &Network| here.iter().any(|ip| network.holds(*ip));
            address.ip().is_loopback() && !networks.iter().any(held)
        }
    }
}

/// What a hop was told to look at, though nobody can show it.
pub(super) fn warnings(hop: &HopSettings) -> Vec<String> {
    let rule = &hop.common.tenant;
    let has = |kind: fn(&Source) -> bool| rule.sources.iter().any(kind);
    let header = has(|source| matches!(source, Source::Header(_)))
        && trusts_nobody(&rule.trusted, &hop.listen);
    let elsewhere = rule.trusted != Trusted::ThisMachine;
    let asks = hop.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let certificate = !asks && has(|source| matches!(source, Source::Certificate(_)));
    let problems = [
        (
            header && elsewhere,
            "the tenant in a header is believed of nobody: only this machine can connect, and trusted_proxies has no loopback address",
        ),
        (
            header && !elsewhere,
            "the tenant in a header is believed of this machine only: name others in trusted_proxies",
        ),
        (
            certificate,
            "no client shows a certificate with its tenant: tls_client_ca says whose are asked for",
        ),
    ];
    let problems = problems.into_iter().filter(|(is_so, _)| *is_so);
    problems
        .map(|(_, problem)| format!("hop {}: {problem}", hop.name))
        .collect()
}
