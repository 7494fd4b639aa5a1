# The article's easy mode: an ordinary Dockerfile with nothing about architectures in it. Every stage runs on
# the requested platform, a foreign one under QEMU.
FROM rust:1.96-slim-trixie AS builder
WORKDIR /app
COPY . .
ARG BINS
RUN cargo build --release --locked $(printf -- '--bin %s ' $BINS) \
    && mkdir /out && for bin in $BINS; do cp target/release/$bin /out/; done

FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=builder /out/ /usr/local/bin/
