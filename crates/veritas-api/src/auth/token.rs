//! Bearer tokens: the one wrapper around the JWT library.
//!
//! The library accepts tokens without `aud` or `iss` even when it was told
//! which ones to expect, and does not look at `nbf` unless asked. So it only
//! checks the signature here; header, claims and time are checked by us, the
//! time on our clock.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{header, request::Parts};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use veritas_model::{Clock, Timestamp};

use super::{
    AuthFailure, Authenticator, Identity, KeySet, Revocations, RevokeError,
    claims::{Accepted, Claims},
    verified::VerifiedTokens,
};

/// The longest token that is looked at, in bytes.
pub const LONGEST_TOKEN: usize = 8 * 1024;
/// The shortest shared secret, in bytes (RFC 7518 §3.2: as long as the hash).
pub const SHORTEST_SECRET: usize = 32;

/// What a token must say besides being signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOptions {
    /// The audience that must be named; `None`: not looked at.
    pub audience: Option<String>,
    /// The issuer that must be named; `None`: not looked at.
    pub issuer: Option<String>,
    /// How far clocks may differ; at most 60 s count.
    pub leeway: Duration,
    /// The claim that holds the role. Without it, or with an unknown word in
    /// it, the caller is a viewer, the least there is.
    pub role_claim: String,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self { audience: None, issuer: None, leeway: Duration::from_secs(30), role_claim: "role".into() }
    }
}

/// Why no authenticator could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenSetupError {
    /// The shared secret is too short to be safe.
    #[error("the shared secret has {bytes} bytes; hint: use {SHORTEST_SECRET} random bytes or more")]
    SecretTooShort {
        /// Its length.
        bytes: usize,
    },
}

/// Accepts bearer tokens: our own (`EdDSA`) and, if configured, those that an
/// existing application signs with a shared secret (HS256).
///
/// Which key is tried is decided by the key's identity through a map and by
/// nothing else in the header; each key takes exactly one algorithm.
pub struct TokenAuthenticator {
    own: Option<KeySet>,
    by_kid: HashMap<String, (Algorithm, DecodingKey)>,
    /// For tokens without `kid`.
    shared: Option<DecodingKey>,
    options: TokenOptions,
    revocations: Arc<Revocations>,
    verified: VerifiedTokens,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for TokenAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAuthenticator").field("options", &self.options).finish_non_exhaustive()
    }
}

impl TokenAuthenticator {
    /// Accepts tokens signed with our own keys.
    pub fn own_keys(
        keys: KeySet,
        options: TokenOptions,
        revocations: Arc<Revocations>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let by_kid =
            keys.verifying().map(|(kid, key)| (kid.to_owned(), (Algorithm::EdDSA, key.clone()))).collect();
        let verified = VerifiedTokens::new();
        Self { own: Some(keys), by_kid, shared: None, options, revocations, verified, clock }
    }

    /// Accepts tokens signed with `secret` (HS256) and without `kid`.
    ///
    /// # Errors
    ///
    /// [`TokenSetupError::SecretTooShort`] below [`SHORTEST_SECRET`] bytes.
    pub fn shared_secret(
        secret: &[u8],
        options: TokenOptions,
        revocations: Arc<Revocations>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TokenSetupError> {
        let shared = Some(secret_key(secret)?);
        let verified = VerifiedTokens::new();
        Ok(Self { own: None, by_kid: HashMap::new(), shared, options, revocations, verified, clock })
    }

    /// Returns the authenticator that accepts tokens of the shared secret as well.
    ///
    /// # Errors
    ///
    /// [`TokenSetupError::SecretTooShort`] below [`SHORTEST_SECRET`] bytes.
    pub fn and_shared_secret(mut self, secret: &[u8]) -> Result<Self, TokenSetupError> {
        self.shared = Some(secret_key(secret)?);
        Ok(self)
    }

    /// Returns who a compact token belongs to.
    ///
    /// # Errors
    ///
    /// Any [`AuthFailure`] but [`AuthFailure::Missing`].
    pub fn verify(&self, token: &str) -> Result<Identity, AuthFailure> {
        if token.len() > LONGEST_TOKEN {
            return Err(AuthFailure::Invalid("too long"));
        }
        let digest = VerifiedTokens::digest(token);
        let now = self.clock.now();
        if let Some(accepted) = self.verified.get(&digest) {
            let standing = self.standing(&accepted, now);
            if standing.is_err() {
                self.verified.remove(&digest);
            }
            return standing.map(|()| accepted.identity.clone());
        }
        let accepted = self.check(token)?;
        self.standing(&accepted, now)?;
        let identity = accepted.identity.clone();
        self.verified.insert(digest, Arc::new(accepted));
        Ok(identity)
    }

    /// Checks header, signature and claims: what stays true of a token.
    fn check(&self, token: &str) -> Result<Accepted, AuthFailure> {
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| AuthFailure::Invalid("malformed header"))?;
        let (algorithm, key) = self.key_of(&header)?;
        let mut signature_only = Validation::new(algorithm);
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, key, &signature_only)
            .map_err(|_| AuthFailure::Invalid("bad signature or payload"))?;
        decoded.claims.accept(&self.options)
    }

    /// Chooses the key, and refuses every header that means more than "signed token".
    fn key_of(&self, header: &Header) -> Result<(Algorithm, &DecodingKey), AuthFailure> {
        // We understand no extension, so a critical one must be refused (RFC 7515 §4.1.11).
        // A content type means a nested token, the others an encrypted or compressed one.
        // Keys that the token brings along (jku, jwk, x5u, x5c) are not even read.
        if header.crit.is_some() || header.extras.inner().contains_key("b64") {
            return Err(AuthFailure::Invalid("critical extension"));
        }
        if header.cty.is_some() || header.enc.is_some() || header.zip.is_some() {
            return Err(AuthFailure::Invalid("nested, encrypted or compressed"));
        }
        if let Some(kind) = &header.typ {
            let known = ["jwt", "at+jwt", "application/at+jwt"];
            if !known.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
                return Err(AuthFailure::Invalid("another type of token"));
            }
        }
        let (algorithm, key) = match (&header.kid, &self.shared) {
            (Some(kid), _) => {
                let (algorithm, key) = self.by_kid.get(kid).ok_or(AuthFailure::Invalid("unknown key"))?;
                (*algorithm, key)
            }
            (None, Some(shared)) => (Algorithm::HS256, shared),
            (None, None) => return Err(AuthFailure::Invalid("no key named")),
        };
        if header.alg == algorithm {
            Ok((algorithm, key))
        } else {
            Err(AuthFailure::Invalid("another algorithm than the key's"))
        }
    }

    /// Checks what may change while a token lives.
    fn standing(&self, accepted: &Accepted, now: Timestamp) -> Result<(), AuthFailure> {
        accepted.holds(now)?;
        match &accepted.identity.jti {
            Some(jti) if self.revocations.contains(jti) => Err(AuthFailure::Revoked),
            _ => Ok(()),
        }
    }
}

impl Authenticator for TokenAuthenticator {
    fn authenticate(&self, request: &Parts) -> Result<Identity, AuthFailure> {
        self.verify(bearer(request)?)
    }

    fn revoke(&self, jti: &str, expires_at: Timestamp, by: &str) -> Result<(), RevokeError> {
        self.revocations
            .revoke(jti, expires_at, by)
            .map_err(|source| RevokeError::Store { jti: jti.to_owned(), source })
    }

    fn public_keys(&self) -> Option<serde_json::Value> {
        self.own.as_ref().map(KeySet::public_keys)
    }
}

/// Reads the bearer token. Another scheme is no token; two headers are an attack.
fn bearer(request: &Parts) -> Result<&str, AuthFailure> {
    let mut values = request.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthFailure::Missing)?;
    if values.next().is_some() {
        return Err(AuthFailure::Invalid("two authorization headers"));
    }
    let value = value.to_str().map_err(|_| AuthFailure::Invalid("not text"))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthFailure::Missing);
    }
    match token.trim_matches(' ') {
        "" => Err(AuthFailure::Missing),
        token => Ok(token),
    }
}

fn secret_key(secret: &[u8]) -> Result<DecodingKey, TokenSetupError> {
    if secret.len() < SHORTEST_SECRET {
        return Err(TokenSetupError::SecretTooShort { bytes: secret.len() });
    }
    Ok(DecodingKey::from_secret(secret))
}
