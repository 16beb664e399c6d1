//! Resume keys (S1, S3): the secret that only the client has, and the hashes that the store keeps.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A fresh resume key. Has no `Debug`, so that none can be logged by accident (H3).
pub(crate) struct Key(String);

impl Key {
    /// Draws 256 bits from the system's generator.
    pub(crate) fn draw() -> Self {
        let mut bytes = [0; 32];
        SysRng
            .try_fill_bytes(&mut bytes)
            .expect("the system's generator works once the system is up");
        Key(BASE64.encode(bytes))
    }

    /// Returns the hash that the store keeps of it.
    pub(crate) fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }

    /// Returns the text that the client gets.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// The SHA-256 of a key. Compares in constant time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of whatever a client calls its key.
    pub(crate) fn of(text: &str) -> Self {
        KeyHash(Sha256::digest(text).into())
    }
}

impl ConstantTimeEq for KeyHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for KeyHash {}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(D::Error::custom)?;
        let hash = bytes
            .try_into()
            .map_err(|_| D::Error::custom("a hash has 32 bytes"))?;
        Ok(KeyHash(hash))
    }
}

/// The keys that open a session: two at most (S3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// The one that was handed out last.
    newest: KeyHash,
    /// The one that the last resume was made with: the answer to that may have been lost, and then it is
    /// all that the client has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<KeyHash>,
}

impl Keys {
    /// The keys of a new session.
    pub(crate) fn new(newest: KeyHash) -> Self {
        Keys { newest, used: None }
    }

    /// True if this key works. Takes the same time whichever it is, or none (S4).
    pub(crate) fn open_to(&self, key: &KeyHash) -> bool {
        let used = self.used.unwrap_or(self.newest);
        (self.newest.ct_eq(key) | used.ct_eq(key)).into()
    }

    /// The key that was handed out last.
    pub(crate) fn newest(&self) -> &KeyHash {
        &self.newest
    }

    /// After a resume with `used`, which was answered with `newest`: all others are void.
    pub(crate) fn turn(&mut self, used: KeyHash, newest: KeyHash) {
        *self = Keys {
            newest,
            used: Some(used),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_a_key_has_256_bits_and_is_never_drawn_twice() {
        let (one, other) = (Key::draw(), Key::draw());
        assert_eq!(BASE64.decode(&one.0).unwrap().len(), 32);
        assert_ne!(one.0, other.0);
        assert_ne!(one.hash(), other.hash());
    }

    #[test]
    fn s3_two_keys_work_the_newest_and_the_last_used() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(KeyHash::of);
        let mut keys = Keys::new(a);
        let open = |keys: &Keys| [a, b, c, d].map(|key| keys.open_to(&key));
        assert_eq!(open(&keys), [true, false, false, false]);
        keys.turn(a, b);
        assert_eq!(open(&keys), [true, true, false, false]);
        // The answer with `b` was lost: the client comes with `a` once more.
        keys.turn(a, c);
        assert_eq!(open(&keys), [true, false, true, false]);
        keys.turn(c, d);
        assert_eq!(open(&keys), [false, false, true, true]);
    }
}
