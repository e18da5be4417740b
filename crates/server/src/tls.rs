//! The certificate of the service: reading it, checking it, and reading it again.
//!
//! TLS 1.2 and 1.3 by rustls, with the cryptography of `ring`. A certificate that is read again
//! serves the connections that come from then on; those that are open go on as they are. A
//! certificate and a key that do not belong together, or files that cannot be read, end the start
//! with an error; when they are read again, they are reported and the old ones stay.

use std::path::PathBuf;
use std::sync::Arc;

use nexusbase_io::user_file::read_text;
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// Where the certificate of the service is, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead from it to its authority, in that order, as PEM.
    pub certificate: PathBuf,
    /// The private key of the certificate (PKCS #8, SEC 1 or PKCS #1) as PEM, not encrypted.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] nexusbase_io::Error),
    /// The file of the certificate is no PEM, or has none in it.
    #[error(
        "{} should hold certificates as PEM (-----BEGIN CERTIFICATE-----): {reason}",
        file.display()
    )]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of the key is no PEM, or has none in it.
    #[error(
        "{} should hold a private key as PEM (-----BEGIN PRIVATE KEY-----), not encrypted: {reason}",
        file.display()
    )]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// They cannot be used together.
    #[error(
        "the certificate in {} and the key in {} cannot be used together: {reason}",
        files.certificate.display(),
        files.key.display()
    )]
    Pair {
        /// The files.
        files: TlsFiles,
        /// What does not fit.
        reason: String,
    },
}

/// The certificate that is in use.
#[derive(Clone, Debug)]
pub struct Certificates {
    files: TlsFiles,
    current: Arc<watch::Sender<Arc<ServerConfig>>>,
}

impl Certificates {
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = watch::Sender::new(read(&files)?);
        Ok(Self {
            files,
            current: Arc::new(current),
        })
    }

    /// Reads the files again, for the connections that come from now on.
    ///
    /// # Errors
    /// When they cannot be read or used. Then what was in use stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.send_replace(read(&self.files)?);
        Ok(())
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |reason: String| TlsError::Certificate {
        file: files.certificate.clone(),
        reason,
    };
    let text = read_text(&files.certificate)?;
    let chain = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| wrong(e.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("there is none in it".to_owned()));
    }
    let text = read_text(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| TlsError::Key {
        file: files.key.clone(),
        reason: e.to_string(),
    })?;
    let pair = |e: rustls::Error| TlsError::Pair {
        files: files.clone(),
        reason: e.to_string(),
    };
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
