# NexusBase in a container: built from source, run as a user without rights, data in /data.
# The two images are arguments, so that a mirror or an image of your own can stand in.
ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package nexusbase

FROM ${RUN_IMAGE}
COPY --from=build /src/target/release/nexusbase /usr/local/bin/nexusbase
COPY --chown=65532:65532 docker/data /data
USER 65532:65532
VOLUME /data
EXPOSE 7700
ENV NEXUSBASE_DATA=/data/nexusbase \
    NEXUSBASE_LISTEN=0.0.0.0:7700 \
    NEXUSBASE_ALLOW_REMOTE=true
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/nexusbase", "health", "--server", "http://127.0.0.1:7700"]
ENTRYPOINT ["/usr/local/bin/nexusbase"]
CMD ["serve"]
