//! A loopback port that is ours for as long as we hold it, listened on or not.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// A reserved port of 127.0.0.1.
///
/// Holds a socket that is bound and never listens. The kernel gives the port to nobody
/// who asks for a free one, while a server that sets `SO_REUSEADDR` (Redis and the
/// standard library do) may listen on it by its number, stop, and listen again. Without
/// a listener, connections are refused. So there is no moment at which another process
/// can take the port of a server that is starting or restarting.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _holder: OwnedFd,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Panics
    ///
    /// When the machine has none, or no loopback interface.
    pub(crate) fn reserve() -> Self {
        match Self::try_reserve() {
            Ok(port) => port,
            Err(error) => panic!("failed to reserve a loopback port: {error}"),
        }
    }

    fn try_reserve() -> io::Result<Self> {
        let holder = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&holder, true)?;
        bind(&holder, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        // The standard library's type tells the address; the socket still does not listen.
        let named = TcpListener::from(holder);
        let number = named.local_addr()?.port();
        Ok(Self { number, _holder: OwnedFd::from(named) })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_reserved_port_refuses_until_it_is_listened_on_and_again_after() {
        let port = Port::reserve();
        let refused = |address| TcpStream::connect(address).unwrap_err().kind();
        assert_eq!(refused(port.address()), io::ErrorKind::ConnectionRefused);
        for _ in 0..3 {
            let listener = TcpListener::bind(port.address()).unwrap();
            let client = TcpStream::connect(port.address()).unwrap();
            let (server, _) = listener.accept().unwrap();
            drop((listener, server, client));
            assert_eq!(refused(port.address()), io::ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn reserved_ports_differ() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }
}
