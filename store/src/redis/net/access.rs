//! Our identity at Redis, and the servers that we take for it.

use std::fmt;

use redis::{ClientTlsConfig, TlsCertificates};

/// Our identity at Redis, and the servers that we take for it. What is not given here may be given by the store's URL.
///
/// It is made of secrets, so it shows nothing of them.
#[derive(Clone, Default)]
pub struct Access {
    /// The ACL user; Redis's `default` one without.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// The ACL user at the sentinels, which have users of their own.
    pub sentinel_user: Option<String>,
    /// The password at the sentinels.
    pub sentinel_password: Option<String>,
    /// The authorities whose certificates we take, in PEM. Without it, those that browsers take.
    pub ca_pem: Option<Vec<u8>>,
    /// The certificate that we show, where Redis asks for it.
    pub certificate: Option<Certificate>,
}

/// A client certificate.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate and those between it and its authority, in PEM.
    pub chain_pem: Vec<u8>,
    /// Its private key, in PEM.
    pub key_pem: Vec<u8>,
}

impl Access {
    /// Returns the certificates for TLS; `None` for nothing but the usual.
    pub(in crate::redis) fn certificates(&self) -> Option<TlsCertificates> {
        if self.ca_pem.is_none() && self.certificate.is_none() {
            return None;
        }
        let client_tls = self.certificate.as_ref().map(|ours| ClientTlsConfig {
            client_cert: ours.chain_pem.clone(),
            client_key: ours.key_pem.clone(),
        });
        Some(TlsCertificates {
            client_tls,
            root_cert: self.ca_pem.clone(),
        })
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(…)")
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(…)")
    }
}
