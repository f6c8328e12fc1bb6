//! TLS with an engine: whom to trust, how to show who asks, and what a failure means.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};

/// The names of the files in a folder of certificates (`docker` command, "--tlscacert", "--tlscert", "--tlskey").
const AUTHORITY: &str = "ca.pem";
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
/// A machine that is gone says nothing any more; the kernel asks for it after this long without a word.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Why files of certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    /// It can't be read, or isn't PEM.
    #[error("{} can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// There is nothing in it.
    #[error("{} holds no certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// What it holds is not what it should be.
    #[error("{} can't be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The library doesn't take the settings.
    #[error("TLS can't be set up")]
    Setup(#[source] rustls::Error),
}

/// Connections to an engine that shows a certificate of the folder's authority, and that is shown the folder's own, where
/// it has one.
pub(super) fn connector(folder: &Path) -> Result<HttpsConnector<HttpConnector>, CertificateFileError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(KEEPALIVE));
    let builder = HttpsConnectorBuilder::new().with_tls_config(client_config(folder)?);
    Ok(builder.https_only().enable_http1().wrap_connector(http))
}

/// Whether the folder has something to show who asks.
pub(super) fn has_certificate(folder: &Path) -> bool {
    [CERTIFICATE, KEY].iter().any(|name| folder.join(name).exists())
}

fn client_config(folder: &Path) -> Result<ClientConfig, CertificateFileError> {
    let unusable = |name: &str| {
        let path = folder.join(name);
        move |source| CertificateFileError::Unusable { path, source }
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&folder.join(AUTHORITY))? {
        roots.add(authority).map_err(unusable(AUTHORITY))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(CertificateFileError::Setup)?
        .with_root_certificates(roots);
    if !has_certificate(folder) {
        return Ok(config.with_no_client_auth());
    }
    let path = folder.join(KEY);
    let key = PrivateKeyDer::from_pem_file(&path).map_err(|source| CertificateFileError::Read { path, source })?;
    let shown = certificates(&folder.join(CERTIFICATE))?;
    config.with_client_auth_cert(shown, key).map_err(unusable(KEY))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
    let failed = |source| CertificateFileError::Read {
        path: path.to_owned(),
        source,
    };
    // Its errors are clearer than those of the reader of PEM files.
    let text = fs::read(path).map_err(|error| failed(pem::Error::Io(error)))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(failed)?;
    if found.is_empty() {
        return Err(CertificateFileError::Empty { path: path.to_owned() });
    }
    Ok(found)
}

/// What a connection's failure means: in words, and what helps.
pub(super) fn meaning(error: Option<&rustls::Error>, folder: &Path) -> (String, String) {
    let place = folder.display();
    let own = put_into(folder, "a cert.pem and key.pem that the engine accepts");
    match error {
        Some(rustls::Error::InvalidCertificate(wrong)) => meaning_of_certificate(wrong, folder),
        Some(rustls::Error::InvalidMessage(_)) => (
            "what listens there doesn't speak TLS".to_owned(),
            "name the engine's port for TLS, which often is 2376; an engine without TLS: unset DOCKER_TLS_VERIFY"
                .to_owned(),
        ),
        // Where the engine doesn't accept who asks, its words are lost if it ends the connection quickly.
        Some(rustls::Error::AlertReceived(_)) | None if has_certificate(folder) => {
            (format!("it doesn't accept {place}/{CERTIFICATE}"), own)
        }
        Some(rustls::Error::AlertReceived(_)) | None => {
            (format!("it wants a certificate, and there is none in {place}"), own)
        }
        Some(other) => (other.to_string(), own),
    }
}

/// What is wrong with the certificate that the engine shows.
fn meaning_of_certificate(wrong: &CertificateError, folder: &Path) -> (String, String) {
    use CertificateError as Wrong;
    let is_stranger = matches!(wrong, Wrong::UnknownIssuer | Wrong::BadSignature);
    let is_other = matches!(wrong, Wrong::NotValidForName | Wrong::NotValidForNameContext { .. });
    if is_stranger {
        let authority = folder.join(AUTHORITY);
        (
            format!("its certificate is not of the authority in {}", authority.display()),
            put_into(folder, "the engine's ca.pem"),
        )
    } else if is_other {
        (
            "its certificate is for another name".to_owned(),
            "use a name or address that the engine's certificate is for: DOCKER_HOST=tcp://NAME:PORT".to_owned(),
        )
    } else {
        (
            format!("its certificate is not valid: {wrong}"),
            "renew the engine's certificate".to_owned(),
        )
    }
}

fn put_into(folder: &Path, what: &str) -> String {
    format!(
        "put {what} into {}, or name its folder: DOCKER_CERT_PATH=/some/folder",
        folder.display()
    )
}
