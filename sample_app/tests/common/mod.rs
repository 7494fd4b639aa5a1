//! Helpers for the tests that talk to a running server.
#![allow(dead_code)] // each test file uses its own share

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use sample_app::upstream::Upstream;
use sample_app::{app, server};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A client that ignores the proxy settings of the machine it runs on.
pub fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// An upstream at `url`, reached without a proxy.
pub fn upstream(url: &str) -> Upstream {
    Upstream::with_client(client(), Url::parse(url).unwrap())
}

/// Starts the service inside the test on a port of its own and returns its
/// address. It stops with the test's runtime.
pub async fn start(upstream: Option<Upstream>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let forever = std::future::pending();
    tokio::spawn(server::serve(
        listener,
        app::router(upstream),
        forever,
        Duration::ZERO,
    ));
    base
}

pub async fn get(base: &str, path: &str) -> Response {
    let request = client().get(format!("{base}{path}"));
    request.send().await.unwrap()
}

/// Fetches a page that must be JSON.
pub async fn get_json(base: &str, path: &str) -> (StatusCode, Value) {
    json(get(base, path).await).await
}

pub async fn json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Reads one request up to its blank line.
pub async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap()
}

/// Answers with a bare status line, such as `204 No Content`, and hangs up.
pub async fn answer(mut stream: TcpStream, status: &str) {
    let response = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(response.as_bytes()).await.unwrap();
}

/// A port that refuses connections for as long as its socket is held: bound, so
/// that nobody else can have it, and not listening.
pub fn deaf_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}
