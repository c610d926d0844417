# Layerscope in a container:
#
#   docker build -t layerscope . && docker run --rm -p 127.0.0.1:8000:8000 layerscope
#
# It listens on all of the container's addresses, so it makes a token and prints it at start. It needs
# no root, no capability and no writable file system but /data, a volume:
#
#   docker run --rm --read-only --cap-drop=ALL --security-opt=no-new-privileges \
#       -p 127.0.0.1:8000:8000 layerscope
#
# CPU-only torch: --build-arg TORCH_INDEX_URL=<a package index with CPU wheels>

# The browser's libraries, compressed.
FROM node:20-slim AS assets
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --omit=dev --no-audit --no-fund
COPY tools/vendor.mjs tools/
RUN npm run assets

# The wheel, and everything it needs, in one prefix.
FROM python:3.11-slim AS build
ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/layerscope
COPY constraints.txt requirements.lock ./
# Every file by its hash, as `make lock` wrote it; what development needs stands below its heading.
RUN sed '/^# For development/,$d' requirements.lock > runtime.lock \
    && /opt/layerscope/bin/pip install --require-hashes --no-deps --requirement runtime.lock
# torch by its version: its CPU and CUDA wheels differ. It is most of the image, and changes least.
RUN /opt/layerscope/bin/pip install --constraint constraints.txt \
    ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch
COPY LICENSE README.md pyproject.toml setup.py ./
COPY layerscope layerscope
COPY engine engine
COPY app app
COPY templates templates
COPY static static
COPY --from=assets /src/static/vendor static/vendor
RUN /opt/layerscope/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/layerscope/bin/pip install --no-deps /wheels/*.whl \
    && /opt/layerscope/bin/pip check

FROM python:3.11-slim AS runtime
RUN useradd --system --create-home --uid 10001 layerscope \
    && install --directory --owner=layerscope /data /var/cache/layerscope
COPY --from=build /opt/layerscope /opt/layerscope
ENV PATH=/opt/layerscope/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/layerscope \
    LAYERSCOPE_DATA_DIR=/data \
    LAYERSCOPE_LOG_FORMAT=json
USER layerscope
WORKDIR /data
# Compiles the kernels into the cache. A machine with another processor compiles them again, at every
# start where the file system is read-only; the log says so.
RUN layerscope warm-up
VOLUME /data
EXPOSE 8000
# Asks the port that the server was given, by LAYERSCOPE_PORT or --port.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-m", "layerscope.app.healthcheck"]
CMD ["layerscope", "serve", "--host", "0.0.0.0"]
