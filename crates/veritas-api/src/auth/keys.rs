//! Our own signing keys: Ed25519, created at the first start, never shown.
//!
//! The directory holds numbered files (`0001.json`, `0002.json`, …), each one
//! key. The one with the highest number signs; all of them verify, so that a
//! rotation does not log anyone out. To retire a key, delete its file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header,
    jwk::{AlgorithmParameters, Jwk},
};
use serde::{Deserialize, Serialize};
use veritas_model::{Clock, Timestamp};

use super::{Role, claims};

/// The longest life of a token that we issue.
pub const LONGEST_LIFE: Duration = Duration::from_hours(24 * 90);

const FORMAT: u32 = 1;
/// What stands before the 32 bytes of a private key in PKCS #8 (RFC 8410 §7).
const PKCS8_HEADER: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why the keys could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or the directory could not be used.
    #[error("failed to {step} {path:?}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the key.
    #[error("the key {path:?} can be read by others (mode {mode:o}); hint: chmod 600 it, and rotate it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key of a format that this release knows. It is left as it is.
    #[error("the key {path:?} is damaged or of an unknown format: {detail}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(String),
    /// The cryptographic library refused a key.
    #[error("failed to {step}")]
    Crypto {
        /// What was being done.
        step: &'static str,
        /// What the library said.
        source: jsonwebtoken::errors::Error,
    },
}

/// Why a token was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The subject is empty, longer than 255 bytes, or holds control characters.
    #[error("the subject must have 1 to 255 bytes and no control characters")]
    Subject,
    /// The life is zero or longer than [`LONGEST_LIFE`].
    #[error("the life of a token must be 1 s to 90 days")]
    Life,
    /// The key could not be used.
    #[error("failed to sign the token")]
    Sign(#[source] KeyError),
}

/// A token, freshly signed.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The token in its compact form. A secret.
    pub token: String,
    /// Its identity, by which it can be revoked.
    pub jti: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// One key pair.
struct SigningKey {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public: Jwk,
}

/// The keys that sign and verify our own tokens.
pub struct KeySet {
    /// Oldest first; never empty. The last one signs.
    keys: Vec<SigningKey>,
    issuer: Option<String>,
    audience: Option<String>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    algorithm: String,
    created_at: f64,
    /// The 32 secret bytes in hexadecimal.
    seed: String,
}

#[derive(Serialize)]
struct OwnClaims<'a> {
    sub: &'a str,
    role: &'a str,
    jti: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

impl KeySet {
    /// Reads the keys in `directory`, making the directory and a first key if
    /// there is none. Of two processes that start at once, one makes the key
    /// and both use it. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// Any [`KeyError`]; an unreadable or exposed key stops it rather than being left out.
    pub fn load_or_create(directory: &Path, clock: &dyn Clock) -> Result<Self, KeyError> {
        fs::create_dir_all(directory).map_err(io_error("create the directory", directory))?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
            .map_err(io_error("close the directory", directory))?;
        if numbered_files(directory)?.is_empty() {
            create(directory, 1, clock)?;
        }
        Self::load(directory)
    }

    /// Reads the keys in `directory`, which must hold one at least.
    ///
    /// # Errors
    ///
    /// Any [`KeyError`]; [`KeyError::Unreadable`] also when there is no key.
    pub fn load(directory: &Path) -> Result<Self, KeyError> {
        let keys: Vec<_> =
            numbered_files(directory)?.into_iter().map(|(_, path)| read(&path)).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::Unreadable { path: directory.to_owned(), detail: "no key in it".into() });
        }
        Ok(Self { keys, issuer: None, audience: None })
    }

    /// Makes a key that lives in this process only.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoRandomness`] and [`KeyError::Crypto`].
    pub fn ephemeral() -> Result<Self, KeyError> {
        Ok(Self { keys: vec![SigningKey::from_seed(&random::<32>()?)?], issuer: None, audience: None })
    }

    /// Returns the set that names these in the tokens it issues: what a
    /// verifier with the same [`TokenOptions`](super::TokenOptions) demands.
    pub fn naming(mut self, issuer: Option<String>, audience: Option<String>) -> Self {
        self.issuer = issuer;
        self.audience = audience;
        self
    }

    /// Makes a new key in `directory` that signs from now on; the others still verify.
    ///
    /// # Errors
    ///
    /// Any [`KeyError`].
    pub fn rotate(directory: &Path, clock: &dyn Clock) -> Result<Self, KeyError> {
        let next = numbered_files(directory)?.last().map_or(1, |(number, _)| number + 1);
        create(directory, next, clock)?;
        Self::load(directory)
    }

    /// Signs a token for `subject`.
    ///
    /// # Errors
    ///
    /// Any [`IssueError`].
    pub fn issue(
        &self,
        subject: &str,
        role: Role,
        life: Duration,
        clock: &dyn Clock,
    ) -> Result<IssuedToken, IssueError> {
        let subject = claims::name(subject).ok_or(IssueError::Subject)?;
        if !(Duration::from_secs(1)..=LONGEST_LIFE).contains(&life) {
            return Err(IssueError::Life);
        }
        let key = self.signer();
        let jti = hex(&random::<16>().map_err(IssueError::Sign)?);
        let issued_at = clock.now().nanos().div_euclid(1_000_000_000);
        let expires = issued_at.saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.kid.clone());
        let claims = OwnClaims {
            sub: &subject,
            role: role.as_str(),
            jti: &jti,
            iat: issued_at,
            exp: expires,
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        let token = jsonwebtoken::encode(&header, &claims, &key.encoding)
            .map_err(|source| IssueError::Sign(KeyError::Crypto { step: "sign", source }))?;
        Ok(IssuedToken {
            token,
            jti,
            expires_at: Timestamp::from_nanos(expires.saturating_mul(1_000_000_000)),
        })
    }

    /// Returns the public halves as a JWK set (RFC 7517 §5).
    pub fn public_keys(&self) -> serde_json::Value {
        let keys: Vec<_> = self.keys.iter().map(|key| &key.public).collect();
        serde_json::json!({ "keys": keys })
    }

    /// Returns each key's identity and public half.
    pub(super) fn verifying(&self) -> impl Iterator<Item = (&str, &DecodingKey)> {
        self.keys.iter().map(|key| (key.kid.as_str(), &key.decoding))
    }

    fn signer(&self) -> &SigningKey {
        self.keys.last().expect("a key set is never empty")
    }
}

impl SigningKey {
    fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let crypto = |step| move |source| KeyError::Crypto { step, source };
        let pkcs8: Vec<u8> = PKCS8_HEADER.iter().chain(seed).copied().collect();
        let encoding = EncodingKey::from_ed_der(&pkcs8);
        let mut public = Jwk::from_encoding_key(&encoding, Algorithm::EdDSA)
            .map_err(crypto("derive the public half of a key"))?;
        let decoding = DecodingKey::from_jwk(&public).map_err(crypto("read the public half of a key"))?;
        let AlgorithmParameters::OctetKeyPair(pair) = &public.algorithm else {
            return Err(crypto("derive an Ed25519 key")(
                jsonwebtoken::errors::ErrorKind::InvalidEddsaKey.into(),
            ));
        };
        let kid = hex(&digest(&SHA256, pair.x.as_bytes()).as_ref()[..8]);
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        Ok(Self { kid, encoding, decoding, public })
    }
}

fn numbered_files(directory: &Path) -> Result<Vec<(u32, PathBuf)>, KeyError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
        let path = entry.map_err(io_error("list", directory))?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".json"))
            .and_then(|stem| stem.parse().ok());
        if let Some(number) = number {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Writes a new key beside its final name and links it there: nobody ever sees
/// half a key, and of two that race the second finds the name taken.
fn create(directory: &Path, number: u32, clock: &dyn Clock) -> Result<(), KeyError> {
    let seed = random::<32>()?;
    let file = KeyFile {
        format: FORMAT,
        algorithm: "EdDSA".into(),
        created_at: clock.now().seconds(),
        seed: hex(&seed),
    };
    let text = serde_json::json!(file).to_string();
    let draft = directory.join(format!("draft-{}", hex(&random::<8>()?)));
    let path = directory.join(format!("{number:04}.json"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut open| open.write_all(text.as_bytes()).and_then(|()| open.sync_all()))
        .map_err(io_error("write", &draft))
        .and_then(|()| match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.map_err(io_error("name", &path)),
        });
    let removed = fs::remove_file(&draft).map_err(io_error("remove", &draft));
    written.and(removed)?;
    File::open(directory).and_then(|open| open.sync_all()).map_err(io_error("sync", directory))
}

fn read(path: &Path) -> Result<SigningKey, KeyError> {
    let mode = fs::metadata(path).map_err(io_error("look at", path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let unreadable = |detail: String| KeyError::Unreadable { path: path.to_owned(), detail };
    let text = fs::read(path).map_err(io_error("read", path))?;
    let file: KeyFile = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    if file.format != FORMAT || file.algorithm != "EdDSA" {
        return Err(unreadable(format!("format {} of {}", file.format, file.algorithm)));
    }
    let seed = unhex(&file.seed).ok_or_else(|| unreadable("the seed is not 32 bytes".into()))?;
    SigningKey::from_seed(&seed)
}

fn io_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { step, path, source }
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    (text.len() == 64 && text.is_ascii()).then_some(())?;
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use veritas_testkit::{VirtualClock, data_dir};

    #[test]
    fn a_key_is_made_once_and_closed_to_others() {
        let directory = data_dir();
        let clock = VirtualClock::new();
        let first = KeySet::load_or_create(directory.path(), &clock).unwrap();
        let second = KeySet::load_or_create(directory.path(), &clock).unwrap();
        assert_eq!(first.signer().kid, second.signer().kid);
        let path = directory.path().join("0001.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_rotated_set_signs_with_the_new_key_and_knows_the_old() {
        let directory = data_dir();
        let clock = VirtualClock::new();
        let old = KeySet::load_or_create(directory.path(), &clock).unwrap().signer().kid.clone();
        let rotated = KeySet::rotate(directory.path(), &clock).unwrap();
        assert_ne!(rotated.signer().kid, old);
        assert!(rotated.verifying().any(|(kid, _)| kid == old));
        assert_eq!(rotated.public_keys()["keys"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn an_exposed_or_damaged_key_is_refused_and_left_alone() {
        let directory = data_dir();
        let clock = VirtualClock::new();
        KeySet::load_or_create(directory.path(), &clock).unwrap();
        let path = directory.path().join("0001.json");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(KeySet::load(directory.path()), Err(KeyError::Exposed { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for damage in ["", "{}", "{\"format\":2}", "not json"] {
            fs::write(&path, damage).unwrap();
            let refused = KeySet::load_or_create(directory.path(), &clock);
            assert!(matches!(refused, Err(KeyError::Unreadable { .. })), "{damage}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damage);
        }
    }

    #[test]
    fn the_public_set_holds_no_secret() {
        let keys = KeySet::ephemeral().unwrap().public_keys();
        assert_eq!(keys["keys"][0]["kty"], "OKP");
        assert!(keys["keys"][0].get("d").is_none());
    }

    #[test]
    fn the_public_half_is_the_one_of_rfc_8032() {
        // RFC 8032 §7.1, test 1.
        let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SigningKey::from_seed(&seed).unwrap();
        let AlgorithmParameters::OctetKeyPair(pair) = key.public.algorithm else { panic!("not Ed25519") };
        assert_eq!(pair.x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    }

    #[test]
    fn a_token_has_a_bounded_life_and_a_printable_subject() {
        let keys = KeySet::ephemeral().unwrap();
        let clock = VirtualClock::new();
        let hour = Duration::from_hours(1);
        assert!(keys.issue("ann", Role::Viewer, hour, &clock).is_ok());
        assert!(matches!(keys.issue("", Role::Viewer, hour, &clock), Err(IssueError::Subject)));
        assert!(matches!(keys.issue("a\nb", Role::Viewer, hour, &clock), Err(IssueError::Subject)));
        assert!(matches!(keys.issue("a", Role::Viewer, Duration::ZERO, &clock), Err(IssueError::Life)));
        assert!(matches!(keys.issue("a", Role::Viewer, LONGEST_LIFE * 2, &clock), Err(IssueError::Life)));
    }
}
