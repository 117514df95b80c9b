//! Takes nothing. Gives a listener on a free port of this machine with a queue for ten thousand clients.
//! Never listens on an address that other machines reach.

use anyhow::Result;
use tokio::net::{TcpListener, TcpSocket};

const QUEUE: u32 = 16 * 1024;

pub fn long_queue() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(QUEUE)?)
}
