//! Tokens that were taken back: durable in the control plane, looked up in memory.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use veritas_model::Timestamp;
use veritas_store::{ControlPlane, StoreError};

/// The revoked tokens. Reading takes a shared lock and no I/O.
pub struct Revocations {
    control: Arc<dyn ControlPlane>,
    /// By token identity: when the token expires anyway.
    revoked: RwLock<HashMap<String, Timestamp>>,
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocations").finish_non_exhaustive()
    }
}

impl Revocations {
    /// Reads what was revoked before. Blocks on the store.
    ///
    /// # Errors
    ///
    /// When the store cannot be read: better no start than a revoked token that works.
    pub fn load(control: Arc<dyn ControlPlane>) -> Result<Self, StoreError> {
        let revoked = control.revoked_tokens()?.into_iter().map(|token| (token.jti, token.expires_at));
        let revoked = RwLock::new(revoked.collect());
        Ok(Self { control, revoked })
    }

    /// Takes a token back: durable first, then in force. Blocks on the store.
    ///
    /// # Errors
    ///
    /// When it could not be stored; then it is not in force either.
    pub fn revoke(&self, jti: &str, expires_at: Timestamp, by: &str) -> Result<(), StoreError> {
        self.control.revoke_token(jti, expires_at, by)?;
        // Read back what is stored: what the store has pruned is forgotten here too.
        let stored = self.control.revoked_tokens();
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(stored) = stored {
            *revoked = stored.into_iter().map(|token| (token.jti, token.expires_at)).collect();
        }
        revoked.insert(jti.to_owned(), expires_at);
        Ok(())
    }

    /// Returns whether the token was taken back.
    pub fn contains(&self, jti: &str) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).contains_key(jti)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veritas_store::MemoryControlPlane;
    use veritas_testkit::VirtualClock;

    #[test]
    fn a_revocation_outlives_the_process() {
        let control: Arc<dyn ControlPlane> = Arc::new(MemoryControlPlane::new(Arc::new(VirtualClock::new())));
        let expires_at = Timestamp::from_seconds(1_900_000_000.0);
        let revocations = Revocations::load(control.clone()).unwrap();
        revocations.revoke("t1", expires_at, "root").unwrap();
        assert!(revocations.contains("t1"));
        let reloaded = Revocations::load(control).unwrap();
        assert!(reloaded.contains("t1"));
        assert!(!reloaded.contains("t2"));
    }
}
