# One image for bridge, dashboard and alerts: docker build -t chargewatch .
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/chargewatch
ENV PATH=/opt/chargewatch/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY assets assets
COPY bridge bridge
COPY dashboard dashboard
RUN pip wheel --no-deps --wheel-dir /wheels . \
 && pip install --constraint constraints.txt /wheels/chargewatch-*.whl

FROM python:3.11-slim
LABEL org.opencontainers.image.title=chargewatch org.opencontainers.image.licenses=Apache-2.0
RUN groupadd --system --gid 10001 chargewatch \
 && useradd --system --uid 10001 --gid chargewatch --home-dir /srv/chargewatch --shell /usr/sbin/nologin chargewatch \
 && install -d -o chargewatch -g chargewatch -m 0750 /srv/chargewatch /srv/chargewatch/data \
    /srv/chargewatch/files
COPY --from=build /opt/chargewatch /opt/chargewatch
ENV PATH=/opt/chargewatch/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Settings are read from ./chargewatch.toml and the environment, the defaults keep their files in ./data.
WORKDIR /srv/chargewatch
VOLUME /srv/chargewatch/data
USER chargewatch
EXPOSE 9000 8050
ENTRYPOINT ["chargewatch"]
CMD ["bridge"]
# For the bridge; docker-compose.yml asks each process at its own port.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
