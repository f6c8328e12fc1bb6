//! Whose certificates are trusted: the machine's authorities, or others in their place, and those of the user.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::AuthoritySettings;
use super::error::AuthorityError;

/// Where distributions keep the certificates of all authorities in one file.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
];

/// A TLS client that trusts them.
pub(super) fn client_config(settings: &AuthoritySettings) -> Result<ClientConfig, AuthorityError> {
    let mut roots = RootCertStore::empty();
    match &settings.instead {
        Some(file) => add_all(&mut roots, file)?,
        // A machine without any can still reach registries that need none.
        None => {
            if let Some(bundle) = BUNDLES.iter().map(Path::new).find(|path| path.is_file()) {
                // Among the machine's own there may be some that this library doesn't take.
                roots.add_parsable_certificates(read(bundle)?);
            }
        }
    }
    for file in &settings.extra {
        add_all(&mut roots, file)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(AuthorityError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn add_all(roots: &mut RootCertStore, file: &Path) -> Result<(), AuthorityError> {
    let certificates = read(file)?;
    if certificates.is_empty() {
        return Err(AuthorityError::Empty { path: file.to_owned() });
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|source| AuthorityError::Certificate {
            path: file.to_owned(),
            source,
        })?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    let failed = |source| AuthorityError::Read {
        path: file.to_owned(),
        source,
    };
    CertificateDer::pem_file_iter(file)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)
}
