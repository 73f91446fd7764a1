//! Who asks: roles, identities, and the one trait that yields them.
//!
//! There is no anonymous form. [`TokenAuthenticator`] accepts bearer tokens
//! signed with our own keys ([`keys::KeySet`]) or with a secret that an
//! existing application shares; an embedder may bring its own
//! [`Authenticator`]. External key sets and `OpenID` Connect are not supported yet.

pub mod keys;
pub mod revocation;
pub mod token;

mod claims;
mod verified;

use http::request::Parts;
use veritas_model::Timestamp;

pub use keys::KeySet;
pub use revocation::Revocations;
pub use token::{TokenAuthenticator, TokenOptions};

/// What a caller may do. Each role may do what the ones below it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Role {
    /// Reads.
    #[default]
    Viewer,
    /// Clears statistics; approves, dismisses and reverts; looks at other processes.
    Operator,
    /// Changes alert rules, revokes tokens, reads the audit log.
    Admin,
}

impl Role {
    /// Every role, lowest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Returns the word of the role claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// A caller that proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The subject, as text also where the token gave an integer.
    pub subject: String,
    /// What it may do.
    pub role: Role,
    /// The token's identity, when it has one: tokens without cannot be revoked.
    pub jti: Option<String>,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// The request carries no credentials: no failed log-in.
    #[error("no credentials")]
    Missing,
    /// The credentials are not accepted; why is not told to the caller.
    #[error("credentials not accepted: {0}")]
    Invalid(&'static str),
    /// They were good once.
    #[error("credentials expired")]
    Expired,
    /// They were taken back.
    #[error("credentials revoked")]
    Revoked,
}

/// Why a token could not be revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// This authenticator does not issue or track tokens.
    #[error("this authenticator does not revoke tokens")]
    Unsupported,
    /// The revocation could not be made durable, so it was not made.
    #[error("failed to store the revocation of {jti:?}")]
    Store {
        /// The token's identity.
        jti: String,
        /// What the store said.
        source: veritas_store::StoreError,
    },
}

/// Yields who asks. Called once for each request, on the executor: it must not block.
pub trait Authenticator: Send + Sync + 'static {
    /// Returns the identity that the request proves.
    ///
    /// # Errors
    ///
    /// Says why there is none. [`AuthFailure::Missing`] is no failed log-in.
    fn authenticate(&self, request: &Parts) -> Result<Identity, AuthFailure>;

    /// Takes a token back, durably, before returning. May block.
    ///
    /// # Errors
    ///
    /// [`RevokeError::Unsupported`] unless the authenticator overrides this.
    fn revoke(&self, jti: &str, expires_at: Timestamp, by: &str) -> Result<(), RevokeError> {
        let _ = (jti, expires_at, by);
        Err(RevokeError::Unsupported)
    }

    /// Returns the public keys as a JWK set, if tokens are signed with keys that have a public half.
    fn public_keys(&self) -> Option<serde_json::Value> {
        None
    }
}
