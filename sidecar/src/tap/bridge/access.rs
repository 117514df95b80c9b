//! Takes what a request says of where it was sent to and who sent it. Gives whether the bridge may serve it.
//! Never trusts a name that another site's page could have put there: DNS rebinding ends here (no I/O).

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName};

use crate::counters::Refusal;
use crate::wire::Address;

/// Browsers say here whose page asks, also where they send no `Origin`: for images, frames and links.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

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

    /// `Host` must be ours, and so must the page that asks, where there is one.
    ///
    /// # Errors
    /// With what is not.
    pub fn check(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<(), Refusal> {
        let host = said(headers, &header::HOST).or(authority);
        if !host.is_some_and(|host| self.is_ours(host)) {
            return Err(Refusal::Host);
        }
        let ours = match said(headers, &header::ORIGIN) {
            Some(origin) => self.may_come_from(origin),
            None => self.takes_all_pages() || !is_of_another_page(headers),
        };
        if ours { Ok(()) } else { Err(Refusal::Origin) }
    }

    fn takes_all_pages(&self) -> bool {
        self.origins.iter().any(|known| known == ANY)
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
        if self.takes_all_pages() || self.origins.contains(&origin) {
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

/// The one value of a header; of two, one could be checked and the other believed.
fn said<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok();
    Some(value.filter(|_| values.next().is_none()).unwrap_or(""))
}

/// Without an `Origin` nobody can say which page it is, so that of another port counts as another's.
fn is_of_another_page(headers: &HeaderMap) -> bool {
    let ours = |site: &[u8]| site == b"same-origin" || site == b"none";
    let mut sites = headers.get_all(SITE).iter();
    sites.any(|site| !ours(site.as_bytes().trim_ascii()))
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

    fn allows(access: &Access, said: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.append(*name, value.parse().unwrap());
        }
        access.check(&headers, None).is_ok()
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
            assert_eq!(allows(&ours, &[("host", host)]), allowed, "{host}");
        }
        assert!(!allows(&ours, &[]));
        assert!(!allows(&ours, &[("host", "localhost"), ("host", "::1")]));
        assert!(ours.check(&HeaderMap::new(), Some("localhost")).is_ok());
        assert!(allows(&access(&["*"], &[]), &[("host", "any.example.com")]));
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
            let headers = [("host", "localhost"), ("origin", origin)];
            assert_eq!(allows(&ours, &headers), allowed, "{origin}");
        }
        let evil = [("host", "x"), ("origin", "http://evil.example.com")];
        assert!(!allows(&access(&["*"], &[]), &evil));
        assert!(allows(&access(&["*"], &["*"]), &evil));
    }

    #[test]
    fn a_page_that_names_no_origin_is_known_by_its_site() {
        let ours = access(&[], &["https://app.example.com"]);
        let host = ("host", "localhost");
        for (site, allowed) in [
            ("none", true),
            ("same-origin", true),
            ("same-site", false),
            ("cross-site", false),
            ("what-is-to-come", false),
        ] {
            let headers = [host, ("sec-fetch-site", site)];
            assert_eq!(allows(&ours, &headers), allowed, "{site}");
        }
        let page = ("origin", "https://app.example.com");
        let elsewhere = ("sec-fetch-site", "cross-site");
        assert!(allows(&ours, &[host, page, elsewhere]), "its Origin counts");
        assert!(!allows(
            &ours,
            &[host, ("sec-fetch-site", "none"), elsewhere]
        ));
        assert!(allows(&access(&[], &["*"]), &[host, elsewhere]));
    }
}
