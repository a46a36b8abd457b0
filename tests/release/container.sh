#!/bin/sh
# Builds the container with the builder of this machine and runs its demo; without one it says so: make container
set -eu
cd "$(dirname "$0")/../.."
for builder in podman buildah docker; do
    command -v "$builder" >/dev/null && "$builder" info >/dev/null 2>&1 && break
    builder=""
done
if [ -z "$builder" ]; then
    echo "not built: no podman, buildah or docker whose engine answers"
    exit 0
fi
if [ "$builder" = buildah ]; then
    exec buildah build --file .container/Containerfile --tag cio-etl .
fi
"$builder" build --file .container/Containerfile --tag cio-etl .
"$builder" run --rm --network none cio-etl --version
"$builder" run --rm --network none --read-only --tmpfs /tmp cio-etl demo /var/lib/cio-etl/demo
