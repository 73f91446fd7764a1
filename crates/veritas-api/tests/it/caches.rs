//! The caches beyond the contract: namespaces, keys, emptying, advice, the server's view.

use std::time::Duration;

use http::Method;
use veritas_api::auth::Role;
use veritas_cache::server::{NodeReading, NotRead, ServerReading};
use veritas_model::Clock;

use crate::{
    client::{call, get},
    world::World,
};

#[tokio::test]
async fn the_caches_are_listed_with_their_options() {
    let world = World::busy();
    let router = world.router();
    let viewer = world.token(Role::Viewer);
    let listed = get(&router, "/cache/namespaces", &viewer).await.json();
    let content = &listed["namespaces"][0];
    assert_eq!(content["name"], "content");
    assert_eq!(content["options"]["bypass"], false);
    assert_eq!(content["options"]["ttl_seconds"], 300.0);
    assert_eq!(content["options"]["negative_ttl_seconds"], serde_json::Value::Null);
    let stats = get(&router, "/cache/stats", &viewer).await.json();
    assert_eq!(content["statistics"], stats["namespaces"]["content"]);
    assert!(listed["budget_bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn keys_are_walked_page_by_page_by_operators_only() {
    let world = World::idle();
    let cache = world.sources.caches.namespace::<String>("users").with_preview(|name| format!("name {name}"));
    for id in 0..25_u64 {
        cache.set(&("user", id), format!("Ada {id}"));
    }
    let router = world.router();
    let operator = world.token(Role::Operator);
    let viewer = world.token(Role::Viewer);
    let path = "/cache/keys?namespace=users&limit=10";
    assert_eq!(get(&router, path, &viewer).await.problem(403), "role_insufficient");
    let (mut seen, mut next) = (Vec::new(), None::<String>);
    loop {
        let path = next.map_or_else(|| path.to_owned(), |cursor| format!("{path}&cursor={cursor}"));
        let page = get(&router, &path, &operator).await.json();
        for key in page["keys"].as_array().unwrap() {
            assert_eq!(key["preview"], serde_json::Value::Null);
            seen.push(key["key"].as_str().unwrap().to_owned());
        }
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25, "{seen:?}");
    assert!(seen.iter().any(|key| key.contains("user") && key.contains('7')), "{seen:?}");

    let preview = format!("{path}&preview=true");
    assert_eq!(get(&router, &preview, &operator).await.problem(403), "role_insufficient");
    let shown = get(&router, &preview, &world.token(Role::Admin)).await.json();
    assert!(shown["keys"][0]["preview"].as_str().unwrap().starts_with("name Ada"));
    for (wrong, code, status) in [
        ("/cache/keys?namespace=nobody", "cache_unknown", 404),
        ("/cache/keys?namespace=users&cursor=%00%00", "cursor_unknown", 404),
        ("/cache/keys?namespace=users&limit=0", "parameter_invalid", 422),
        ("/cache/keys?namespace=users&tier=nowhere", "cache_unknown", 404),
        ("/cache/keys", "parameter_invalid", 422),
    ] {
        assert_eq!(get(&router, wrong, &operator).await.problem(status), code, "{wrong}");
    }
}

#[tokio::test]
async fn emptying_a_cache_is_an_audited_act_of_operators() {
    let world = World::idle();
    let cache = world.sources.caches.namespace::<u64>("counts");
    cache.set(&1, 7);
    let router = world.router();
    let path = "/cache/entries?namespace=counts";
    let refused = call(&router, Method::DELETE, path, &world.token(Role::Viewer)).await;
    assert_eq!(refused.problem(403), "role_insufficient");
    assert_eq!(cache.get(&1), Some(7));
    let operator = world.token(Role::Operator);
    assert_eq!(call(&router, Method::DELETE, path, &operator).await.status, 200);
    assert_eq!(cache.get(&1), None);
    let audit = world.sources.control.audit(10).unwrap();
    assert!(audit.iter().any(|entry| entry.action == "flush_cache" && entry.outcome == "ok"), "{audit:?}");
    let unknown = call(&router, Method::DELETE, "/cache/entries?namespace=x", &operator).await;
    assert_eq!(unknown.problem(404), "cache_unknown");
}

#[tokio::test]
async fn advice_tells_what_was_simulated() {
    let world = World::idle();
    let cache = world.sources.caches.namespace::<u64>("squares");
    for round in 0..40_u64 {
        for id in 0..50_u64 {
            cache.get_or_compute(&id, || id * id);
        }
        world.clock.advance(Duration::from_secs(1));
        if round % 5 == 0 {
            world.sources.cache_advisor.turn(world.clock.now());
        }
    }
    world.sources.cache_advisor.turn(world.clock.now());
    let router = world.router();
    let viewer = world.token(Role::Viewer);
    let advice = get(&router, "/cache/advice?namespace=squares", &viewer).await.json();
    let squares = &advice["namespaces"][0];
    assert_eq!((&squares["name"], &squares["provenance"]), (&"squares".into(), &"simulated".into()));
    assert!(squares["look_ups"].as_u64().unwrap() > 0, "{squares:#}");
    assert!(!squares["miss_ratio_curve"].as_array().unwrap().is_empty(), "{squares:#}");
    for point in squares["ttl_curve"].as_array().unwrap() {
        assert!(point["staleness"].is_null() && point["staleness_error_bound"].is_null(), "{point}");
        assert!(point["hit_ratio_error_bound"].is_number(), "{point}");
    }
    let unknown = get(&router, "/cache/advice?namespace=x", &viewer).await;
    assert_eq!(unknown.problem(404), "cache_unknown");
}

#[tokio::test]
async fn a_server_that_tells_nothing_says_why() {
    let world = World::idle();
    let router = world.router();
    let viewer = world.token(Role::Viewer);
    let before = get(&router, "/cache/server", &viewer).await.json();
    assert_eq!(before["reading"], serde_json::Value::Null);
    let why = NotRead::Unreachable { reason: "connection refused".to_owned() };
    let silent = NodeReading::missing("127.0.0.1:6379".to_owned(), world.clock.monotonic(), &why);
    world.sources.cache_server.publish(ServerReading {
        name: "redis".to_owned(),
        read_at: world.clock.now(),
        took: Duration::from_millis(3),
        nodes: vec![silent],
        left_off: 0,
    });
    let told = get(&router, "/cache/server", &viewer).await.json();
    let node = &told["reading"]["nodes"][0];
    assert_eq!(node["memory"], serde_json::Value::Null);
    assert!(node["not_read"]["memory"].as_str().unwrap().contains("refused"), "{node:#}");
}
