//! Addresses: whom a request without a token is counted against.
//!
//! Behind proxies the peer is the proxy. `X-Forwarded-For` is believed from the
//! right only, as far as trusted proxies wrote it: what stands left of that is
//! whatever the client liked to claim. The `Forwarded` header is not read.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;

/// Most entries of `X-Forwarded-For` that are walked.
const MOST_HOPS: usize = 10;

/// A network, as an address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

/// The proxies whose `X-Forwarded-For` is believed. None by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// The text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no network; hint: write 10.0.0.0/8, 192.0.2.1 or fd00::/8")]
pub struct NotANetwork {
    text: String,
}

impl TrustedProxies {
    /// Reads networks such as `10.0.0.0/8` and single addresses.
    ///
    /// # Errors
    ///
    /// Names the first text that is no network.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, NotANetwork> {
        texts
            .into_iter()
            .map(|text| Network::parse(text).ok_or_else(|| NotANetwork { text: text.to_owned() }))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns the address of the client, given the peer of the connection.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() {
            return client;
        }
        let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        // In bytes: a line that is not all text must not be left out, or the one before it,
        // which the client wrote, would count.
        let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(MOST_HOPS) {
            if !self.contains(client) {
                break;
            }
            // Not an address: the proxy before it is as far as we can see.
            let Some(address) = parse_hop(hop) else { break };
            client = address;
        }
        client
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address.parse::<IpAddr>().ok()?, Some(prefix.parse::<u32>().ok()?)),
            None => (text.trim().parse().ok()?, None),
        };
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(width);
        (prefix <= width).then_some(Self { address, prefix })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = u32::from(network) ^ u32::from(address);
                differing.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = u128::from(network) ^ u128::from(address);
                differing.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Reads one entry, with or without a port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let address = hop.parse::<IpAddr>().ok().or_else(|| {
        hop.parse::<std::net::SocketAddr>().map(|socket| socket.ip()).ok().or_else(|| {
            hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|inner| inner.parse().ok())
        })
    })?;
    Some(address.to_canonical())
}

/// Returns what one customer usually holds: an IPv4 address or an IPv6 /64.
pub(crate) fn holding(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(trusted: &[&str], peer: &str, forwarded: &[&str], expected: &str) {
        let proxies = TrustedProxies::parse(trusted.iter().copied()).unwrap();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let client = proxies.client(peer.parse().unwrap(), &headers);
        assert_eq!(client, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        check(&[], "203.0.113.9", &["1.1.1.1"], "203.0.113.9");
        check(&["10.0.0.0/8"], "203.0.113.9", &["1.1.1.1"], "203.0.113.9");
        check(&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9");
        check(&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9");
    }

    #[test]
    fn the_walk_stops_at_what_is_no_address() {
        check(&["10.0.0.0/8"], "10.0.0.1", &["8.8.8.8, nonsense, 10.0.0.2"], "10.0.0.2");
        check(&["10.0.0.0/8"], "10.0.0.1", &[""], "10.0.0.1");
        check(&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1", "\u{e9}, 203.0.113.9"], "203.0.113.9");
        check(&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1", "203.0.113.9, \u{e9}"], "10.0.0.1");
        check(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7");
        check(&["fd00::/8"], "fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7");
        check(&["0.0.0.0/0"], "10.0.0.1", &[&vec!["10.0.0.9"; 50].join(",")], "10.0.0.9");
    }

    #[test]
    fn a_network_is_an_address_and_a_prefix() {
        for wrong in ["", "10.0.0.0/33", "::/129", "ten", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert!(TrustedProxies::parse([wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_ipv6_customer_is_its_64() {
        let one: IpAddr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        assert_eq!(holding(one), holding(other));
        assert_eq!(holding("::ffff:1.2.3.4".parse().unwrap()), "1.2.3.4".parse::<IpAddr>().unwrap());
    }
}
