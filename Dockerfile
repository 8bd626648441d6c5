# A node of HexHub: docker build -t hexhub . && docker run --read-only -v hexhub:/data -p 127.0.0.1:4000:4000 \
#   -e HEXHUB_PLAIN_HTTP=true hexhub
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY cluster cluster
COPY hexhub hexhub
RUN python -m venv /opt/hexhub \
 && /opt/hexhub/bin/pip install --no-cache-dir --disable-pip-version-check '.[otel]'

FROM python:3.11-slim
LABEL org.opencontainers.image.title="HexHub" \
      org.opencontainers.image.description="Private Hex package repository, HexDocs server and caching mirror"
RUN groupadd --gid 10001 hexhub \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin hexhub \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/hexhub /opt/hexhub
ENV PATH=/opt/hexhub/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    HEXHUB_HOST=0.0.0.0 \
    LOG_FORMAT=json
WORKDIR /data
USER 10001:10001
VOLUME ["/data"]
EXPOSE 4000 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["hexhub", "health", "live"]
CMD ["hexhub", "serve"]
