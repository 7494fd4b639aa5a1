# The article's harder mode: the builder runs on the build platform and compiles for the target platform; a
# stub of main.rs makes the dependencies a layer of their own, which its sample project does too. What does not
# depend on the source comes first, so that it stays cached.
FROM --platform=$BUILDPLATFORM rust:1.96-slim-trixie AS builder
WORKDIR /app
RUN apt-get update && apt-get install -y --no-install-recommends \
    ca-certificates \
    pkgconf \
    gcc-aarch64-linux-gnu \
    gcc-x86-64-linux-gnu \
    libc6-dev-arm64-cross \
    libc6-dev-amd64-cross \
    && rm -rf /var/lib/apt/lists/*
ARG TARGETPLATFORM
COPY scripts scripts
RUN . scripts/target.sh && rustup target add $RUST_TARGET
ENV CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc
ARG BINS
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' > src/main.rs
RUN . scripts/target.sh && cargo build --release --locked --target $RUST_TARGET
COPY . .
RUN . scripts/target.sh && touch src/main.rs \
    && cargo build --release --locked --target $RUST_TARGET $(printf -- '--bin %s ' $BINS) \
    && mkdir /out && for bin in $BINS; do cp target/$RUST_TARGET/release/$bin /out/; done

FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=builder /out/ /usr/local/bin/
