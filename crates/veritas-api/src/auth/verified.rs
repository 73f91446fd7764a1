//! The cache of verified tokens: checking an Ed25519 signature costs some
//! 50 µs, looking a digest up costs less than one.
//!
//! It holds only what was verified, so strangers cannot fill it; it stores
//! SHA-256 digests, so a memory dump holds no bearer tokens; and whoever asks
//! it still checks dates and revocation, so it never outlives either.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;

use super::claims::Accepted;

/// Tokens remembered.
const CAPACITY: usize = 4_096;

pub(super) type TokenDigest = [u8; 32];

/// Verified tokens by digest.
pub(super) struct VerifiedTokens(Cache<TokenDigest, Arc<Accepted>>);

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Digests a token.
    pub(super) fn digest(token: &str) -> TokenDigest {
        let mut bytes = TokenDigest::default();
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        bytes
    }

    pub(super) fn get(&self, digest: &TokenDigest) -> Option<Arc<Accepted>> {
        self.0.get(digest)
    }

    pub(super) fn insert(&self, digest: TokenDigest, accepted: Arc<Accepted>) {
        self.0.insert(digest, accepted);
    }

    pub(super) fn remove(&self, digest: &TokenDigest) {
        self.0.remove(digest);
    }
}
