# Images without an operating system: each holds one static program.
#
#   docker build -t outlast:0.1.0 .
#   docker build -t reconnect-storm:0.1.0 --target reconnect-storm .

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep what was downloaded and built; the result is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    host="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$host" \
        --config 'profile.release.strip="symbols"' --package outlast --package reconnect-storm \
    && install -D -t /out "target/$host/release/outlast" "target/$host/release/reconnect-storm"

FROM scratch AS reconnect-storm
LABEL org.opencontainers.image.title="reconnect-storm" \
      org.opencontainers.image.description="A load test that checks everything it saw" \
      org.opencontainers.image.source="https://github.com/outlast/outlast" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/reconnect-storm /reconnect-storm
USER 65532:65532
ENTRYPOINT ["/reconnect-storm"]

FROM scratch AS outlast
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="outlast" \
      org.opencontainers.image.description="A WebSocket realtime gateway whose sessions outlive their sockets" \
      org.opencontainers.image.source="https://github.com/outlast/outlast" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/outlast /outlast
# Inside a container nobody but its network reaches these.
ENV OUTLAST_LISTEN=0.0.0.0:8080 \
    OUTLAST_ADMIN_LISTEN=0.0.0.0:9464
EXPOSE 8080 9464
USER 65532:65532
ENTRYPOINT ["/outlast"]
CMD ["all"]
