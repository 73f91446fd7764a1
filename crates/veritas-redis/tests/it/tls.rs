//! TLS: the same tier over an encrypted connection, and none over one that cannot be trusted.

use std::{fs, path::Path, process::Command, sync::Arc};

use veritas_model::{Condition, SystemClock};
use veritas_redis::{Certificates, RedisOptions, RedisTier, TierError};
use veritas_testkit::{Redis, TempDir, data_dir, wait_for};

use crate::scene::{LONG, connected, entry, options};

/// A directory with an authority, and keys and certificates of a server and a client, made by `openssl`.
fn certificates() -> TempDir {
    let directory = data_dir();
    let run = |program: &str, arguments: &str| {
        let output = Command::new(program).args(arguments.split(' ')).current_dir(directory.path()).output();
        let output = output.unwrap_or_else(|_| panic!("{program} is not installed; run cargo xtask setup"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run("openssl", &format!("req -x509 {key} -days 2 -keyout ca.key -out ca.pem -subj /CN=authority"));
    fs::write(directory.path().join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    for name in ["server", "client"] {
        run("openssl", &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        let signed = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names";
        run("openssl", &format!("x509 -req -in {name}.csr {signed} -out {name}.pem"));
    }
    // The server runs as another user.
    run("chmod", "-R a+rX .");
    directory
}

fn start(directory: &Path, asks: &str) -> (Redis, String) {
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    // The port is free now; a test that loses it to another fails loudly.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let (certificate, key, root) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let own = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let others = ["--tls-ca-cert-file", &root, "--tls-auth-clients", asks];
    let redis = Redis::start_with(&[&own[..], &others].concat());
    (redis, format!("rediss://localhost:{port}"))
}

fn read(directory: &Path, name: &str) -> Vec<u8> {
    fs::read(directory.join(name)).unwrap()
}

#[test]
fn a_server_with_a_trusted_certificate_is_used() {
    let directory = certificates();
    let (_redis, url) = start(directory.path(), "yes");
    let client = (read(directory.path(), "client.pem"), read(directory.path(), "client.key"));
    let certificates = Certificates { root: Some(read(directory.path(), "ca.pem")), client: Some(client) };
    let tier = connected(options(&url).with_certificates(&certificates).unwrap());
    assert!(tier.is_coherent());
    assert_eq!(tier.set_blocking(entry("veritas:a", "v")), Ok(()));
    assert_eq!(tier.get_blocking(b"veritas:a"), Ok(Some(b"v".to_vec())));
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_used() {
    let directory = certificates();
    let (_redis, url) = start(directory.path(), "no");
    let tier = RedisTier::connect(options(&url), Arc::new(SystemClock::new())).unwrap();
    // A busy machine may take longer over a first attempt than it is given.
    wait_for(LONG, || {
        let refused = tier.get_blocking(b"veritas:a").is_err();
        assert!(refused, "nobody vouches for it");
        matches!(tier.condition(), Condition::Degraded(reason) if reason.contains("certificate"))
    });
    wait_for(LONG, || tier.get_blocking(b"veritas:a") == Err(TierError::Unavailable));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let rubbish = Certificates { root: Some(b"-----BEGIN CERTIFICATE-----\nx\n".to_vec()), client: None };
    let options = RedisOptions::parse("rediss://user:secret@localhost").unwrap();
    let error = options.with_certificates(&rubbish).unwrap_err().to_string();
    assert!(error.contains("certificates are not valid") && !error.contains("secret"), "{error}");
}
