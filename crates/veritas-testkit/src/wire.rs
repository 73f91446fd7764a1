//! Just enough of the Redis protocol to set a scene without starting a process per command.

use std::{
    fmt::Write as _,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long a command of a scene may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reply, in the form of RESP2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Nothing,
    Text(String),
    Integer(i64),
    Error(String),
    Array(Vec<Self>),
}

impl Reply {
    /// Returns the text, or `""` for a reply that is none.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Error(text) => text,
            _ => "",
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }
}

/// A connection that sends one command at a time.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends `command` and returns its reply; an error reply is a reply.
    pub(crate) fn ask(&mut self, command: &[&str]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", command.len());
        for part in command {
            // Writing to a string cannot fail.
            write!(request, "${}\r\n{part}\r\n", part.len()).ok();
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut marks = line.trim_end().chars();
        let mark = marks.next();
        let rest = marks.as_str();
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        match mark {
            Some('+') => Ok(Reply::Text(rest.to_owned())),
            Some('-') => Ok(Reply::Error(rest.to_owned())),
            Some(':') => Ok(Reply::Integer(number()?)),
            Some('$') => match usize::try_from(number()?) {
                Ok(length) => self.bulk(length),
                Err(_) => Ok(Reply::Nothing),
            },
            Some('*') => match usize::try_from(number()?) {
                Ok(count) => Ok(Reply::Array((0..count).map(|_| self.reply()).collect::<io::Result<_>>()?)),
                Err(_) => Ok(Reply::Nothing),
            },
            _ => Err(io::Error::other(format!("no reply of Redis: {line:?}"))),
        }
    }

    fn bulk(&mut self, length: usize) -> io::Result<Reply> {
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// Sends `command` to the server at `address` and returns its reply.
///
/// # Panics
///
/// When the server cannot be reached or answers with an error.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, command: &[&str]) -> Reply {
    match Wire::connect(address).and_then(|mut wire| wire.ask(command)) {
        Ok(Reply::Error(error)) => panic!("{address} refused {command:?}: {error}"),
        Ok(reply) => reply,
        Err(error) => panic!("failed to send {command:?} to {address}: {error}"),
    }
}
