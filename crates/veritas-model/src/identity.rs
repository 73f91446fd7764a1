//! Identities that are the same in every process and after every restart.

use std::fmt;

/// Hashes bytes to 64 bits, the same on every machine and in every release
/// (FNV-1a, Fowler/Noll/Vo, with the final avalanche of `MurmurHash3`, since FNV
/// alone mixes its high bits badly).
pub const fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut index = 0;
    while index < bytes.len() {
        hash ^= bytes[index] as u64;
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// A statement without its literals, as a 64-bit hash of the normalized text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Fingerprints text that is already normalized.
    pub const fn of_normalized(text: &str) -> Self {
        Self(stable_hash(text.as_bytes()))
    }

    /// Wraps a stored fingerprint.
    pub const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the 64 bits.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Derives the identity from what makes the thing itself.
            pub fn derive(parts: &[&str]) -> Self {
                Self(format!(concat!($prefix, "-{:016x}"), stable_hash(parts.join("\u{1f}").as_bytes())))
            }

            /// Reads an identity, or `None` when `text` is not one.
            pub fn parse(text: &str) -> Option<Self> {
                let hex = text.strip_prefix(concat!($prefix, "-"))?;
                let is_hex = hex.len() == 16
                    && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
                is_hex.then(|| Self(text.to_owned()))
            }

            /// Returns the identity as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identity!(
    /// Identity of a finding: what is slow and why, so a finding seen again keeps it.
    FindingId, "f"
);
identity!(
    /// Identity of a proposal: its kind, target and plan.
    ProposalId, "p"
);
identity!(
    /// Identity of a change: its proposal and the time it was approved.
    ChangeId, "c"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_in_every_release() {
        // Stored on disk and shared between processes: these values are a format.
        assert_eq!(stable_hash(b""), 0xefd0_1f60_ba99_2926);
        assert_ne!(stable_hash(b"a"), stable_hash(b"b"));
    }

    #[test]
    fn an_identity_reads_what_it_writes_and_nothing_else() {
        let id = FindingId::derive(&["missing_index", "users"]);
        assert_eq!(FindingId::parse(id.as_str()), Some(id.clone()));
        for wrong in ["", "f-", "f-12", "p-0123456789abcdef", "f-0123456789ABCDEF", "f-0123456789abcdeg"] {
            assert_eq!(FindingId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(FindingId::derive(&["ab", "c"]), FindingId::derive(&["a", "bc"]));
    }
}
