//! Children that do not outlive us: the one module of this crate with `unsafe`.

#![expect(unsafe_code, reason = "prctl and kill have no safe form in the standard library")]

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
    sync::{
        OnceLock,
        mpsc::{Sender, channel},
    },
    thread,
};

use crate::server::Stop;

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a child that the kernel ends with `stop` when this process dies, however it dies.
///
/// The kernel watches the *thread* that started the child (prctl(2),
/// `PR_SET_PDEATHSIG`), and a test's thread ends with the test; so one thread that
/// never ends starts them all.
pub(crate) fn spawn_mortal(mut command: Command, stop: Stop) -> io::Result<Child> {
    static NURSERY: OnceLock<Sender<Order>> = OnceLock::new();
    let parent = std::process::id();
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe
    // calls are allowed: `prctl`, `getppid` and making an error from a constant code
    // are; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, number(stop)) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the kernel was asked to watch it.
            if libc::getppid().cast_unsigned() == parent {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            }
        });
    }
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Whoever ordered is waiting; if not, dropping the child loses nothing.
                reply.send(command.spawn()).ok();
            }
        });
        orders
    });
    let (reply, answer) = channel();
    nursery.send((command, reply)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

/// Sends `stop` to a child that has not been waited for.
pub(crate) fn signal(child: &Child, stop: Stop) {
    // SAFETY: `kill` touches no memory of ours. The process id is our child's: the
    // caller has not reaped it, so the kernel cannot have given the id to another.
    // A child that has ended is a zombie until then, for which the call does nothing.
    unsafe {
        libc::kill(child.id().cast_signed(), number(stop));
    }
}

/// Sends SIGSTOP to a server of ours, or to a child of one.
pub(crate) fn stop(process: u32) {
    // SAFETY: `kill` touches no memory of ours. The caller knows the process not to be
    // reaped: it is our child, or the child of one that is stopped already.
    unsafe {
        libc::kill(process.cast_signed(), libc::SIGSTOP);
    }
}

const fn number(stop: Stop) -> libc::c_int {
    match stop {
        Stop::Kill => libc::SIGKILL,
        Stop::Quit => libc::SIGQUIT,
        Stop::Interrupt => libc::SIGINT,
    }
}
