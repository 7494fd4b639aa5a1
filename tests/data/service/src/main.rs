//! The smallest HTTP service with which an image can be tried: it says what it was built for, and nothing else.

use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream};

fn document(path: &str) -> Option<String> {
    let commit = option_env!("GIT_COMMIT_SHA").unwrap_or("unknown");
    match path {
        "/healthz" => Some(r#"{"status":"ok"}"#.into()),
        "/version" => Some(format!(r#"{{"arch":"{}","commit":"{commit}"}}"#, std::env::consts::ARCH)),
        _ => None,
    }
}

fn answer(mut stream: TcpStream) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let found = document(request.split(' ').nth(1).unwrap_or(""));
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let body = found.unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn main() -> Result<()> {
    for stream in TcpListener::bind("0.0.0.0:8080")?.incoming() {
        std::thread::spawn(move || stream.and_then(answer));
    }
    Ok(())
}
