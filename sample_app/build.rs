//! Settles the build date and the target triple at compile time.
//!
//! Neither comes from the clock or the machine, so the same inputs give the
//! same binary. `BUILD_DATE` wins; otherwise `SOURCE_DATE_EPOCH` is turned into
//! a date; otherwise the binary says "unknown".

use std::env;

#[path = "src/epoch.rs"]
mod epoch;

fn main() {
    for file in ["build.rs", "src/epoch.rs"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for name in [
        "BUILD_DATE",
        "SOURCE_DATE_EPOCH",
        "GIT_COMMIT_SHA",
        "GIT_REPOSITORY_URL",
    ] {
        println!("cargo:rerun-if-env-changed={name}");
    }

    let date = set("BUILD_DATE")
        .or_else(|| {
            let raw = set("SOURCE_DATE_EPOCH")?;
            let seconds = raw
                .parse()
                .unwrap_or_else(|_| panic!("SOURCE_DATE_EPOCH is not a whole number: {raw:?}"));
            Some(epoch::rfc3339(seconds))
        })
        .unwrap_or_default();
    println!("cargo:rustc-env=SAMPLE_APP_BUILD_DATE={date}");

    let target = env::var("TARGET").expect("cargo sets TARGET");
    println!("cargo:rustc-env=SAMPLE_APP_TARGET={target}");
}

/// An unset variable and an empty one (a Docker `ARG` without a value) are the same.
fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
