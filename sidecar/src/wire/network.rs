//! Takes an address or a network as text. Gives whether a peer's address is in it.
//! Never resolves a name.

use std::net::IpAddr;
use std::str::FromStr;

/// Addresses with the same beginning: `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be addresses or networks, as 10.0.0.0/8";
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| FORM)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| FORM)?,
            None => all,
        };
        if bits > all {
            return Err(FORM);
        }
        Ok(Self { address, bits })
    }
}

impl Network {
    #[must_use]
    pub fn holds(self, other: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            let rest = width - u32::from(self.bits);
            one.checked_shr(rest) == other.checked_shr(rest)
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                same(one.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_what_they_say() {
        let holds = |network: &str, ip: &str| {
            network
                .parse::<Network>()
                .unwrap()
                .holds(ip.parse().unwrap())
        };
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("10.1.0.0/16", "10.1.255.1") && !holds("10.1.0.0/16", "10.2.0.1"));
        assert!(holds("10.0.0.1", "::ffff:10.0.0.1") && holds("fd00::/8", "fd12::1"));
        for text in ["", "10.0.0.0/33", "10.0.0.0/x", "host"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
