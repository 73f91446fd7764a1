//! Ranges of IP addresses (`10.0.0.0/8`), for the list of trusted proxies.

use std::{fmt, net::IpAddr, str::FromStr};

/// A range of IP addresses in CIDR form (RFC 4632); a single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange {
    address: IpAddr,
    prefix: u8,
}

impl AddressRange {
    /// Returns whether `address` is in the range. An IPv4 address that is written
    /// as IPv6 (`::ffff:10.0.0.1`) counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for AddressRange {
    type Err = String;

    /// Reads `10.0.0.0/8`, `::1` and the like; the error says what is wrong.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| format!("{address:?} is not an IP address"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|bits| *bits <= longest)
                .ok_or_else(|| format!("the prefix {prefix:?} is not a number from 0 to {longest}"))?,
        };
        // An IPv4 range written as IPv6 would silently match nothing.
        if address.to_canonical() != address {
            return Err(format!("{address} is an IPv4 address; write {}", address.to_canonical()));
        }
        Ok(Self { address, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(range: &str, address: &str, contained: bool) {
        let range: AddressRange = range.parse().unwrap();
        assert_eq!(range.contains(address.parse().unwrap()), contained, "{range} {address}");
    }

    #[test]
    fn a_range_holds_what_shares_its_prefix() {
        check("10.0.0.0/8", "10.255.1.2", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.6", false);
        check("2001:db8::/33", "2001:db8:7fff::1", true);
        check("2001:db8::/33", "2001:db8:8000::1", false);
        check("::/0", "10.0.0.1", false);
    }

    #[test]
    fn a_mapped_address_is_the_address_that_it_maps() {
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "::ffff:10.0.0.1/8", "a/b/c"] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }
}
