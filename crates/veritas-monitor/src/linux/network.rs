//! Network: the traffic of the devices that lead off the machine.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use veritas_model::{Bytes, Monotonic};

use crate::{
    linux::{
        REFRESH,
        source::{Buffer, Source},
    },
    parse::network::{Traffic, default_routes_v4, default_routes_v6, devices},
    reading::{NetworkReading, series::count_to_f64},
};

/// `/proc/net/dev` and which of its devices count.
#[derive(Debug)]
pub(crate) struct Network {
    source: Source,
    routes_v4: Option<Source>,
    routes_v6: Option<Source>,
    /// The devices that count, by name.
    chosen: Vec<Vec<u8>>,
    /// How many devices there were when they were chosen.
    known: usize,
    chosen_at: Option<Monotonic>,
    last: Option<(Monotonic, Traffic)>,
}

impl Network {
    /// Opens the counters; `None` on a kernel without networking.
    pub(crate) fn open() -> Option<Self> {
        Some(Self {
            source: Source::records("/proc/net/dev").ok()?,
            routes_v4: Source::records("/proc/net/route").ok(),
            routes_v6: Source::records("/proc/net/ipv6_route").ok(),
            chosen: Vec::new(),
            known: 0,
            chosen_at: None,
            last: None,
        })
    }

    pub(crate) fn read(&mut self, buffer: &mut Buffer, now: Monotonic) -> Option<NetworkReading> {
        let is_due = self.chosen_at.is_none_or(|chosen_at| now.since(chosen_at) >= REFRESH);
        let known = devices(buffer.read(&self.source).ok()?).count();
        if is_due || known != self.known {
            self.choose(buffer, known);
            self.chosen_at = Some(now);
            buffer.read(&self.source).ok()?;
        }
        let mut is_any = false;
        let traffic = devices(buffer.filled())
            .filter(|device| self.chosen.iter().any(|name| name == device.name))
            .inspect(|_| is_any = true)
            .fold(Traffic::default(), |sum, device| sum.and(device.traffic));
        if !is_any {
            self.last = None;
            return None;
        }
        let rates = self.rates(now, &traffic);
        if self.last.is_none_or(|(last, _)| now > last) {
            self.last = Some((now, traffic));
        }
        Some(NetworkReading {
            bytes_sent: Bytes::new(traffic.sent_bytes),
            bytes_received: Bytes::new(traffic.received_bytes),
            packets_sent: traffic.sent_packets,
            packets_received: traffic.received_packets,
            bytes_sent_per_second: rates.map(|(sent, _)| sent),
            bytes_received_per_second: rates.map(|(_, received)| received),
        })
    }

    /// Returns bytes sent and received per second, unless no time passed or a
    /// counter went back: whether it wrapped or began anew cannot be known.
    fn rates(&self, now: Monotonic, traffic: &Traffic) -> Option<(f64, f64)> {
        let (last, before) = self.last.as_ref()?;
        let seconds = now.since(*last).as_secs_f64();
        let sent = traffic.sent_bytes.checked_sub(before.sent_bytes)?;
        let received = traffic.received_bytes.checked_sub(before.received_bytes)?;
        (seconds > 0.0).then(|| (count_to_f64(sent) / seconds, count_to_f64(received) / seconds))
    }

    fn choose(&mut self, buffer: &mut Buffer, known: usize) {
        let names: Vec<Vec<u8>> = devices(buffer.filled()).map(|device| device.name.to_vec()).collect();
        let mut routes: Vec<Vec<u8>> = Vec::new();
        if let Some(data) = self.routes_v4.as_ref().and_then(|source| buffer.read(source).ok()) {
            routes.extend(default_routes_v4(data).map(<[u8]>::to_vec));
        }
        if let Some(data) = self.routes_v6.as_ref().and_then(|source| buffer.read(source).ok()) {
            routes.extend(default_routes_v6(data).map(<[u8]>::to_vec));
        }
        let chosen = choose(names, &routes, |name| {
            Path::new("/sys/class/net").join(OsStr::from_bytes(name)).join("device").exists()
        });
        if chosen != self.chosen {
            // Sums over different devices have no rate between them.
            self.last = None;
            self.chosen = chosen;
        }
        self.known = known;
    }
}

/// Chooses the devices whose traffic leaves the machine, each byte counted
/// once: a bond, bridge, VLAN or tunnel sends through a physical device, whose
/// counters have it already. Without any (a container), those of the default
/// routes; without these, all but loopback.
fn choose(names: Vec<Vec<u8>>, routes: &[Vec<u8>], is_physical: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let candidates: Vec<_> = names.into_iter().filter(|name| name != b"lo").collect();
    let only = |wanted: &dyn Fn(&Vec<u8>) -> bool| -> Vec<Vec<u8>> {
        candidates.iter().filter(|name| wanted(name)).cloned().collect()
    };
    let physical = only(&|name| is_physical(name));
    if !physical.is_empty() {
        return physical;
    }
    let on_route = only(&|name| routes.contains(name));
    if on_route.is_empty() { candidates } else { on_route }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], routes: &[&str], physical: &[&str], expected: &[&str]) {
        let owned = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
        let chosen = choose(owned(names), &owned(routes), |name| {
            physical.iter().any(|other| other.as_bytes() == name)
        });
        assert_eq!(chosen, owned(expected));
    }

    #[test]
    fn a_byte_through_a_bond_is_counted_once() {
        check(&["lo", "eth0", "eth1", "bond0", "br0"], &["bond0"], &["eth0", "eth1"], &["eth0", "eth1"]);
    }

    #[test]
    fn a_container_counts_the_device_of_its_default_route() {
        check(&["lo", "eth0", "tunl0"], &["eth0"], &[], &["eth0"]);
    }

    #[test]
    fn without_a_default_route_all_but_loopback_count() {
        check(&["lo", "veth1", "veth2"], &[], &[], &["veth1", "veth2"]);
        check(&["lo"], &["lo"], &[], &[]);
    }

    #[test]
    fn a_counter_that_goes_back_has_no_rate() {
        let at = |seconds| Monotonic::from_origin(std::time::Duration::from_secs(seconds));
        let mut network = Network::open().expect("this kernel has networking");
        let traffic = |bytes| Traffic { sent_bytes: bytes, received_bytes: bytes, ..Traffic::default() };
        assert_eq!(network.rates(at(10), &traffic(500)), None);
        network.last = Some((at(10), traffic(500)));
        assert_eq!(network.rates(at(12), &traffic(700)), Some((100.0, 100.0)));
        assert_eq!(network.rates(at(12), &traffic(100)), None);
        assert_eq!(network.rates(at(10), &traffic(700)), None);
    }
}
