use std::{
    io,
    path::Path,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Whose certificates are believed where a gateway speaks TLS.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

/// A file cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// It cannot be read, or is not PEM.
    #[error("{0}: is it a certificate in PEM?")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// There is no certificate in it.
    #[error("there is no certificate in it; PEM is expected")]
    Empty,
    /// A certificate in it cannot be used.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

static PUBLIC: LazyLock<Trust> = LazyLock::new(|| Trust::of(public_roots()));

impl Default for Trust {
    /// The public authorities, as Mozilla knows them.
    fn default() -> Self {
        PUBLIC.clone()
    }
}

impl Trust {
    /// The authorities in this file, in PEM, besides the public ones.
    ///
    /// # Errors
    /// It cannot be read, or holds no certificate that can be used.
    pub fn with(file: &Path) -> Result<Self, TrustError> {
        let mut roots = public_roots();
        let public = roots.len();
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
        }
        if roots.len() == public {
            return Err(TrustError::Empty);
        }
        Ok(Trust::of(roots))
    }

    /// Begins to speak TLS with `HOST:PORT`, to which this is a connection.
    pub(crate) async fn connect<T>(&self, host: &str, connection: T) -> io::Result<TlsStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.0.clone());
        connector.connect(name, connection).await
    }

    fn of(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what every version of TLS needs")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Trust(Arc::new(config))
    }
}

fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}
