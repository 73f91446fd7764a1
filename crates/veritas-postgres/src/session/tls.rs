//! Connecting and cancelling, encrypted or not.

use std::pin::Pin;

use tokio_postgres::{CancelToken, Client, Config, Error, NoTls, config::SslMode};

use super::drive;

/// How connections to one server are encrypted.
#[derive(Clone)]
pub(super) enum Encryption {
    /// Not at all.
    Plain,
    /// By TLS, whose certificates are checked.
    #[cfg(feature = "tls")]
    Tls(tokio_postgres_rustls::MakeRustlsConnect),
}

/// A connection, before anything drives it.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) driving: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What the server says its version is.
    pub(super) version: String,
}

macro_rules! connected {
    ($config:expr, $tls:expr) => {{
        let (client, connection) = $config.connect($tls).await?;
        let version = connection.parameter("server_version").unwrap_or_default().to_owned();
        Ok(Connected { client, driving: Box::pin(drive(connection)), version })
    }};
}

/// Connects. Where encryption is only preferred, a server whose certificate cannot be
/// checked is talked to in the clear, as with libpq.
pub(super) async fn connect(config: &Config, encryption: &Encryption) -> Result<Connected, Error> {
    match encryption {
        Encryption::Plain => connected!(config, NoTls),
        #[cfg(feature = "tls")]
        Encryption::Tls(tls) => {
            let encrypted: Result<Connected, Error> = async { connected!(config, tls.clone()) }.await;
            match encrypted {
                Err(error) if config.get_ssl_mode() == SslMode::Prefer && is_handshake(&error) => {
                    connected!(config, NoTls)
                }
                other => other,
            }
        }
    }
}

/// Asks the server to end what the connection of `token` is doing.
pub(super) async fn cancel(token: &CancelToken, encryption: &Encryption) -> Result<(), Error> {
    match encryption {
        Encryption::Plain => token.cancel_query(NoTls).await,
        #[cfg(feature = "tls")]
        Encryption::Tls(tls) => token.cancel_query(tls.clone()).await,
    }
}

/// Returns the encryption that `mode` asks for; `None` when this build has none and
/// it is demanded, or when the certificates in `roots` cannot be read.
#[cfg(not(feature = "tls"))]
pub(super) fn encryption(
    mode: SslMode,
    _roots: Option<&std::path::Path>,
) -> Result<Encryption, &'static str> {
    if mode == SslMode::Require {
        return Err("encryption is demanded, and this build has none (feature `tls`)");
    }
    Ok(Encryption::Plain)
}

/// Returns the encryption that `mode` asks for.
#[cfg(feature = "tls")]
pub(super) fn encryption(mode: SslMode, roots: Option<&std::path::Path>) -> Result<Encryption, &'static str> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};

    if mode == SslMode::Disable {
        return Ok(Encryption::Plain);
    }
    let mut trusted = rustls::RootCertStore::empty();
    match roots {
        None => trusted.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            const UNREADABLE: &str = "the file of root certificates cannot be read";
            for certificate in CertificateDer::pem_file_iter(path).map_err(|_| UNREADABLE)? {
                trusted.add(certificate.map_err(|_| UNREADABLE)?).map_err(|_| UNREADABLE)?;
            }
        }
    }
    // Named, not looked up: with more than one in a build, rustls would not choose.
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| "the versions of TLS are not supported")?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(Encryption::Tls(tokio_postgres_rustls::MakeRustlsConnect::new(client)))
}

/// Tells whether the handshake of TLS failed, and not what comes before or after it.
/// The driver says so in words only.
#[cfg(feature = "tls")]
fn is_handshake(error: &Error) -> bool {
    error.to_string().starts_with("error performing TLS handshake")
}
