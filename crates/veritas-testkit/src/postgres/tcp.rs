//! Servers with a loopback port, and with certificates.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use super::{Database, Postgres, USER, append};
use crate::{account::Account, port::Port, server::output_of, template};

/// What makes a server of `launch` speak TLS.
const ENCRYPTED: &str = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'";

impl Postgres {
    /// Starts a server that listens on a free loopback port too, with further lines of
    /// `postgresql.conf`.
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does.
    pub fn start_tcp(settings: &str) -> Self {
        Self::launch(Some(Port::reserve()), |programs, account, data| {
            template::copy(&programs.cluster(account), data, account);
            append(&data.join("postgresql.conf"), settings);
        })
    }

    /// Starts a server that speaks TLS on a free loopback port, with a certificate for
    /// `localhost` that an authority of its own vouches for ([`Self::authority`]).
    ///
    /// # Panics
    ///
    /// As [`Self::start`] does, and when `openssl` is not installed.
    pub fn start_tls() -> Self {
        Self::launch(Some(Port::reserve()), |programs, account, data| {
            template::copy(&programs.cluster(account), data, account);
            append(&data.join("postgresql.conf"), ENCRYPTED);
            certificates(account, data);
        })
    }

    /// Returns the address of the server's port, if it was started with one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.running.port.as_ref().map(Port::address)
    }

    /// Returns the number of the port, which is in the name of the socket too.
    pub(super) fn port(&self) -> u16 {
        self.running.port.as_ref().map_or(5432, Port::number)
    }

    /// Returns the file with the certificate that vouches for a server of [`Self::start_tls`].
    pub fn authority(&self) -> PathBuf {
        self.socket_dir().join("data/authority.pem")
    }
}

impl Database {
    /// Returns the connection URL over the server's port, by the name `localhost`.
    ///
    /// # Panics
    ///
    /// When the server was started without a port.
    pub fn url_tcp(&self) -> String {
        let address = self.server.address().unwrap_or_else(|| panic!("this PostgreSQL has no port"));
        format!("postgresql://{USER}@localhost:{}/{}", address.port(), self.name)
    }
}

/// Makes an authority and the server's key and certificate in `data`, as the server's user.
fn certificates(account: Account, data: &std::path::Path) {
    let run = |arguments: &str| {
        let mut command = Command::new("openssl");
        output_of(account.run(command.args(arguments.split(' ')).current_dir(data)));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!("req -x509 {key} -days 2 -keyout authority.key -out authority.pem -subj /CN=authority"));
    let name = "-addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    run(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost {name}"));
    let authority = "-CA authority.pem -CAkey authority.key -CAcreateserial -copy_extensions copy";
    run(&format!("x509 -req -in server.csr {authority} -days 2 -out server.pem"));
}
