//! Tiered caches on a cluster and behind sentinels: what holds on one server holds there,
//! and after a failover as well.

use veritas_redis::TieredCache;
use veritas_testkit::{RedisCluster, RedisSentinel, wait_for};

use crate::{
    nodes::{Node, load},
    scene::LONG,
};

fn list(addresses: &[std::net::SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Sets, reads, loads and deletes in one process and reads in the other, over keys of all nodes, fifty from `from` on.
fn share(mine: &TieredCache<String>, theirs: &TieredCache<String>, from: u32) {
    for key in from..from + 20 {
        assert_eq!(mine.set_blocking(&key, format!("old {key}")), Ok(()));
        assert_eq!(theirs.get_blocking(&key), Some(format!("old {key}")));
    }
    for key in from..from + 20 {
        assert_eq!(mine.set_blocking(&key, format!("new {key}")), Ok(()));
        assert_eq!(mine.get_blocking(&key), Some(format!("new {key}")));
        wait_for(LONG, || theirs.get_blocking(&key) == Some(format!("new {key}")));
    }
    for key in from + 20..from + 40 {
        assert_eq!(mine.get_or_load_blocking(&key, || load("loaded")).unwrap(), "loaded");
        assert_eq!(theirs.get_or_load_blocking(&key, || load("again")).unwrap(), "loaded");
    }
    let keys: Vec<u32> = (from + 30..from + 50).collect();
    let loaded = theirs.get_or_load_many_blocking(&keys, |missing| {
        assert_eq!(missing, (from + 40..from + 50).collect::<Vec<u32>>());
        Ok::<_, std::io::Error>(missing.iter().map(|_| Some("loaded".to_owned())).collect())
    });
    assert!(loaded.iter().all(|one| one.as_ref().unwrap().as_deref() == Some("loaded")));
    assert!(mine.get_many_blocking(&keys).iter().all(|one| *one == Ok(Some("loaded".to_owned()))));
    for key in from..from + 10 {
        assert_eq!(mine.delete_blocking(&key), Ok(true));
        assert_eq!(mine.get_blocking(&key), None);
        wait_for(LONG, || theirs.get_blocking(&key).is_none());
    }
    assert_eq!(mine.set_tagged_blocking(&(from + 10), "tagged".into(), &["tag"]), Ok(()));
    wait_for(LONG, || theirs.get_blocking(&(from + 10)).as_deref() == Some("tagged"));
    assert_eq!(theirs.invalidate_tag_blocking("tag"), Ok(()));
    wait_for(LONG, || mine.get_blocking(&(from + 10)).is_none());
}

/// Changes a key after a failover: what is read from then on is the new value or, where the
/// failover lost it, loaded anew; the old one never.
fn change(mine: &TieredCache<String>, theirs: &TieredCache<String>, key: u32) {
    wait_for(LONG, || mine.set_blocking(&key, "after".into()) == Ok(()));
    wait_for(LONG, || theirs.get_blocking(&key).as_deref() == Some("after"));
    for cache in [mine, theirs] {
        assert_eq!(cache.get_or_load_blocking(&key, || load("after")).unwrap(), "after");
    }
}

#[test]
fn tiered_caches_share_a_cluster_and_its_failover() {
    let cluster = RedisCluster::start_with_replicas();
    let url = format!("redis-cluster://{}", list(&cluster.addresses()));
    let (one, other) = (Node::new(&url), Node::new(&url));
    let (mine, theirs) = (one.texts("t"), other.texts("t"));
    share(&mine, &theirs, 0);
    for key in 100..130_u32 {
        assert_eq!(mine.set_blocking(&key, "before".into()), Ok(()));
        assert_eq!(theirs.get_blocking(&key).as_deref(), Some("before"));
    }
    let port = cluster.addresses()[0].port().to_string();
    let replica = (3..6).find(|index| cluster.node(*index).cli(&["ROLE"]).contains(&port));
    let generations = [&one, &other].map(|node| node.tiered.redis().generation());
    cluster.failover(replica.expect("node 0 has a replica"));
    for key in 100..130_u32 {
        change(&mine, &theirs, key);
    }
    for (node, generation) in [&one, &other].into_iter().zip(generations) {
        wait_for(LONG, || node.tiered.redis().is_coherent());
        assert!(node.tiered.redis().generation() > generation);
        assert_eq!(node.tiered.pending(), 0);
    }
}

#[test]
fn tiered_caches_with_a_hash_tag_are_on_one_node_of_a_cluster() {
    let cluster = RedisCluster::start();
    let url = format!("redis-cluster://{}", list(&cluster.addresses()));
    let (one, other) = (Node::new(&url), Node::new(&url));
    let open = |node: &Node| {
        let options = veritas_redis::TieredOptions { hash_tag: true, ..Default::default() };
        node.tiered.namespace::<String>("t", crate::nodes::exact(options))
    };
    let (mine, theirs) = (open(&one), open(&other));
    share(&mine, &theirs, 0);
    let filled = (0..3).filter(|node| cluster.node(*node).cli(&["DBSIZE"]).trim() != "0");
    assert_eq!(filled.count(), 1);
}

#[test]
fn tiered_caches_share_what_sentinels_watch_and_its_failover() {
    let servers = RedisSentinel::start();
    let url = format!("redis-sentinel://{}/{}", list(&servers.sentinels()), servers.name());
    let (one, other) = (Node::new(&url), Node::new(&url));
    let (mine, theirs) = (one.texts("t"), other.texts("t"));
    share(&mine, &theirs, 0);
    assert_eq!(mine.set_blocking(&100_u32, "before".into()), Ok(()));
    assert_eq!(theirs.get_blocking(&100_u32).as_deref(), Some("before"));
    let generations = [&one, &other].map(|node| node.tiered.redis().generation());
    servers.failover();
    // The old primary takes writes, which are lost then, until it is told that it is none:
    // by the sentinels after eight seconds or more. Nobody here stays with it that long,
    // though nobody writes.
    for (node, generation) in [&one, &other].into_iter().zip(generations) {
        wait_for(LONG, || node.tiered.redis().generation() > generation && node.tiered.redis().is_coherent());
    }
    for cache in [&mine, &theirs] {
        assert_eq!(cache.get_or_load_blocking(&100_u32, || load("before")).unwrap(), "before");
    }
    change(&mine, &theirs, 100);
    let primary = servers.server(servers.primary());
    assert!(primary.cli(&["DBSIZE"]).trim().parse::<u32>().unwrap() > 0);
    share(&mine, &theirs, 1_000);
}
