//! Running the service, and stopping it well.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every request got its answer.
    Drained,
    /// The grace ran out with requests still open.
    GraceExpired,
}

/// Serves until `shutdown` completes, then takes no new connections and waits
/// up to `grace` for the requests under way.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<Outcome> {
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        // The receiver outlives the server unless the grace has run out already.
        let _ = stopping.send(());
    });
    let deadline = async {
        match stopped.await {
            Ok(()) => sleep(grace).await,
            // The server ended without being told to; let its own result be the answer.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = server.into_future() => result.map(|()| Outcome::Drained),
        () = deadline => Ok(Outcome::GraceExpired),
    }
}

/// Completes on SIGTERM (what `docker stop` sends) or SIGINT (Ctrl-C).
///
/// The handlers are in place when this returns, before anything is awaited: as
/// process 1 of a container, the service would otherwise ignore a signal that
/// came early.
pub fn termination() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down");
    })
}
