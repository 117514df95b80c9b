//! Takes peers of WebSocket that break off, break the rules and never stop. Gives that the other side sees just that.
//! Never judges a frame: RFC 6455 says who must close for what, and it is one of the two peers.

use tests::kernel::{peak, reset_peak};
use tests::otlp::{Mode, Receiver};
use tests::process::{PATIENCE, eventually};
use tests::sidecar::{Proxy, Summary};
use tests::websocket::{End, Frame, Server, TEXT};

use super::{CALL, RESULT};

const CONTINUATION: u8 = 0;
const PING: u8 = 9;
const PONG: u8 = 10;
/// As for a body of HTTP: what passing anything may take beyond what was there, in KiB.
const FLAT: u64 = 24 << 10;

struct World {
    receiver: Receiver,
    proxy: Proxy,
    client: End,
    server: End,
}

impl World {
    fn start() -> Self {
        let upstream = Server::start();
        let receiver = Receiver::start(Mode::Accept);
        let url = receiver.grpc_url();
        let proxy = Proxy::start(&upstream.url(), &["--otlp-endpoint", &url]);
        let client = End::connect(proxy.address(), "/ws", &[]).expect("an answer");
        let server = upstream.accept();
        Self {
            receiver,
            proxy,
            client,
            server,
        }
    }

    fn ended(self, calls: usize) -> Summary {
        assert_eq!(self.receiver.wait_for_calls(calls).len(), calls);
        drop((self.client, self.server));
        let (summary, log) = self.proxy.stop_and_keep_log();
        log.assert_none_at("ERROR");
        summary.assert_conserved();
        assert_eq!(summary.count("calls_seen"), calls as u64);
        summary
    }
}

#[test]
fn half_a_frame_and_then_the_end_reaches_the_other_side_as_that() {
    let mut world = World::start();
    // What may still become a request waits for its end; that there is none must not lose it.
    for frame in [Frame::of_client(TEXT, CALL), Frame::of_client(2, CALL)] {
        let bytes = frame.bytes();
        let (half, _) = bytes.split_at(bytes.len() / 2);
        let upstream = Server::start();
        let proxy = Proxy::start(&upstream.url(), &[]);
        let mut client = End::connect(proxy.address(), "/ws", &[]).expect("an answer");
        let mut server = upstream.accept();
        client.send_raw(half).expect("it is read");
        client.half_close().expect("it is open");
        assert_eq!(server.read_to_end().expect("an end"), half);
        drop((client, server));
        proxy.stop().assert_conserved();
    }
    let bytes = Frame::of_server(TEXT, RESULT).bytes();
    let (half, _) = bytes.split_at(bytes.len() / 2);
    world.server.send_raw(half).expect("it is read");
    world.server.half_close().expect("it is open");
    assert_eq!(world.client.read_to_end().expect("an end"), half);
    world.ended(0);
}

/// One message in many frames, or a flood of small ones: sent by one thread, so that neither side waits for the other.
fn pass(mut from: End, to: &mut End, frames: usize, frame: impl Fn(usize) -> Frame + Sync) -> End {
    std::thread::scope(|scope| {
        let frame = &frame;
        let sender = scope.spawn(move || {
            for at in 0..frames {
                from.send(&frame(at)).expect("it is read");
            }
            from
        });
        for at in 0..frames {
            let arrived = to.receive().expect("a frame").expect("a frame");
            assert!(arrived == frame(at), "frame {at} differs");
        }
        sender.join().expect("all is sent")
    })
}

/// A message of 100 MB in pieces of 64 KiB.
fn piece(at: usize, of: fn(u8, Vec<u8>) -> Frame) -> Frame {
    let filler = || vec![b'x'; 1 << 16];
    match at {
        0 => {
            let head = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":""#;
            of(TEXT, [head.as_slice(), &filler()].concat()).unfinished()
        }
        LAST => of(CONTINUATION, br#""}}"#.to_vec()),
        _ => of(CONTINUATION, filler()).unfinished(),
    }
}

const LAST: usize = 100_000_000 >> 16;

#[test]
fn a_message_of_a_hundred_megabytes_in_pieces_flows_over_websocket() {
    let mut world = World::start();
    reset_peak(world.proxy.id());
    let before = peak(world.proxy.id());
    world.client = pass(world.client, &mut world.server, LAST + 1, |at| {
        piece(at, Frame::of_client)
    });
    world.server = pass(world.server, &mut world.client, LAST + 1, |at| {
        piece(at, Frame::of_server)
    });
    let grown = peak(world.proxy.id()) - before;
    assert!(grown < FLAT, "memory grew by {grown} KiB");
    world.client.half_close().expect("it is open");
    world.server.half_close().expect("it is open");
    let summary = world.ended(2);
    assert_eq!(summary.count("not_injected_too_large"), 2);
}

#[test]
fn frames_masked_against_the_rules_pass_untouched() {
    let mut world = World::start();
    let plain = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    // A client without a mask, a server with one, reserved opcodes, a ping in pieces, a continuation of nothing.
    for payload in [plain, "no json"] {
        for opcode in [TEXT, 3, 11, CONTINUATION] {
            let frame = Frame::of_server(opcode, payload);
            world.client.send(&frame).expect("it is read");
            assert_eq!(world.server.receive().expect("a frame"), Some(frame));
            let frame = Frame::of_client(opcode, payload);
            world.server.send(&frame).expect("it is read");
            assert_eq!(world.client.receive().expect("a frame"), Some(frame));
        }
    }
    let long_ping = Frame::of_client(PING, vec![b'p'; 1000]).unfinished();
    world.client.send(&long_ping).expect("it is read");
    assert_eq!(world.server.receive().expect("a frame"), Some(long_ping));
    world.client.half_close().expect("it is open");
    world.server.half_close().expect("it is open");
    world.ended(0);
}

#[test]
fn a_flood_of_pings_passes_and_calls_go_on_in_it() {
    let mut world = World::start();
    reset_peak(world.proxy.id());
    let before = peak(world.proxy.id());
    let (call, result) = (Frame::of_client(TEXT, CALL), Frame::of_server(TEXT, RESULT));
    let ping = |at: usize| Frame::of_client(PING, at.to_be_bytes());
    let pong = |at: usize| Frame::of_server(PONG, at.to_be_bytes());
    world.client.send(&call).expect("it is read");
    let arrived = world.server.receive().expect("a frame").expect("a frame");
    assert!(arrived.text().contains("traceparent"), "{arrived:?}");
    world.client = pass(world.client, &mut world.server, 100_000, ping);
    world.server = pass(world.server, &mut world.client, 100_000, pong);
    world.server.send(&result).expect("it is read");
    assert_eq!(world.client.receive().expect("a frame"), Some(result));
    let grown = peak(world.proxy.id()) - before;
    assert!(grown < FLAT, "memory grew by {grown} KiB");
    world.ended(1);
}

/// A server that does not read stops the client that floods it.
#[test]
fn a_side_that_does_not_read_stalls_the_other_and_costs_no_memory() {
    let mut world = World::start();
    reset_peak(world.proxy.id());
    let before = peak(world.proxy.id());
    let sent = std::sync::atomic::AtomicUsize::new(0);
    let frames = 4096;
    let frame = Frame::of_client(2, vec![b'x'; 1 << 16]);
    std::thread::scope(|scope| {
        let (client, sent, frame) = (&mut world.client, &sent, &frame);
        scope.spawn(move || {
            for _ in 0..frames {
                client.send(frame).expect("it is read");
                sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
        let mut last = (0, 0);
        eventually("the client to stall", PATIENCE, || {
            let now = sent.load(std::sync::atomic::Ordering::SeqCst);
            last = if now == last.0 {
                (now, last.1 + 1)
            } else {
                (now, 0)
            };
            (now > 0 && last.1 > 100).then_some(())
        });
        assert!(last.0 < frames / 4, "{} frames went somewhere", last.0);
        for _ in 0..frames {
            world.server.receive().expect("a frame").expect("a frame");
        }
    });
    let grown = peak(world.proxy.id()) - before;
    assert!(grown < FLAT, "memory grew by {grown} KiB");
    world.ended(0);
}
