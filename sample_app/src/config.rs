//! Settings, all from the environment.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;

/// How the service runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `ADDR`: where to listen.
    pub addr: SocketAddr,
    /// `UPSTREAM_URL`: what `/upstream/health` asks, if anything.
    pub upstream: Option<Url>,
    /// `SHUTDOWN_GRACE_SECS`: how long to let requests finish. Shorter than the
    /// ten seconds after which Docker kills a container it was told to stop.
    pub grace: Duration,
}

impl Config {
    /// Reads the process environment.
    pub fn from_env() -> Result<Self, String> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads settings through `lookup`; an empty value counts as unset.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());

        let upstream: Option<Url> = parse("UPSTREAM_URL", get("UPSTREAM_URL"))?;
        if upstream
            .as_ref()
            .is_some_and(|url| !["http", "https"].contains(&url.scheme()))
        {
            return Err("UPSTREAM_URL: must be an http or https address".to_owned());
        }
        Ok(Self {
            addr: parse("ADDR", get("ADDR"))?.unwrap_or_else(|| ([0, 0, 0, 0], 8080).into()),
            upstream,
            grace: Duration::from_secs(
                parse("SHUTDOWN_GRACE_SECS", get("SHUTDOWN_GRACE_SECS"))?.unwrap_or(8),
            ),
        })
    }

    /// The address at which the process can reach itself.
    pub fn loopback_addr(&self) -> SocketAddr {
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr {
                SocketAddr::V4(_) => [127, 0, 0, 1].into(),
                SocketAddr::V6(_) => [0, 0, 0, 0, 0, 0, 0, 1].into(),
            });
        }
        addr
    }
}

/// Parses a value that may be absent. The value stays out of the error: an
/// address can hold a password.
fn parse<T: FromStr<Err: Display>>(name: &str, value: Option<String>) -> Result<Option<T>, String> {
    value
        .map(|value| value.parse().map_err(|error| format!("{name}: {error}")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, String> {
        Config::from_lookup(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_hold_when_unset_or_empty() {
        let expected = Config {
            addr: "0.0.0.0:8080".parse().unwrap(),
            upstream: None,
            grace: Duration::from_secs(8),
        };
        assert_eq!(config(&[]).unwrap(), expected);
        let empty = [
            ("ADDR", ""),
            ("UPSTREAM_URL", ""),
            ("SHUTDOWN_GRACE_SECS", ""),
        ];
        assert_eq!(config(&empty).unwrap(), expected);
    }

    #[test]
    fn values_are_read() {
        let config = config(&[
            ("ADDR", "[::1]:9000"),
            ("UPSTREAM_URL", "https://tiles.example/healthz"),
            ("SHUTDOWN_GRACE_SECS", "3"),
        ])
        .unwrap();
        assert_eq!(config.addr.to_string(), "[::1]:9000");
        assert_eq!(
            config.upstream.unwrap().as_str(),
            "https://tiles.example/healthz"
        );
        assert_eq!(config.grace, Duration::from_secs(3));
    }

    #[test]
    fn errors_name_the_variable_and_not_the_value() {
        for (name, value) in [
            ("ADDR", "localhost"),
            ("UPSTREAM_URL", "user:hunter2"),
            ("UPSTREAM_URL", "no scheme"),
            ("UPSTREAM_URL", "file:///etc/hostname"),
            ("SHUTDOWN_GRACE_SECS", "-1"),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name}: ")), "{error}");
            assert!(!error.contains(value), "{error}");
        }
    }

    #[test]
    fn loopback_replaces_only_the_wildcard() {
        for (addr, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:2", "[::1]:2"),
            ("192.0.2.7:3", "192.0.2.7:3"),
        ] {
            let config = config(&[("ADDR", addr)]).unwrap();
            assert_eq!(config.loopback_addr().to_string(), expected);
        }
    }
}
