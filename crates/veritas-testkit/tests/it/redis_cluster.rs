//! The Redis Cluster fixture.

use std::time::Duration;

use veritas_testkit::{Fault, RedisCluster, wait_for};

use crate::talk::Talk;

const PATIENCE: Duration = Duration::from_mins(1);

/// Asks the node `index` of `cluster` in the way that clients do.
fn ask(cluster: &RedisCluster, index: usize, command: &str) -> String {
    Talk::to(cluster.addresses()[index]).ask(command).expect("the node answers")
}

#[test]
fn all_slots_are_served_and_other_nodes_send_clients_on() {
    let cluster = RedisCluster::start();
    for key in ["a", "b", "c", "d", "e", "f"] {
        let slot = cluster.slot_of(key);
        let owner = cluster.owner_of(slot);
        assert_eq!(ask(&cluster, owner, &format!("SET {key} value")), "+OK");
        let moved = ask(&cluster, (owner + 1) % 3, &format!("GET {key}"));
        assert_eq!(moved, format!("-MOVED {slot} {}", cluster.addresses()[owner]));
    }
    assert_eq!(cluster.urls().len(), RedisCluster::PRIMARIES);
    assert_eq!(cluster.slot_of("{user}:1"), cluster.slot_of("{user}:2"));
}

#[test]
fn a_slot_moves_with_its_keys_and_asks_on_the_way() {
    let cluster = RedisCluster::start();
    let slot = cluster.slot_of("{t}");
    let (from, to) = (cluster.owner_of(slot), (cluster.owner_of(slot) + 1) % 3);
    for number in 0..250 {
        ask(&cluster, from, &format!("SET {{t}}{number} value"));
    }
    let moving = cluster.begin_move(slot, to);
    assert_eq!(ask(&cluster, from, "GET {t}7"), "value");
    let asked = format!("-ASK {slot} {}", cluster.addresses()[to]);
    assert_eq!(ask(&cluster, from, "GET {t}absent"), asked);
    moving.move_keys();
    assert_eq!(ask(&cluster, from, "GET {t}7"), asked);
    moving.finish();
    assert_eq!(cluster.owner_of(slot), to);
    assert_eq!(ask(&cluster, to, "GET {t}7"), "value");
    assert_eq!(ask(&cluster, from, "GET {t}7"), format!("-MOVED {slot} {}", cluster.addresses()[to]));
    cluster.move_slot(slot, from);
    assert_eq!(ask(&cluster, from, "GET {t}249"), "value");
}

#[test]
fn a_killed_node_is_missed_and_comes_back_empty_with_its_slots() {
    let cluster = RedisCluster::start();
    let slot = cluster.slot_of("key");
    let owner = cluster.owner_of(slot);
    ask(&cluster, owner, "SET key value");
    cluster.kill(owner);
    wait_for(PATIENCE, || ask(&cluster, (owner + 1) % 3, "GET key").starts_with("-CLUSTERDOWN"));
    cluster.restart(owner);
    assert_eq!(cluster.owner_of(slot), owner);
    assert_eq!(ask(&cluster, owner, "EXISTS key"), ":0");
}

#[test]
fn a_replica_takes_over() {
    let cluster = RedisCluster::start_with_replicas();
    let slot = cluster.slot_of("key");
    let (owner, replica) = (cluster.owner_of(slot), cluster.owner_of(slot) + 3);
    ask(&cluster, owner, "SET key value");
    cluster.failover(replica);
    assert_eq!(cluster.owner_of(slot), replica);
    assert_eq!(ask(&cluster, replica, "GET key"), "value");
    let moved = format!("-MOVED {slot} {}", cluster.addresses()[replica]);
    assert_eq!(ask(&cluster, owner, "GET key"), moved);
}

#[test]
fn clients_that_follow_redirections_stay_behind_the_proxies() {
    let cluster = RedisCluster::start_behind_proxies();
    let slot = cluster.slot_of("key");
    let owner = cluster.owner_of(slot);
    let moved = ask(&cluster, (owner + 1) % 3, "GET key");
    assert_eq!(moved, format!("-MOVED {slot} {}", cluster.proxy(owner).address()));
    cluster.proxy(owner).set(Fault::BlackHole);
    let mut swallowed = Talk::to(cluster.addresses()[owner]).patient(Duration::from_millis(50));
    assert!(swallowed.ask("PING").is_err());
    wait_for(PATIENCE, || cluster.proxy(owner).bytes_lost() == 6);
    cluster.wait_until_ok();
}
