# The harder mode as somebody would write it who knows BuildKit's cache mounts, which the article does not use:
# compiled state and cargo's downloads stay in mounts, one for each platform, since the lock that would let two
# builds share the downloads lies outside of the registry directory. Cargo then trusts the files' times.
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
ARG SUBJECT
COPY . .
RUN --mount=type=cache,id=target-$SUBJECT-$TARGETPLATFORM,target=/app/target \
    --mount=type=cache,id=crates-$TARGETPLATFORM,target=/usr/local/cargo/registry \
    . scripts/target.sh \
    && cargo build --release --locked --target $RUST_TARGET $(printf -- '--bin %s ' $BINS) \
    && mkdir /out && for bin in $BINS; do cp target/$RUST_TARGET/release/$bin /out/; done

FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=builder /out/ /usr/local/bin/
