//! Takes standard input and output, as the command of a bridge. Gives them to the fixture server, which waits at a socket.
//! Never is the server itself: one process serves all sessions, because its start costs a second.

use std::io::{self, Read, Write, stdin, stdout};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use anyhow::Result;

use super::client::{SOCKET, variable};

/// Passes bytes both ways until the server has nothing more to say.
///
/// # Errors
/// When the server cannot be reached, or its side breaks.
pub fn stand_in() -> Result<()> {
    let server = UnixStream::connect(variable(SOCKET)?)?;
    let to_server = server.try_clone()?;
    std::thread::spawn(move || {
        // An input that breaks has ended too.
        let _ = pass_on(stdin().lock(), &to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    pass_on(server, stdout().lock())?;
    Ok(())
}

/// As `io::copy`, which may wait for more than there is.
fn pass_on(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (passed, _) = match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => buffer.split_at(read),
        };
        to.write_all(passed)?;
        to.flush()?;
    }
}
