//! `/proc/net/dev` and the routing tables: traffic counters and the default route.

use crate::parse::scan::{fields, lines, unsigned};

/// One line of `/proc/net/dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device<'a> {
    /// The device's name, as the kernel prints it.
    pub name: &'a [u8],
    /// Its counters.
    pub traffic: Traffic,
}

/// The kernel's counters of one device, or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
}

impl Traffic {
    /// Adds, stopping at the largest count.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            received_bytes: self.received_bytes.saturating_add(other.received_bytes),
            received_packets: self.received_packets.saturating_add(other.received_packets),
            sent_bytes: self.sent_bytes.saturating_add(other.sent_bytes),
            sent_packets: self.sent_packets.saturating_add(other.sent_packets),
        }
    }
}

/// Returns the devices of `/proc/net/dev`, in its order. Its two heading lines
/// and lines of any other shape are skipped.
pub fn devices(data: &[u8]) -> impl Iterator<Item = Device<'_>> {
    lines(data).filter_map(|line| {
        // The last colon: the name of an alias device has one of its own
        // (`eth0:1`), the counters have none.
        let colon = line.iter().rposition(|byte| *byte == b':')?;
        let name = line[..colon].trim_ascii();
        let mut counters = fields(&line[colon + 1..]).map(unsigned);
        let received_bytes = counters.next()??;
        let received_packets = counters.next()??;
        // Six more of the receiving side: errs drop fifo frame compressed multicast.
        let sent_bytes = counters.nth(6)??;
        let sent_packets = counters.next()??;
        let traffic = Traffic { received_bytes, received_packets, sent_bytes, sent_packets };
        (!name.is_empty()).then_some(Device { name, traffic })
    })
}

/// Returns the devices of the default routes in `/proc/net/route` (IPv4):
/// destination and mask are zero, and the route is up.
pub fn default_routes_v4(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(data).filter_map(|line| {
        let mut fields = fields(line);
        let (name, destination) = (fields.next()?, fields.next()?);
        let flags = fields.nth(1)?;
        let mask = fields.nth(3)?;
        let is_default = destination == b"00000000" && mask == b"00000000" && is_up(flags);
        is_default.then_some(name)
    })
}

/// Returns the devices of the default routes in `/proc/net/ipv6_route`. The
/// kernel's own reject route on loopback looks like one; it is left out.
pub fn default_routes_v6(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(data).filter_map(|line| {
        let mut fields = fields(line);
        let (destination, prefix) = (fields.next()?, fields.next()?);
        let (flags, name) = (fields.nth(6)?, fields.next()?);
        let is_default = destination.iter().all(|byte| *byte == b'0') && prefix == b"00";
        (is_default && is_up(flags) && name != b"lo").then_some(name)
    })
}

/// `RTF_UP`, the lowest bit of the hexadecimal flags.
fn is_up(flags: &[u8]) -> bool {
    let digit = flags.last().and_then(|digit| char::from(*digit).to_digit(16));
    digit.is_some_and(|digit| digit & 1 == 1)
}

#[doc(hidden)]
pub fn fuzz_network(data: &[u8]) {
    let total = devices(data).fold(Traffic::default(), |total, device| total.and(device.traffic));
    assert!(total.and(total).sent_bytes >= total.sent_bytes);
    assert!(default_routes_v4(data).all(|name| !name.is_empty()));
    assert!(default_routes_v6(data).all(|name| name != b"lo"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &[u8] = b"Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0\n  \
        eth0: 23709315    1633    1    2    3     4          5         6   192699    1366    0    0    0     0       0          0\n\
        eth0:1:4294967296 7 0 0 0 0 0 0 8 9 0 0 0 0 0 0\n";

    #[test]
    fn each_device_has_its_counters() {
        let devices: Vec<_> = devices(DEV).collect();
        assert_eq!(
            devices.iter().map(|device| device.name).collect::<Vec<_>>(),
            [b"lo".as_slice(), b"eth0", b"eth0:1"]
        );
        assert_eq!(
            devices[1].traffic,
            Traffic {
                received_bytes: 23_709_315,
                received_packets: 1633,
                sent_bytes: 192_699,
                sent_packets: 1366
            }
        );
        assert_eq!(devices[2].traffic.received_bytes, 1 << 32);
    }

    #[test]
    fn the_default_route_is_the_one_to_everywhere() {
        let routes = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            eth2\t00000000\t010200C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(default_routes_v4(routes).collect::<Vec<_>>(), [b"eth0"]);
    }

    #[test]
    fn the_reject_route_of_loopback_is_not_a_default_route() {
        let zero = "00000000000000000000000000000000";
        let routes = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200201       lo\n"
        );
        assert_eq!(default_routes_v6(routes.as_bytes()).collect::<Vec<_>>(), [b"eth0"]);
    }
}
