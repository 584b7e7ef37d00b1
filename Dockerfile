# For those who build their own image from this source. `scripts/release image` makes the released one,
# which is smaller. Not built by CI, which cannot get these base images; hadolint reads it there.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The folders must belong to the user of the image, who cannot make them.
RUN cargo build --release --locked --bin rollcall \
    && install -D -m 0755 target/release/rollcall /out/usr/bin/rollcall \
    && install -d -m 0770 /out/var/lib/rollcall

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/ /
USER 65532:0
ENV ROLLCALL_DATA_DIR=/var/lib/rollcall \
    ROLLCALL_LISTEN=0.0.0.0:9000
VOLUME /var/lib/rollcall
WORKDIR /
EXPOSE 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/bin/rollcall", "healthcheck"]
ENTRYPOINT ["/usr/bin/rollcall"]
CMD ["serve"]
