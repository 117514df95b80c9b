//! Takes a pattern, and the names in a certificate. Gives the tenants that they have in its place.
//! Never lets a wildcard stand for a tenant, and never looks beyond one label or segment for it (no I/O).

use crate::wire::SubjectNames;

/// Where the tenant stands in a pattern.
const PLACE: &str = "{tenant}";

/// `dns:{tenant}.clients.example.com` or `uri:spiffe://example.com/ns/{tenant}/*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    kind: Kind,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dns,
    Uri,
}

/// A label of a DNS name, or what stands between two slashes of a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Same(Box<str>),
    /// `*`: anything, but not nothing
    Any,
    Tenant {
        before: Box<str>,
        behind: Box<str>,
    },
}

impl Pattern {
    /// Reads a pattern. None where it has no place for a tenant or more than one, or a `*` that is not alone in its part.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, text) = match text.split_once(':')? {
            ("dns", text) => (Kind::Dns, text.to_ascii_lowercase()),
            ("uri", text) => (Kind::Uri, text.to_owned()),
            _ => return None,
        };
        let parts = text.split(kind.separator()).map(Part::parse);
        let parts: Vec<Part> = parts.collect::<Option<_>>()?;
        let places = parts.iter().filter(|part| part.is_place()).count();
        (places == 1).then_some(Self { kind, parts })
    }

    /// The tenants of all names that fit, one after another.
    pub fn tenants(&self, names: &SubjectNames) -> impl Iterator<Item = String> {
        let names = match self.kind {
            Kind::Dns => &names.dns,
            Kind::Uri => &names.uris,
        };
        names.iter().filter_map(|name| match self.kind {
            Kind::Dns => self.tenant(&name.to_ascii_lowercase()),
            Kind::Uri => self.tenant(name),
        })
    }

    fn tenant(&self, name: &str) -> Option<String> {
        let mut found = None;
        let mut names = name.split(self.kind.separator());
        for part in &self.parts {
            let name = names.next()?;
            match part {
                Part::Same(same) if **same == *name => {}
                Part::Any if !name.is_empty() => {}
                Part::Tenant { before, behind } => {
                    found = name.strip_prefix(&**before)?.strip_suffix(&**behind);
                }
                Part::Same(_) | Part::Any => return None,
            }
        }
        // A wildcard is for everybody below it.
        let found = found.filter(|tenant| !tenant.is_empty() && !tenant.contains('*'))?;
        names.next().is_none().then(|| found.to_owned())
    }
}

impl Kind {
    fn separator(self) -> char {
        match self {
            Self::Dns => '.',
            Self::Uri => '/',
        }
    }
}

impl Part {
    fn parse(text: &str) -> Option<Self> {
        let is_plain = |text: &str| !text.contains(['*', '{', '}']);
        match text.split_once(PLACE) {
            Some((before, behind)) if is_plain(before) && is_plain(behind) => Some(Self::Tenant {
                before: before.into(),
                behind: behind.into(),
            }),
            Some(_) => None,
            None if text == "*" => Some(Self::Any),
            None => is_plain(text).then(|| Self::Same(text.into())),
        }
    }

    fn is_place(&self) -> bool {
        matches!(self, Self::Tenant { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(pattern: &str, names: &[&str]) -> Vec<String> {
        let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
        let names = SubjectNames {
            dns: names.clone(),
            uris: names,
        };
        let pattern = Pattern::parse(pattern).unwrap();
        pattern.tenants(&names).collect()
    }

    #[test]
    fn a_tenant_is_what_stands_in_its_place() {
        let dns = "dns:{tenant}.Clients.example.com";
        let names = ["other.example.com", "Acme.clients.Example.com"];
        assert_eq!(tenants(dns, &names), ["acme"]);
        let none = [
            "a.b.clients.example.com",
            ".clients.example.com",
            "*.clients.example.com",
            "acme.clients.example.com.evil.org",
            "evil.org/acme.clients.example.com",
            "clients.example.com",
            "",
        ];
        assert_eq!(tenants(dns, &none), [""; 0]);
        let part = "dns:agent-{tenant}-x.*.internal";
        assert_eq!(tenants(part, &["agent-acme-x.eu.internal"]), ["acme"]);
        let none = [
            "agent--x.eu.internal",
            "agent-x.eu.internal",
            "agent-a-x..internal",
        ];
        assert_eq!(tenants(part, &none), [""; 0]);
    }

    #[test]
    fn uris_fit_part_by_part_and_letter_by_letter() {
        let uri = "uri:spiffe://example.org/ns/{tenant}/sa/*";
        let names = ["spiffe://example.org/ns/acme/sa/agent"];
        assert_eq!(tenants(uri, &names), ["acme"]);
        let none = [
            "spiffe://example.org/ns/acme/sa/",
            "spiffe://example.org/ns/acme/sa",
            "spiffe://example.org/ns/acme/sa/agent/more",
            "spiffe://example.org.evil/ns/acme/sa/agent",
            "spiffe://Example.org/ns/acme/sa/agent",
            "spiffe://example.org/ns//sa/agent",
        ];
        assert_eq!(tenants(uri, &none), [""; 0]);
        let two = [names[0], "spiffe://example.org/ns/globex/sa/agent"];
        assert_eq!(tenants(uri, &two), ["acme", "globex"]);
    }

    #[test]
    fn a_pattern_has_one_place() {
        for text in [
            "",
            "{tenant}",
            "dns:example.com",
            "ip:{tenant}",
            "dns:{tenant}.{tenant}",
            "dns:{tenant}{tenant}.com",
            "dns:a*.{tenant}",
            "dns:*{tenant}.com",
            "dns:{name}.com",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
