//! Every endpoint, asked over a real connection.

mod common;

use axum::http::StatusCode;
use common::{answer, client, deaf_port, get, get_json, json, read_request, start, upstream};
use sample_app::tile::{self, TileId};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

#[tokio::test]
async fn healthz_is_ok() {
    let base = start(None).await;
    let expected = (StatusCode::OK, json!({ "status": "ok" }));
    assert_eq!(get_json(&base, "/healthz").await, expected);
}

#[tokio::test]
async fn version_reports_this_build() {
    let base = start(None).await;
    let (status, body) = get_json(&base, "/version").await;
    assert_eq!(status, StatusCode::OK);

    let given = |value: Option<&'static str>| match value {
        None | Some("") => "unknown",
        Some(value) => value,
    };
    assert_eq!(body["name"], "sample-app");
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(body["arch"], std::env::consts::ARCH);
    assert_eq!(body["os"], std::env::consts::OS);
    assert_eq!(body["target"], env!("SAMPLE_APP_TARGET"));
    assert_eq!(body["commit"], given(option_env!("GIT_COMMIT_SHA")));
    assert_eq!(body["repository"], given(option_env!("GIT_REPOSITORY_URL")));
    assert_eq!(
        body["build_date"],
        given(option_env!("SAMPLE_APP_BUILD_DATE"))
    );
    assert_eq!(body.as_object().unwrap().len(), 8);
}

#[tokio::test]
async fn tile_is_the_png_that_the_renderer_draws() {
    let base = start(None).await;
    let response = get(&base, "/tiles/3/5/2.png").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "image/png");
    assert_eq!(response.headers()["cache-control"], "public, max-age=86400");

    let png = response.bytes().await.unwrap();
    let expected = tile::render_png(TileId::new(3, 5, 2).unwrap()).unwrap();
    assert_eq!(png, expected);

    let other = get(&base, "/tiles/3/2/5.png").await.bytes().await.unwrap();
    assert_ne!(other, png);
}

#[tokio::test]
async fn a_tile_the_client_holds_is_not_sent_again() {
    let base = start(None).await;
    let url = format!("{base}/tiles/1/0/1.png");
    let etag = get(&base, "/tiles/1/0/1.png").await.headers()["etag"].clone();
    let etag = etag.to_str().unwrap();

    for held in [etag, "*", &format!("\"other\", W/{etag}")] {
        let request = client().get(&url).header("if-none-match", held);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{held}");
        assert_eq!(response.headers()["etag"], etag);
        assert!(response.bytes().await.unwrap().is_empty());
    }
    let request = client().get(&url).header("if-none-match", "\"other\"");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn bad_tile_addresses_are_refused() {
    let base = start(None).await;
    for (path, message) in [
        ("/tiles/19/0/0.png", "zoom must be from 0 to 18"),
        ("/tiles/256/0/0.png", "zoom must be from 0 to 18"),
        (
            "/tiles/0/1/0.png",
            "x and y must be from 0 to 0 at this zoom",
        ),
        (
            "/tiles/2/0/4.png",
            "x and y must be from 0 to 3 at this zoom",
        ),
        ("/tiles/one/0/0.png", "zoom is not a tile number"),
        ("/tiles/1/-1/0.png", "x is not a tile number"),
        ("/tiles/1/4294967296/0.png", "x is not a tile number"),
        ("/tiles/1/0/+1.png", "y is not a tile number"),
        ("/tiles/1/0/01.png", "y is not a tile number"),
        ("/tiles/1/0/.png", "y is not a tile number"),
        ("/tiles/1/0/0.jpg", "a tile's name ends in .png"),
    ] {
        let expected = (StatusCode::BAD_REQUEST, json!({ "error": message }));
        assert_eq!(get_json(&base, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn unknown_pages_and_methods_get_json_errors() {
    let base = start(None).await;
    let expected = (StatusCode::NOT_FOUND, json!({ "error": "no such page" }));
    assert_eq!(get_json(&base, "/nowhere").await, expected);

    let request = client().post(format!("{base}/healthz"));
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    let (status, body) = json(response).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(body, json!({ "error": "only GET is served here" }));
}

#[tokio::test]
async fn upstream_health_says_when_nothing_is_configured() {
    let base = start(None).await;
    let (status, body) = get_json(&base, "/upstream/health").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        json!({ "error": "no upstream is configured: set UPSTREAM_URL" })
    );
}

/// The upstream is a second copy of the service itself.
#[tokio::test]
async fn upstream_health_reports_status_and_latency() {
    let other = start(None).await;
    for (path, status, word) in [("/healthz", 200, "ok"), ("/nowhere", 404, "failing")] {
        let base = start(Some(upstream(&format!("{other}{path}")))).await;
        let (answered, body) = get_json(&base, "/upstream/health").await;
        assert_eq!(answered.as_u16(), if word == "ok" { 200 } else { 502 });
        assert_eq!(body["status"], word);
        assert_eq!(body["upstream_status"], status);
        let latency = body["latency_ms"].as_f64().unwrap();
        assert!((0.0..20_000.0).contains(&latency), "{latency}");
        assert_eq!(body.as_object().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn upstream_is_asked_with_get_at_the_configured_path() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ready?deep=1", listener.local_addr().unwrap());
    let base = start(Some(upstream(&url))).await;
    let asking = tokio::spawn(async move { get_json(&base, "/upstream/health").await });

    let (mut stream, _) = listener.accept().await.unwrap();
    let request = read_request(&mut stream).await;
    assert!(
        request.starts_with("GET /ready?deep=1 HTTP/1.1\r\n"),
        "{request}"
    );
    answer(stream, "204 No Content").await;

    let (status, body) = asking.await.unwrap();
    assert_eq!(
        (status, &body["upstream_status"]),
        (StatusCode::OK, &json!(204))
    );
}

#[tokio::test]
async fn an_unreachable_upstream_is_a_bad_gateway() {
    let (_socket, addr) = deaf_port();
    let base = start(Some(upstream(&format!("http://user:hunter2@{addr}")))).await;
    let (status, body) = get_json(&base, "/upstream/health").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(body, json!({ "error": "upstream is unreachable" }));
}

/// No certificate is needed to see that TLS is linked in and gets as far as a
/// ClientHello, which draws on ring for its keys and random numbers.
#[tokio::test]
async fn an_https_upstream_is_spoken_to_in_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let base = start(Some(upstream(&format!("https://{addr}")))).await;
    let asking = tokio::spawn(async move { get_json(&base, "/upstream/health").await });

    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = [0; 6];
    stream.read_exact(&mut hello).await.unwrap();
    // A handshake record (22) that holds a ClientHello (1).
    assert_eq!((hello[0], hello[1], hello[5]), (22, 3, 1));
    drop(stream);

    let (status, body) = asking.await.unwrap();
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(body, json!({ "error": "upstream is unreachable" }));
}
