//! The least of a Redis client that a test of a fixture needs.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A connection that speaks inline commands and returns the raw first line of a reply,
/// or the text of a bulk reply.
pub(crate) struct Talk(BufReader<TcpStream>);

impl Talk {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        Self(BufReader::new(stream))
    }

    /// Waits for a reply at most for `patience` from now on.
    pub(crate) fn patient(mut self, patience: Duration) -> Self {
        self.0.get_mut().set_read_timeout(Some(patience)).expect("a socket takes a timeout");
        self
    }

    pub(crate) fn say(&mut self, command: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes())
    }

    pub(crate) fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_owned();
        match line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => {
                let mut bytes = vec![0; length + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            None => Ok(line),
        }
    }

    pub(crate) fn ask(&mut self, command: &str) -> io::Result<String> {
        self.say(command)?;
        self.hear()
    }
}
