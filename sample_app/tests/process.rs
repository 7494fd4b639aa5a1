//! The binary itself: its command line, its logs and how it stops.

mod common;

use std::process::{Output, Stdio};
use std::time::Duration;

use common::{answer, deaf_port, get_json, read_request};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// The binary, deaf to the settings of whoever runs the tests.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sample-app"));
    command.args(args).kill_on_drop(true);
    for name in ["ADDR", "UPSTREAM_URL", "SHUTDOWN_GRACE_SECS", "RUST_LOG"] {
        command.env_remove(name);
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

async fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command(args);
    command.envs(env.iter().copied());
    command.output().await.unwrap()
}

/// A running server and what it says.
struct Server {
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
    addr: String,
}

impl Server {
    async fn start(env: &[(&str, &str)]) -> Self {
        let mut command = command(&[]);
        command.env("ADDR", "127.0.0.1:0");
        command.envs(env.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = String::new();
        let mut server = Self { child, log, addr };
        let line = server.logged("listening").await;
        server.addr = line["addr"].as_str().unwrap().to_owned();
        assert_eq!(line["arch"], std::env::consts::ARCH);
        server
    }

    fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Waits for a log line with this message. Every line must be a JSON object.
    async fn logged(&mut self, message: &str) -> Value {
        let wait = async {
            loop {
                let line = self.log.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("{message:?} was never logged"));
                let line: Value = serde_json::from_str(&line).unwrap();
                assert!(line["timestamp"].is_string() && line["level"].is_string());
                if line["message"] == message {
                    return line;
                }
            }
        };
        let line = timeout(Duration::from_secs(20), wait).await;
        line.unwrap_or_else(|_| panic!("waited too long for {message:?}"))
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = self.child.id().unwrap().try_into().unwrap();
        // SAFETY: a plain system call, on a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let exit = timeout(Duration::from_secs(20), self.child.wait()).await;
        exit.expect("the server did not exit").unwrap().code()
    }
}

#[tokio::test]
async fn version_and_help() {
    let output = run(&["--version"], &[]).await;
    assert!(output.status.success());
    let expected = format!(
        "sample-app {} {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    let output = run(&["--help"], &[]).await;
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for word in ["healthcheck", "ADDR", "UPSTREAM_URL", "SHUTDOWN_GRACE_SECS"] {
        assert!(help.contains(word), "{word}");
    }
}

#[tokio::test]
async fn wrong_arguments_and_settings_exit_with_2() {
    for (args, env, complaint) in [
        (
            &["--port"][..],
            &[][..],
            r#"cannot make sense of ["--port"]"#,
        ),
        (
            &["serve", "now"],
            &[],
            r#"cannot make sense of ["serve", "now"]"#,
        ),
        (&[], &[("ADDR", "nowhere")], "ADDR: "),
        (
            &["healthcheck"],
            &[("UPSTREAM_URL", "ftp://a")],
            "UPSTREAM_URL: ",
        ),
    ] {
        let output = run(args, env).await;
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.starts_with(&format!("sample-app: {complaint}")),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn a_taken_port_exits_with_1() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let output = run(&[], &[("ADDR", &addr)]).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains(&format!("cannot listen on {addr}")),
        "{stderr}"
    );
}

#[tokio::test]
async fn healthcheck_tells_well_from_ill() {
    let check = async |addr: &str| {
        let env = [("ADDR", addr), ("HTTP_PROXY", "http://127.0.0.1:1")];
        run(&["healthcheck"], &env).await.status.code()
    };
    let server = Server::start(&[]).await;
    let port = server.addr.rsplit_once(':').unwrap().1;
    assert_eq!(check(&server.addr).await, Some(0));
    // As in an image, where the setting is the wildcard address.
    assert_eq!(check(&format!("0.0.0.0:{port}")).await, Some(0));

    let (_socket, deaf) = deaf_port();
    assert_eq!(check(&deaf.to_string()).await, Some(1));

    let failing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = failing.local_addr().unwrap().to_string();
    let (code, ()) = tokio::join!(check(&addr), async {
        let (mut stream, _) = failing.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        assert!(request.starts_with("GET /healthz "), "{request}");
        answer(stream, "500 Internal Server Error").await;
    });
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn requests_are_logged() {
    let mut server = Server::start(&[]).await;
    get_json(&server.base(), "/tiles/0/7/0.png?secret=1").await;
    let line = server.logged("request").await;
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/tiles/0/7/0.png");
    assert_eq!(line["status"], 400);
    assert!(line["latency_ms"].is_f64());
}

#[tokio::test]
async fn sigint_stops_an_idle_server() {
    let mut server = Server::start(&[]).await;
    // A connection that is open and idle must not hold it up.
    let mut idle = TcpStream::connect(&server.addr).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";
    idle.write_all(request).await.unwrap();
    server.logged("request").await;

    server.signal(libc::SIGINT);
    assert_eq!(server.logged("shutting down").await["signal"], "SIGINT");
    server.logged("stopped").await;
    assert_eq!(server.exit_code().await, Some(0));
    let mut answer = String::new();
    idle.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
}

/// Starts a server and a request to it that hangs until the upstream answers.
async fn hanging_request(
    env: &[(&str, &str)],
) -> (
    Server,
    TcpStream,
    tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>,
) {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", upstream.local_addr().unwrap());
    let env = [&[("UPSTREAM_URL", url.as_str())], env].concat();
    let server = Server::start(&env).await;

    let request = common::client().get(format!("{}/upstream/health", server.base()));
    let asking = tokio::spawn(request.send());
    let (mut held, _) = upstream.accept().await.unwrap();
    read_request(&mut held).await;
    (server, held, asking)
}

#[tokio::test]
async fn sigterm_lets_a_request_under_way_finish() {
    let (mut server, held, asking) = hanging_request(&[]).await;

    server.signal(libc::SIGTERM);
    assert_eq!(server.logged("shutting down").await["signal"], "SIGTERM");
    let refused = async {
        while TcpStream::connect(&server.addr).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let refused = timeout(Duration::from_secs(20), refused).await;
    refused.expect("new connections are still taken");
    assert!(!asking.is_finished());

    answer(held, "200 OK").await;
    let (status, body) = common::json(asking.await.unwrap().unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["upstream_status"], json!(200));
    server.logged("stopped").await;
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_grace_bounds_the_wait_for_requests() {
    let (mut server, _held, asking) = hanging_request(&[("SHUTDOWN_GRACE_SECS", "0")]).await;
    server.signal(libc::SIGTERM);
    server.logged("stopped with requests unfinished").await;
    assert_eq!(server.exit_code().await, Some(1));
    assert!(asking.await.unwrap().is_err());
}
