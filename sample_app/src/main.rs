//! The command line: serve, or answer a question and exit.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use sample_app::app;
use sample_app::config::Config;
use sample_app::server::{self, Outcome};
use sample_app::upstream::Upstream;
use sample_app::version::VERSION;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

const HELP: &str = "\
Usage: sample-app [serve | healthcheck | --version | --help]

  serve        Run the service (the default)
  healthcheck  Ask a running service for /healthz; exit 0 if it is well, 1 if not

Environment:
  ADDR                 Where to listen [0.0.0.0:8080]
  UPSTREAM_URL         What /upstream/health asks [nothing]
  SHUTDOWN_GRACE_SECS  How long requests may take to finish on shutdown [8]
  RUST_LOG             Log filter [info]";

/// The exit status for a wrong command line or setting.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let healthcheck = match args[..] {
        [] | ["serve"] => false,
        ["healthcheck"] => true,
        ["--version" | "-V"] => {
            println!("{} {} {}", VERSION.name, VERSION.version, VERSION.arch);
            return ExitCode::SUCCESS;
        }
        ["--help" | "-h"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("sample-app: cannot make sense of {args:?}\n\n{HELP}");
            return ExitCode::from(USAGE);
        }
    };
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("sample-app: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let result = if healthcheck {
        check_health(&config)
    } else {
        serve(config)
    };
    result.unwrap_or_else(|error| {
        eprintln!("sample-app: {error}");
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn serve(config: Config) -> Result<ExitCode, Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .init();

    let termination = server::termination()?;
    let upstream = config.upstream.map(Upstream::new).transpose()?;
    let listener = TcpListener::bind(config.addr)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.addr))?;
    tracing::info!(
        addr = %listener.local_addr()?,
        version = VERSION.version,
        arch = VERSION.arch,
        commit = VERSION.commit,
        "listening"
    );

    let app = app::router(upstream);
    match server::serve(listener, app, termination, config.grace).await? {
        Outcome::Drained => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        Outcome::GraceExpired => {
            tracing::error!("stopped with requests unfinished");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Stands in for curl, which runtime images do not have.
#[tokio::main(flavor = "current_thread")]
async fn check_health(config: &Config) -> Result<ExitCode, Box<dyn Error>> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()?;
    let url = format!("http://{}/healthz", config.loopback_addr());
    client.get(url).send().await?.error_for_status()?;
    Ok(ExitCode::SUCCESS)
}
