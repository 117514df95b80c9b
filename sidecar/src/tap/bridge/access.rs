//! Takes what a request says of where it was sent to and who sent it. Gives whether the bridge may serve it.
//! Never trusts a name that another site's page could have put there: DNS rebinding ends here (no I/O).

use std::net::IpAddr;

use crate::wire::Address;

/// Whom the bridge answers.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// The address that clients may name; none when we listen on all.
    listen: Option<IpAddr>,
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Stands for every name.
const ANY: &str = "*";

impl Access {
    pub fn new(listen: &Address, hosts: &[String], origins: &[String]) -> Self {
        Self {
            listen: listen.ip().filter(|ip| !ip.is_unspecified()),
            hosts: hosts.to_vec(),
            origins: origins.to_vec(),
        }
    }

    /// `Host` must be ours; `Origin`, which only browsers send, too.
    pub fn allows(&self, host: Option<&str>, origin: Option<&str>) -> bool {
        host.is_some_and(|host| self.is_ours(host)) && origin.is_none_or(|o| self.may_come_from(o))
    }

    fn is_ours(&self, authority: &str) -> bool {
        let authority = authority.trim().to_ascii_lowercase();
        let name = without_port(&authority);
        let known = |host: &String| host == ANY || *host == authority || host == name;
        if self.hosts.iter().any(known) {
            return true;
        }
        let ip = name.trim_start_matches('[').trim_end_matches(']').parse();
        match ip {
            Ok(ip) => is_loopback(ip) || Some(ip) == self.listen,
            Err(_) => name == "localhost",
        }
    }

    fn may_come_from(&self, origin: &str) -> bool {
        let origin = origin.trim().to_ascii_lowercase();
        if self
            .origins
            .iter()
            .any(|known| known == ANY || *known == origin)
        {
            return true;
        }
        // A host that is everybody's is no reason to trust every page.
        match origin.split_once("://") {
            Some(("http" | "https", host)) => {
                let hosts = self.hosts.iter().filter(|host| *host != ANY);
                let ours = Self {
                    listen: self.listen,
                    hosts: hosts.cloned().collect(),
                    origins: Vec::new(),
                };
                ours.is_ours(host)
            }
            _ => false,
        }
    }
}

/// Only the addresses that a rebound name cannot be mistaken for.
fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip == std::net::Ipv4Addr::LOCALHOST,
        IpAddr::V6(ip) => ip == std::net::Ipv6Addr::LOCALHOST,
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => {
            // The colons of a bare IPv6 address are no ports.
            if host.contains(':') && !host.ends_with(']') {
                authority
            } else {
                host
            }
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(hosts: &[&str], origins: &[&str]) -> Access {
        let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let listen = Address::Tcp("10.1.2.3:80".parse().unwrap());
        Access::new(&listen, &own(hosts), &own(origins))
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let ours = access(&["mcp.example.com", "exact.example.com:8080"], &[]);
        for (host, allowed) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:1", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("10.1.2.3:80", true),
            ("mcp.example.com", true),
            ("mcp.example.com:444", true),
            ("exact.example.com:8080", true),
            ("exact.example.com", false),
            ("exact.example.com:81", false),
            ("evil.example.com", false),
            ("localhost.evil.com", false),
            ("10.1.2.4", false),
            ("127.0.0.1.evil.com", false),
            ("", false),
        ] {
            assert_eq!(ours.allows(Some(host), None), allowed, "{host}");
        }
        assert!(!ours.allows(None, None));
        assert!(access(&["*"], &[]).allows(Some("any.example.com"), None));
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        let ours = access(&["mcp.example.com"], &["https://app.example.com"]);
        for (origin, allowed) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1:3000", true),
            ("https://mcp.example.com", true),
            ("https://app.example.com", true),
            ("http://app.example.com", false),
            ("https://app.example.com:444", false),
            ("http://evil.example.com", false),
            ("null", false),
            ("file://localhost", false),
        ] {
            assert_eq!(
                ours.allows(Some("localhost"), Some(origin)),
                allowed,
                "{origin}"
            );
        }
        let open = access(&["*"], &[]);
        assert!(!open.allows(Some("x"), Some("http://evil.example.com")));
    }
}
