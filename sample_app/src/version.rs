//! What this binary is: fixed at compile time, never read from the environment it runs in.

use std::env::consts;

use serde::Serialize;

/// The body of `GET /version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    pub name: &'static str,
    pub version: &'static str,
    /// The architecture the binary was compiled for, such as `x86_64` or `aarch64`.
    pub arch: &'static str,
    pub os: &'static str,
    /// The full target triple, which also tells glibc from musl.
    pub target: &'static str,
    pub commit: &'static str,
    pub repository: &'static str,
    pub build_date: &'static str,
}

/// Facts about this build.
pub const VERSION: Version = Version {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    arch: consts::ARCH,
    os: consts::OS,
    target: env!("SAMPLE_APP_TARGET"),
    commit: or_unknown(option_env!("GIT_COMMIT_SHA")),
    repository: or_unknown(option_env!("GIT_REPOSITORY_URL")),
    build_date: or_unknown(option_env!("SAMPLE_APP_BUILD_DATE")),
};

/// Treats an empty value (a Docker `ARG` without a value) like an absent one.
const fn or_unknown(value: Option<&'static str>) -> &'static str {
    match value {
        Some(value) if !value.is_empty() => value,
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_absent_are_unknown() {
        assert_eq!(or_unknown(None), "unknown");
        assert_eq!(or_unknown(Some("")), "unknown");
        assert_eq!(or_unknown(Some("abc123")), "abc123");
    }

    #[test]
    fn target_agrees_with_the_architecture_compiled_for() {
        // Architectures whose triples begin with the same word as `consts::ARCH`.
        if ["x86_64", "aarch64", "s390x"].contains(&VERSION.arch) {
            let (first, _) = VERSION.target.split_once('-').unwrap();
            assert_eq!(first, VERSION.arch);
        }
    }
}
