# syntax=docker/dockerfile:1
FROM golang:1.26.6-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X agentapi/bootstrap.version=${VERSION}" -o /out/agentapi ./bootstrap/agentapi && mkdir -p /out/data

# With Node, ccr and droid: docker build --target agents
# Both ask for Node 20 or later; this is the one that the tests run them with.
FROM node:20.20.2-bookworm-slim AS agents
# Node asks for the user's name, so there is one.
RUN groupadd --gid 65532 agentapi && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /data agentapi && \
    npm install --global --ignore-scripts --no-audit --no-fund @musistudio/claude-code-router@2.0.0 droid@0.215.0 && npm cache clean --force
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/agentapi /agentapi
COPY --from=build --chown=65532:65532 /out/data /data
ENV AGENTAPI_DATA_DIR=/data \
    AGENTAPI_SERVER__ADDR=0.0.0.0:3284 \
    HOME=/data
USER 65532:65532
VOLUME /data
EXPOSE 3284
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/agentapi", "healthcheck"]
ENTRYPOINT ["/agentapi"]
CMD ["serve"]

# The server alone, which is what is built where no target is named.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/agentapi /agentapi
COPY --from=build --chown=65532:65532 /out/data /data
ENV AGENTAPI_DATA_DIR=/data \
    AGENTAPI_SERVER__ADDR=0.0.0.0:3284
USER 65532:65532
VOLUME /data
EXPOSE 3284
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/agentapi", "healthcheck"]
ENTRYPOINT ["/agentapi"]
CMD ["serve"]
