//! Tokens that must not be accepted (RFC 8725 and worse), and those that must.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use veritas_api::auth::{
    AuthFailure, Authenticator, KeySet, Revocations, Role, TokenAuthenticator, TokenOptions,
    token::TokenSetupError,
};
use veritas_model::{Clock, Timestamp};
use veritas_store::MemoryControlPlane;
use veritas_testkit::{VirtualClock, data_dir};

use crate::world::World;

const NOW: i64 = 1_672_531_200;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// Signs any header and any payload with a key of ours, well-formed or not.
pub(crate) struct Forge {
    seed_pkcs8: Vec<u8>,
    kid: String,
    public: String,
}

impl Forge {
    fn new(directory: &std::path::Path) -> Self {
        let file: Value =
            serde_json::from_slice(&std::fs::read(directory.join("0001.json")).unwrap()).unwrap();
        let seed = file["seed"].as_str().unwrap();
        let mut seed_pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        seed_pkcs8
            .extend((0..32).map(|index| u8::from_str_radix(&seed[2 * index..2 * index + 2], 16).unwrap()));
        let public = KeySet::load(directory).unwrap().public_keys();
        let word = |key: &str| public["keys"][0][key].as_str().unwrap().to_owned();
        Self { seed_pkcs8, kid: word("kid"), public: word("x") }
    }

    fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", part(header), part(payload));
        let key = EncodingKey::from_ed_der(&self.seed_pkcs8);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }

    fn header(&self) -> String {
        json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid}).to_string()
    }

    /// A token of ours with this payload.
    fn claims(&self, payload: &str) -> String {
        self.sign(&self.header(), payload)
    }

    /// A token of ours with these headers besides.
    fn headers(&self, more: &Value) -> String {
        let mut header: Value = serde_json::from_str(&self.header()).unwrap();
        header.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        self.sign(&header.to_string(), &good())
    }

    fn hmac(secret: &[u8], header: &Header) -> String {
        let payload: Value = serde_json::from_str(&good()).unwrap();
        encode(header, &payload, &EncodingKey::from_secret(secret)).unwrap()
    }
}

fn good() -> String {
    json!({"sub": "ann", "role": "admin", "exp": NOW + 3600, "jti": "t1"}).to_string()
}

/// Every kind of token that must not be accepted, by name.
#[expect(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn bad_tokens(forge: &Forge) -> Vec<(&'static str, String)> {
    let token = forge.claims(&good());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let with = |claims: Value| {
        let mut payload: Value = serde_json::from_str(&good()).unwrap();
        payload.as_object_mut().unwrap().append(&mut claims.as_object().unwrap().clone());
        forge.claims(&payload.to_string())
    };
    let without = |claim: &str| {
        let mut payload: Value = serde_json::from_str(&good()).unwrap();
        payload.as_object_mut().unwrap().remove(claim);
        forge.claims(&payload.to_string())
    };
    let mut confused = Header::new(Algorithm::HS256);
    confused.kid = Some(forge.kid.clone());
    let raw_public = URL_SAFE_NO_PAD.decode(&forge.public).unwrap();
    let none =
        |alg: &str| format!("{}.{payload}.", part(&format!(r#"{{"alg":"{alg}","kid":"{}"}}"#, forge.kid)));
    let stranger = data_dir();
    KeySet::load_or_create(stranger.path(), &VirtualClock::new()).unwrap();
    let stranger = Forge::new(stranger.path());
    let mut wrong_end = signature.as_bytes().to_vec();
    wrong_end[10] = if wrong_end[10] == b'A' { b'B' } else { b'A' };
    let wrong_end = String::from_utf8(wrong_end).unwrap();
    let deep = format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000));
    vec![
        ("garbage", "garbage".into()),
        ("only dots", "..".into()),
        ("four parts", format!("{token}.x")),
        ("two parts", message.to_owned()),
        ("not base64", "a!b.c?d.e*f".into()),
        ("padded base64", format!("{header}=.{payload}.{signature}")),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg nOnE", none("nOnE")),
        ("alg none with a signature", format!("{}{signature}", none("none"))),
        ("no signature", format!("{message}.")),
        ("another signature", format!("{message}.{wrong_end}")),
        ("a longer signature", format!("{token}AAAA")),
        ("another payload", format!("{header}.{}.{signature}", part(&good().replace("ann", "bob")))),
        ("public key as HMAC secret, raw", Forge::hmac(&raw_public, &confused)),
        ("public key as HMAC secret, encoded", Forge::hmac(forge.public.as_bytes(), &confused)),
        ("HS256 without kid, no secret configured", Forge::hmac(SECRET, &Header::new(Algorithm::HS256))),
        ("empty HMAC secret", Forge::hmac(b"", &confused)),
        ("key of a stranger", stranger.claims(&good())),
        ("key of a stranger under our kid", stranger.sign(&forge.header(), &good())),
        ("kid is a path", forge.headers(&json!({"kid": "../../../../dev/null"}))),
        ("kid is a file", forge.headers(&json!({"kid": "0001.json"}))),
        ("kid is SQL", forge.headers(&json!({"kid": "x' UNION SELECT 'AA"}))),
        ("kid is a number", forge.headers(&json!({"kid": 1}))),
        ("kid is empty", forge.headers(&json!({"kid": ""}))),
        ("no kid", forge.sign(r#"{"alg":"EdDSA"}"#, &good())),
        ("no alg", forge.sign(&format!(r#"{{"kid":"{}"}}"#, forge.kid), &good())),
        (
            "two algs",
            forge.sign(&format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{}"}}"#, forge.kid), &good()),
        ),
        ("RS256", forge.headers(&json!({"alg": "RS256"}))),
        ("another type", forge.headers(&json!({"typ": "dpop+jwt"}))),
        ("nested", forge.headers(&json!({"cty": "JWT"}))),
        ("critical extension", forge.headers(&json!({"crit": ["exp"]}))),
        ("empty crit", forge.headers(&json!({"crit": []}))),
        ("unencoded payload", forge.headers(&json!({"b64": false}))),
        ("encrypted", forge.headers(&json!({"enc": "A128GCM"}))),
        ("compressed", forge.headers(&json!({"zip": "DEF"}))),
        (
            "brings its own key",
            stranger.sign(
                &json!({"alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": stranger.public}})
                    .to_string(),
                &good(),
            ),
        ),
        (
            "names its own key set",
            stranger.sign(
                &json!({"alg": "EdDSA", "kid": stranger.kid, "jku": "http://127.0.0.1:1/jwks"}).to_string(),
                &good(),
            ),
        ),
        ("header is a list", forge.sign("[]", &good())),
        ("payload is a list", forge.claims("[]")),
        ("payload is no JSON", forge.claims("{")),
        ("payload is empty", forge.claims("")),
        ("payload is deep", forge.claims(&format!(r#"{{"sub":"a","exp":{},"x":{deep}}}"#, NOW + 60))),
        ("expired", with(json!({"exp": NOW - 31}))),
        ("expired at the epoch", with(json!({"exp": 0}))),
        ("no exp", without("exp")),
        ("exp is a string", with(json!({"exp": (NOW + 60).to_string()}))),
        ("exp is null", with(json!({"exp": null}))),
        ("exp is negative", with(json!({"exp": -1}))),
        ("exp is huge", with(json!({"exp": 1e300}))),
        ("exp is an object", with(json!({"exp": {"$gt": 0}}))),
        ("exp is a list", with(json!({"exp": [NOW + 60]}))),
        ("exp overflows", forge.claims(&format!(r#"{{"sub":"a","exp":{}}}"#, "9".repeat(400)))),
        ("not valid yet", with(json!({"nbf": NOW + 31}))),
        ("nbf is a string", with(json!({"nbf": "0"}))),
        ("iat is negative", with(json!({"iat": -5}))),
        ("no sub", without("sub")),
        ("sub is empty", with(json!({"sub": ""}))),
        ("sub is an object", with(json!({"sub": {}}))),
        ("sub is a fraction", with(json!({"sub": 1.5}))),
        ("sub has a line break", with(json!({"sub": "ann\nadmin"}))),
        ("sub is long", with(json!({"sub": "a".repeat(256)}))),
        ("two subs", forge.claims(&format!(r#"{{"sub":"ann","sub":"root","exp":{}}}"#, NOW + 60))),
        ("two exps", forge.claims(&format!(r#"{{"sub":"ann","exp":1,"exp":{}}}"#, NOW + 60))),
        ("jti is a number", with(json!({"jti": 7}))),
        ("role is a number", with(json!({"role": 7}))),
        ("role is nested", with(json!({"role": [["admin"]]}))),
        ("too long", with(json!({"x": "a".repeat(9_000)}))),
    ]
}

/// The world whose keys the forge holds.
pub(crate) fn world_and_forge() -> (World, Forge) {
    let mut world = World::busy();
    let directory = data_dir();
    // The world has slept through thirty ticks: start again at the same second.
    world.clock.jump_wall(-30_000_000_000);
    world.keys = KeySet::load_or_create(directory.path(), &world.clock).unwrap();
    let revocations = Arc::new(Revocations::load(world.sources.control.clone()).unwrap());
    let keys = KeySet::load(directory.path()).unwrap();
    let clock = Arc::new(world.clock.clone());
    let options = TokenOptions::default();
    world.authenticator = Arc::new(TokenAuthenticator::own_keys(keys, options, revocations, clock));
    let forge = Forge::new(directory.path());
    (world, forge)
}

#[test]
fn no_bad_token_is_accepted_and_the_good_one_is() {
    let (world, forge) = world_and_forge();
    assert_eq!(world.authenticator.verify(&forge.claims(&good())).unwrap().role, Role::Admin);
    let tokens = bad_tokens(&forge);
    assert!(tokens.len() >= 30, "{}", tokens.len());
    for (name, token) in tokens {
        assert!(world.authenticator.verify(&token).is_err(), "{name} is accepted: {token}");
    }
}

#[track_caller]
fn check(options: TokenOptions, payload: &Value, accepted: bool) {
    let directory = data_dir();
    let clock = Arc::new(VirtualClock::new());
    let keys = KeySet::load_or_create(directory.path(), &*clock).unwrap();
    let forge = Forge::new(directory.path());
    let revocations = Revocations::load(Arc::new(MemoryControlPlane::new(clock.clone()))).unwrap();
    let authenticator = TokenAuthenticator::own_keys(keys, options, Arc::new(revocations), clock);
    let mut claims = json!({"sub": "ann", "exp": NOW + 60});
    claims.as_object_mut().unwrap().append(&mut payload.as_object().unwrap().clone());
    assert_eq!(authenticator.verify(&forge.claims(&claims.to_string())).is_ok(), accepted, "{payload}");
}

#[test]
fn audience_and_issuer_are_required_once_they_are_configured() {
    let audience = || TokenOptions { audience: Some("veritas".into()), ..TokenOptions::default() };
    check(audience(), &json!({}), false);
    check(audience(), &json!({"aud": "other"}), false);
    check(audience(), &json!({"aud": "veritas"}), true);
    check(audience(), &json!({"aud": ["other", "veritas"]}), true);
    check(audience(), &json!({"aud": [["veritas"]]}), false);
    check(audience(), &json!({"aud": ["veritas", {"x": 1}]}), false);
    check(audience(), &json!({"aud": null}), false);
    check(audience(), &json!({"aud": "VERITAS"}), false);
    let issuer = || TokenOptions { issuer: Some("https://id.example".into()), ..TokenOptions::default() };
    check(issuer(), &json!({}), false);
    check(issuer(), &json!({"iss": "https://id.example.evil"}), false);
    check(issuer(), &json!({"iss": ["https://id.example"]}), false);
    check(issuer(), &json!({"iss": "https://id.example"}), true);
    check(TokenOptions::default(), &json!({"aud": "anyone", "iss": "anything"}), true);
}

#[test]
fn the_role_comes_from_the_configured_claim() {
    let (world, _) = world_and_forge();
    drop(world);
    let options = TokenOptions { role_claim: "perf_role".into(), ..TokenOptions::default() };
    check(options, &json!({"role": 7, "perf_role": "operator"}), true);
}

#[test]
fn dates_have_a_leeway_of_a_minute_at_most() {
    check(TokenOptions::default(), &json!({"exp": NOW - 29}), true);
    check(TokenOptions::default(), &json!({"exp": NOW - 30}), false);
    check(TokenOptions::default(), &json!({"nbf": NOW + 30}), true);
    let endless = || TokenOptions { leeway: Duration::from_hours(24), ..TokenOptions::default() };
    check(endless(), &json!({"exp": NOW - 59}), true);
    check(endless(), &json!({"exp": NOW - 60}), false);
}

#[test]
fn a_remembered_token_dies_when_it_expires() {
    let world = World::idle();
    let token = world.token(Role::Viewer);
    for _ in 0..3 {
        assert!(world.authenticator.verify(&token).is_ok());
    }
    world.clock.advance(Duration::from_secs(3_629));
    assert!(world.authenticator.verify(&token).is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.authenticator.verify(&token), Err(AuthFailure::Expired));
    assert_eq!(world.authenticator.verify(&token), Err(AuthFailure::Expired));
}

#[test]
fn a_revoked_token_is_dead_at_once_remembered_or_not() {
    let world = World::idle();
    let issued = world.keys.issue("ann", Role::Admin, Duration::from_hours(1), &world.clock).unwrap();
    assert!(world.authenticator.verify(&issued.token).is_ok());
    world.authenticator.revoke(&issued.jti, issued.expires_at, "root").unwrap();
    assert_eq!(world.authenticator.verify(&issued.token), Err(AuthFailure::Revoked));
    assert!(world.authenticator.verify(&world.token(Role::Admin)).is_ok(), "others live on");
}

#[test]
fn a_shared_secret_accepts_the_tokens_of_the_application() {
    let clock = Arc::new(VirtualClock::new());
    let revocations = Arc::new(Revocations::load(Arc::new(MemoryControlPlane::new(clock.clone()))).unwrap());
    let options = TokenOptions::default();
    for short in [&b""[..], b"secret", &SECRET[..31]] {
        let refused =
            TokenAuthenticator::shared_secret(short, options.clone(), revocations.clone(), clock.clone());
        assert_eq!(refused.err(), Some(TokenSetupError::SecretTooShort { bytes: short.len() }));
    }
    let shared = TokenAuthenticator::shared_secret(SECRET, options, revocations, clock.clone()).unwrap();
    let sign = |secret: &[u8], alg| {
        let claims = json!({"sub": 123, "exp": NOW + 60});
        encode(&Header::new(alg), &claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let identity = shared.verify(&sign(SECRET, Algorithm::HS256)).unwrap();
    assert_eq!((identity.subject.as_str(), identity.role), ("123", Role::Viewer));
    assert!(shared.verify(&sign(b"another secret of at least 32 byte", Algorithm::HS256)).is_err());
    assert!(shared.verify(&sign(SECRET, Algorithm::HS384)).is_err(), "one algorithm for each key");
    assert!(shared.verify(&sign(SECRET, Algorithm::HS512)).is_err());
    let mut named = Header::new(Algorithm::HS256);
    named.kid = Some("unknown".into());
    let named = encode(&named, &json!({"sub": "a", "exp": NOW + 60}), &EncodingKey::from_secret(SECRET));
    assert!(shared.verify(&named.unwrap()).is_err());
    assert_eq!(shared.public_keys(), None);
    assert_eq!(clock.now(), Timestamp::from_seconds(1_672_531_200.0));
}

#[test]
fn credentials_are_one_bearer_token_in_one_header() {
    let world = World::idle();
    let token = world.token(Role::Viewer);
    let authenticate = |values: &[&str]| {
        let mut request = Request::builder();
        for value in values {
            request = request.header("authorization", *value);
        }
        world.authenticator.authenticate(&request.body(()).unwrap().into_parts().0)
    };
    assert!(authenticate(&[&format!("Bearer {token}")]).is_ok());
    assert!(authenticate(&[&format!("bEaReR   {token}  ")]).is_ok());
    assert_eq!(authenticate(&[]), Err(AuthFailure::Missing));
    assert_eq!(authenticate(&["Bearer"]), Err(AuthFailure::Missing));
    assert_eq!(authenticate(&["Bearer "]), Err(AuthFailure::Missing));
    assert_eq!(authenticate(&["Basic YTpi"]), Err(AuthFailure::Missing));
    assert_eq!(authenticate(&[&token]), Err(AuthFailure::Missing));
    let twice = format!("Bearer {token}");
    assert!(matches!(authenticate(&[&twice, &twice]), Err(AuthFailure::Invalid(_))));
    assert!(matches!(authenticate(&[&format!("Bearer {token},{token}")]), Err(AuthFailure::Invalid(_))));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in "\\PC{0,200}") {
        let world = World::idle();
        proptest::prop_assert!(world.authenticator.verify(&text).is_err());
        let dotted = format!("{}.{}.{}", part(&text), part(&text), part("x"));
        proptest::prop_assert!(world.authenticator.verify(&dotted).is_err());
    }
}
