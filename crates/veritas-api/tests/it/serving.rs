//! Real sockets: bad clients, slow clients, many clients, and the end.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use veritas_api::{
    auth::Role,
    serve::{Drained, ServeOptions, bind},
};

use crate::world::World;

/// A server on a port of its own.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

async fn start(router: Router, options: ServeOptions) -> Server {
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address;
    assert_ne!(address.port(), 0);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let stopped = async {
            let _: Result<(), _> = stopped.await;
        };
        bound.serve(router, options, stopped).await
    });
    Server { address, stop, task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn stop(self) -> Drained {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}

/// Reads one answer on a connection that stays open, in as many pieces as it comes.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "{answer}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_some_and(|length| length.parse() == Ok(body.len())) {
            return answer;
        }
    }
}

fn endless() -> Body {
    struct Endless(bool);
    impl http_body::Body for Endless {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            if std::mem::replace(&mut self.0, true) {
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data("hello\n".into()))))
        }
    }
    Body::new(Endless(false))
}

#[tokio::test]
async fn it_answers_and_keeps_the_connection() {
    let world = World::busy();
    let server = start(world.router(), ServeOptions::default()).await;
    let token = world.token(Role::Viewer);
    let request = format!(
        "GET /api/v1/performance/cache/stats HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let text = read_answer(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("\"total_requests\":175"), "{text}");
    }
    drop(stream);
    assert_eq!(server.stop().await, Drained::Whole);
}

#[tokio::test]
async fn what_is_no_http_is_refused_below_the_api() {
    let server = start(World::idle().router(), ServeOptions::default()).await;
    assert!(server.exchange("NONSENSE\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let many = "x: y\r\n".repeat(200);
    let many = server.exchange(&format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let large = "y".repeat(64 * 1024);
    let large = server.exchange(&format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {large}\r\n\r\n")).await;
    assert!(large.starts_with("HTTP/1.1 431"), "{large}");
    let smuggled = "POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx";
    assert!(server.exchange(smuggled).await.starts_with("HTTP/1.1 400"));
    assert_eq!(server.stop().await, Drained::Whole);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_headers_is_cut() {
    let options = ServeOptions { header_time: Duration::from_millis(50), ..ServeOptions::default() };
    let server = start(World::idle().router(), options).await;
    let begun = server.exchange("GET /livez HTTP/1.1\r\nhost: x\r\n").await;
    assert!(begun.is_empty() || begun.starts_with("HTTP/1.1 408"), "{begun}");
    assert_eq!(server.exchange("").await, "");
    assert_eq!(server.stop().await, Drained::Whole);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let huge = Router::new().route("/", get(async || Body::from(vec![b'x'; 64 << 20])));
    let options =
        ServeOptions { write_time: Duration::from_millis(50), connections: 1, ..ServeOptions::default() };
    let server = start(huge, options).await;
    let mut lazy = server.connect().await;
    lazy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The one slot comes free only because the lazy client is cut.
    let next = server.exchange("GET /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(next.starts_with("HTTP/1.1 404"), "{next}");
    drop(lazy);
    assert_eq!(server.stop().await, Drained::Whole);
}

#[tokio::test]
async fn connections_beyond_the_cap_wait() {
    let options = ServeOptions { connections: 1, ..ServeOptions::default() };
    let server = start(World::idle().router(), options).await;
    let mut first = server.connect().await;
    let ask = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    first.write_all(ask).await.unwrap();
    read_answer(&mut first).await;
    let request = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut waiting = Box::pin(server.exchange(request));
    // The server answers the first again and again, and not the one that waits.
    for _ in 0..20 {
        tokio::select! {
            biased;
            answer = &mut waiting => panic!("{answer}"),
            _ = async {
                first.write_all(ask).await.unwrap();
                read_answer(&mut first).await
            } => {}
        }
    }
    drop(first);
    assert!(waiting.await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.stop().await, Drained::Whole);
}

#[tokio::test]
async fn an_open_stream_does_not_keep_the_server_alive() {
    let streaming = Router::new().route("/", get(async || endless()));
    let options = ServeOptions { drain_time: Duration::from_millis(100), ..ServeOptions::default() };
    let server = start(streaming, options).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut buffer = [0; 1024];
    let mut seen = String::new();
    while !seen.contains("hello") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0);
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert_eq!(server.stop().await, Drained::Cut(1));
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let (started, is_started) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let pair = std::sync::Arc::new(std::sync::Mutex::new(Some((started, released))));
    let slow = Router::new().route(
        "/",
        get(async move || {
            let (started, released) = pair.lock().unwrap().take().unwrap();
            started.send(()).unwrap();
            released.await.unwrap();
            "done"
        }),
    );
    let server = start(slow, ServeOptions::default()).await;
    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    is_started.await.unwrap();
    let idle = server.connect().await;
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    // It is stopping from the moment at which it refuses.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    assert_eq!(stopping.await.unwrap(), Drained::Whole);
    drop(idle);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let refused = bind(bound.address).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("failed to listen on {}", bound.address));
}
