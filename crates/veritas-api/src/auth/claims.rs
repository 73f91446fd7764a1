//! Claims: what a verified payload must say before anyone believes it (RFC 7519 §4.1, RFC 8725 §3).

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use veritas_model::Timestamp;

use super::{AuthFailure, Identity, Role, token::TokenOptions};

/// The last second of the year 9999: a date beyond it is a mistake.
const LAST_DATE: f64 = 253_402_300_799.0;
/// Longest subject and token identity, in bytes.
const LONGEST_NAME: usize = 255;

/// An object whose keys occur once: a second `sub` is an attack on whoever reads only one of them.
#[derive(Debug)]
pub(super) struct Claims(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;

        impl<'de> Visitor<'de> for Unique {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose keys occur once")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(key, value).is_some() {
                        return Err(serde::de::Error::custom("a key occurs twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }

        deserializer.deserialize_map(Unique)
    }
}

/// Claims that passed, and for how long they hold.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub(super) identity: Identity,
    /// Unix seconds before which the token is not valid, leeway included.
    pub(super) valid_from: f64,
    /// Unix seconds at which it is no longer valid, leeway included.
    pub(super) valid_until: f64,
}

impl Accepted {
    /// Returns whether the token holds at `now`.
    pub(super) fn holds(&self, now: Timestamp) -> Result<(), AuthFailure> {
        let now = now.seconds();
        if now >= self.valid_until {
            Err(AuthFailure::Expired)
        } else if now < self.valid_from {
            Err(AuthFailure::Invalid("not valid yet"))
        } else {
            Ok(())
        }
    }
}

impl Claims {
    /// Checks everything but time and revocation.
    pub(super) fn accept(&self, options: &TokenOptions) -> Result<Accepted, AuthFailure> {
        let leeway = options.leeway.min(Duration::from_mins(1)).as_secs_f64();
        let expires_at = self.date("exp")?.ok_or(AuthFailure::Invalid("no exp"))?;
        let not_before = self.date("nbf")?;
        self.date("iat")?;
        if let Some(audience) = &options.audience {
            self.audience(audience)?;
        }
        if let Some(issuer) = &options.issuer {
            match self.0.get("iss") {
                Some(Value::String(named)) if named == issuer => {}
                Some(_) => return Err(AuthFailure::Invalid("another issuer")),
                None => return Err(AuthFailure::Invalid("no iss")),
            }
        }
        let jti = match self.0.get("jti") {
            None => None,
            Some(Value::String(jti)) => Some(name(jti).ok_or(AuthFailure::Invalid("jti out of bounds"))?),
            Some(_) => return Err(AuthFailure::Invalid("jti is not a string")),
        };
        Ok(Accepted {
            identity: Identity { subject: self.subject()?, role: self.role(&options.role_claim)?, jti },
            valid_from: not_before.map_or(f64::NEG_INFINITY, |date| date - leeway),
            valid_until: expires_at + leeway,
        })
    }

    /// Reads a `NumericDate`. A string, a negative or an absurd number is refused, never coerced.
    fn date(&self, claim: &str) -> Result<Option<f64>, AuthFailure> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_f64() {
                Some(seconds) if (0.0..=LAST_DATE).contains(&seconds) => Ok(Some(seconds)),
                _ => Err(AuthFailure::Invalid("a date is out of range")),
            },
            Some(_) => Err(AuthFailure::Invalid("a date is not a number")),
        }
    }

    /// Requires `wanted` in `aud`, which is a string or a flat list of strings.
    fn audience(&self, wanted: &str) -> Result<(), AuthFailure> {
        match self.0.get("aud") {
            None => Err(AuthFailure::Invalid("no aud")),
            Some(Value::String(named)) if named == wanted => Ok(()),
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => list
                .iter()
                .any(|named| named == wanted)
                .then_some(())
                .ok_or(AuthFailure::Invalid("another audience")),
            Some(_) => Err(AuthFailure::Invalid("another audience")),
        }
    }

    fn subject(&self) -> Result<String, AuthFailure> {
        match self.0.get("sub") {
            None => Err(AuthFailure::Invalid("no sub")),
            Some(Value::String(subject)) => name(subject).ok_or(AuthFailure::Invalid("sub out of bounds")),
            // RFC 7519 wants a string; many applications put their user's integer there.
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
            Some(_) => Err(AuthFailure::Invalid("sub is neither string nor integer")),
        }
    }

    /// Reads the role: none or an unknown word is the lowest, a list counts by its highest known word.
    fn role(&self, claim: &str) -> Result<Role, AuthFailure> {
        match self.0.get(claim) {
            None => Ok(Role::Viewer),
            Some(Value::String(word)) => Ok(Role::parse(word).unwrap_or_default()),
            Some(Value::Array(words)) if words.iter().all(Value::is_string) => {
                Ok(words.iter().filter_map(Value::as_str).filter_map(Role::parse).max().unwrap_or_default())
            }
            Some(_) => Err(AuthFailure::Invalid("the role is not a word")),
        }
    }
}

/// Accepts printable text of bounded length: it goes into logs, the ledger and the audit.
pub(super) fn name(text: &str) -> Option<String> {
    let fits = (1..=LONGEST_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &str, expected: Option<(&str, Role)>) {
        let options = TokenOptions::default();
        let accepted =
            serde_json::from_str::<Claims>(payload).ok().and_then(|claims| claims.accept(&options).ok());
        let seen =
            accepted.as_ref().map(|accepted| (accepted.identity.subject.as_str(), accepted.identity.role));
        assert_eq!(seen, expected, "{payload}");
    }

    #[test]
    fn a_role_is_never_more_than_what_is_written() {
        check(r#"{"sub":"a","exp":1}"#, Some(("a", Role::Viewer)));
        check(r#"{"sub":"a","exp":1,"role":"operator"}"#, Some(("a", Role::Operator)));
        check(r#"{"sub":"a","exp":1,"role":"root"}"#, Some(("a", Role::Viewer)));
        check(r#"{"sub":"a","exp":1,"role":"Admin"}"#, Some(("a", Role::Viewer)));
        check(r#"{"sub":"a","exp":1,"role":["x","admin"]}"#, Some(("a", Role::Admin)));
        check(r#"{"sub":"a","exp":1,"role":[["admin"]]}"#, None);
        check(r#"{"sub":"a","exp":1,"role":7}"#, None);
    }

    #[test]
    fn a_subject_is_a_string_or_an_integer() {
        check(r#"{"sub":123,"exp":1}"#, Some(("123", Role::Viewer)));
        check(r#"{"sub":1.5,"exp":1}"#, None);
        check(r#"{"sub":"","exp":1}"#, None);
        check(r#"{"sub":"a\nb","exp":1}"#, None);
        check(r#"{"sub":null,"exp":1}"#, None);
        check(r#"{"exp":1}"#, None);
        check(r#"{"sub":"a","sub":"b","exp":1}"#, None);
    }

    #[test]
    fn a_date_is_a_number_in_range() {
        for exp in ["-1", "1e300", "\"1\"", "null", "true", "[1]", "253402300800"] {
            check(&format!(r#"{{"sub":"a","exp":{exp}}}"#), None);
        }
        check(r#"{"sub":"a"}"#, None);
        check(r#"{"sub":"a","exp":1,"nbf":"0"}"#, None);
        check(r#"{"sub":"a","exp":1,"iat":-5}"#, None);
        check(r#"{"sub":"a","exp":1.5}"#, Some(("a", Role::Viewer)));
    }
}
