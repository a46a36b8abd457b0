#!/bin/sh
# Builds the container with the builder of this machine and runs its demo; without one it lints the file: make container
# Arguments are options of the build, such as --build-arg EXTRAS=postgres. `debian` as the first one: where no registry
# of images is reachable, buildah and debootstrap make the base of Debian's packages; they need root.
set -eu
cd "$(dirname "$0")/../.."
file=.container/Containerfile
for builder in podman buildah docker; do
    command -v "$builder" >/dev/null && "$builder" info >/dev/null 2>&1 && break
    builder=""
done
if [ "${1:-}" = debian ]; then
    shift
    builder=buildah
    export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"  # needs no runtime, no namespaces and no network of its own
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mirror=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\(http[^ ]*\) .*/\2/p' \
        /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base" "$mirror"
    rm -f "$work"/base/var/cache/apt/archives/*.deb
    chroot "$work/base" python3 -m venv /usr/local/lib/pip
    ln -s /usr/bin/python3 "$work/base/usr/local/bin/python"
    ln -s /usr/local/lib/pip/bin/pip "$work/base/usr/local/bin/pip"
    printf 'FROM scratch\nCOPY . /\n' >"$work/file"
    buildah build --quiet --file "$work/file" --tag python:3.11-slim-bookworm "$work/base"
    set -- --build-arg PYTHON=3.11-slim-bookworm --network host --volume /etc/ssl/certs:/etc/ssl/certs:ro "$@"
    [ ! -e /etc/pip.conf ] || set -- --volume /etc/pip.conf:/etc/pip.conf:ro "$@"
fi
if [ -z "$builder" ]; then
    echo "not built: install podman, buildah or docker, whose engine must answer"
    [ -x .venv-release/bin/hadolint ] || { echo "not linted: make release-check installs hadolint"; exit 0; }
    .venv-release/bin/hadolint "$file" && echo "linted: hadolint finds nothing"
    exit
fi
echo "built with $builder"
if [ "$builder" = buildah ]; then
    buildah build --file "$file" --tag cio-etl "$@" .
    container=$(buildah from cio-etl)
    buildah run "$container" -- cio-etl --version
    buildah run "$container" -- cio-etl demo /var/lib/cio-etl/demo
    buildah rm "$container" >/dev/null
    exit
fi
"$builder" build --file "$file" --tag cio-etl "$@" .
"$builder" run --rm --network none cio-etl --version
"$builder" run --rm --network none --read-only --tmpfs /tmp cio-etl demo /var/lib/cio-etl/demo
