use jsonwebtoken::{
    Algorithm, DecodingKey, Header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

/// What tokens are checked with.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    /// Its name in a key set.
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why key material is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A secret that everybody knows.
    #[error("the secret is empty; HS256 wants {SECRET_BYTES_MIN} random bytes or more")]
    EmptySecret,
    /// No public key that is known here.
    #[error(
        "no public key in PEM of one of these kinds: RSA (RS256), EC P-256 (ES256), Ed25519 (EdDSA)"
    )]
    NotPem,
    /// No key set.
    #[error("no JWKS: {0}")]
    NotJwks(String),
    /// A key set without a key that can check tokens.
    #[error("the JWKS holds no key for HS256, RS256, ES256 or EdDSA")]
    EmptyJwks,
}

/// RFC 7518, 3.2: no shorter than the hash. What is shorter works, and is warned of.
const SECRET_BYTES_MIN: usize = 32;

impl Keys {
    /// HS256, with a secret. A newline at its end, as editors leave one, does not count.
    ///
    /// # Errors
    /// [`KeyError::EmptySecret`].
    pub fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        let secret = secret.strip_suffix(b"\n").unwrap_or(secret);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.is_empty() {
            return Err(KeyError::EmptySecret);
        }
        if secret.len() < SECRET_BYTES_MIN {
            let bytes = secret.len();
            tracing::warn!(
                bytes,
                "token secret is too short: use {SECRET_BYTES_MIN} random bytes or more"
            );
        }
        Ok(Keys::one(
            Algorithm::HS256,
            DecodingKey::from_secret(secret),
        ))
    }

    /// RS256, ES256 or EdDSA, with a public key in PEM: its kind decides.
    ///
    /// # Errors
    /// [`KeyError::NotPem`].
    pub fn pem(pem: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            return Ok(Keys::one(Algorithm::RS256, key));
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            const P256_POINT_BYTES: usize = 65;
            let point = key.try_get_as_bytes().map_or(0, <[u8]>::len);
            if point == P256_POINT_BYTES {
                return Ok(Keys::one(Algorithm::ES256, key));
            }
        }
        if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            return Ok(Keys::one(Algorithm::EdDSA, key));
        }
        Err(KeyError::NotPem)
    }

    /// A key set (RFC 7517). Keys of other kinds, or for other uses, are passed over.
    ///
    /// # Errors
    /// [`KeyError::NotJwks`], [`KeyError::EmptyJwks`].
    pub fn jwks(json: &[u8]) -> Result<Self, KeyError> {
        let set: JwkSet =
            serde_json::from_slice(json).map_err(|error| KeyError::NotJwks(error.to_string()))?;
        let keys: Vec<_> = set.keys.iter().filter_map(Key::from_jwk).collect();
        if keys.is_empty() {
            Err(KeyError::EmptyJwks)
        } else {
            Ok(Keys(keys))
        }
    }

    /// These keys, and others besides.
    #[must_use]
    pub fn and(mut self, others: Keys) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The keys that may have signed a token with this header, each with its own algorithm: a token
    /// never chooses how it is checked.
    pub(super) fn candidates(
        &self,
        header: &Header,
    ) -> impl Iterator<Item = (&DecodingKey, Algorithm)> {
        let may = move |key: &&Key| match (&header.kid, &key.id) {
            (Some(named), Some(id)) => named == id,
            _ => true,
        };
        self.0
            .iter()
            .filter(may)
            .map(|key| (&key.key, key.algorithm))
    }

    fn one(algorithm: Algorithm, key: DecodingKey) -> Self {
        Keys(vec![Key {
            id: None,
            algorithm,
            key,
        }])
    }
}

impl Key {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "jsonwebtoken may know more kinds"
    )]
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            _ => return None,
        };
        let named = jwk.common.key_algorithm.as_ref();
        let other = named.is_some_and(|named| named.to_string() != format!("{algorithm:?}"));
        let usage = jwk.common.public_key_use.as_ref();
        if other || usage.is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Key {
            id: jwk.common.key_id.clone(),
            algorithm,
            key,
        })
    }
}
