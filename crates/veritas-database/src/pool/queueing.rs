//! Queueing: how many of those who come must wait, by the number of servers (M/M/c).
//!
//! Erlang's formulas, as in Gross, Shortle, Thompson and Harris, "Fundamentals of Queueing
//! Theory" (2008), section 2.3; the correction of the mean wait for service times of any
//! distribution (M/G/c) is that of Lee and Longton (1959). Both assume that arrivals are
//! independent of each other (Poisson) and that service does not slow down with more servers.

/// More servers are never advised.
const MOST_SERVERS: u32 = 10_000;

/// Returns the share of arrivals that must wait (Erlang C), 0 to 1, for an offered load in
/// servers (arrivals per second times seconds of service). 1 when the load is all they can do.
pub(crate) fn wait_probability(servers: u32, load: f64) -> f64 {
    let utilization = load / f64::from(servers);
    if utilization >= 1.0 || servers == 0 {
        return 1.0;
    }
    if load <= 0.0 {
        return 0.0;
    }
    // Erlang B by its recurrence, which neither overflows nor cancels.
    let blocked = (1..=servers).fold(1.0, |blocked, server| {
        let offered = load * blocked;
        offered / (f64::from(server) + offered)
    });
    blocked / (1.0 - utilization * (1.0 - blocked))
}

/// Returns the mean wait in seconds, of all arrivals, for services of `service` seconds in the
/// mean, whose standard deviation is `variation` of the mean. Infinite when they cannot keep up.
pub(crate) fn mean_wait(servers: u32, load: f64, service: f64, variation: f64) -> f64 {
    let spare = f64::from(servers) - load;
    if spare <= 0.0 {
        return f64::INFINITY;
    }
    wait_probability(servers, load) * service / spare * (1.0 + variation * variation) / 2.0
}

/// Returns the smallest number of servers at which at most `share` of the arrivals wait.
pub(crate) fn servers_for(load: f64, share: f64) -> u32 {
    let mut servers = 1;
    while servers < MOST_SERVERS && wait_probability(servers, load) > share {
        servers += 1;
    }
    servers
}

/// Returns the load under which `share` of the arrivals wait for one of `servers`: what
/// arrivals that come in bursts amount to. Always less than `servers`.
pub(crate) fn load_with(servers: u32, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, f64::from(servers));
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if wait_probability(servers, middle) < share { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(servers: u32, load: f64, expected: f64) {
        let share = wait_probability(servers, load);
        assert!((share - expected).abs() < 5e-5, "{share}");
    }

    #[test]
    fn the_formula_agrees_with_published_tables() {
        // One server: its utilization.
        check(1, 0.3, 0.3);
        check(1, 0.95, 0.95);
        // Two servers: 2u² / (1 + u).
        check(2, 1.0, 1.0 / 3.0);
        // Erlang C tables.
        check(10, 5.0, 0.036_105);
        check(5, 4.0, 0.554_113);
        check(4, 2.0, 0.173_913);
        check(100, 90.0, 0.216_9);
        check(3, 3.0, 1.0);
        check(3, 0.0, 0.0);
        check(0, 1.0, 1.0);
    }

    #[test]
    fn the_number_of_servers_is_the_smallest() {
        for load in [0.1, 1.0, 4.2, 37.0, 400.0] {
            for share in [0.5, 0.05, 0.01] {
                let servers = servers_for(load, share);
                assert!(wait_probability(servers, load) <= share);
                assert!(servers == 1 || wait_probability(servers - 1, load) > share);
                let back = load_with(servers, wait_probability(servers, load));
                assert!((back - load).abs() < 1e-6 * load.max(1.0), "{back} {load}");
            }
        }
        assert_eq!(servers_for(f64::INFINITY, 0.01), MOST_SERVERS);
    }

    #[test]
    fn one_server_waits_as_pollaczek_and_khinchin_say() {
        // M/M/1 and M/D/1 with half a load: S·ρ/(1−ρ), and half of it.
        assert!((mean_wait(1, 0.5, 2.0, 1.0) - 2.0).abs() < 1e-12);
        assert!((mean_wait(1, 0.5, 2.0, 0.0) - 1.0).abs() < 1e-12);
        assert_eq!(mean_wait(2, 2.0, 1.0, 1.0), f64::INFINITY);
    }
}
