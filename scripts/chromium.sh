#!/usr/bin/env bash
# Prints the path of a Chromium for the browser tests. Where there is none it installs Debian's (as root, through apt),
# or says what is missing and fails: the browser tests are never skipped in silence.
set -euo pipefail

if [ -n "${CHROMIUM:-}" ]; then
    command -v "$CHROMIUM" && exit
    echo "CHROMIUM=$CHROMIUM: there is no such program" >&2
    exit 1
fi

find_chromium() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
        command -v "$name" && return
    done
    return 1
}

find_chromium && exit

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    echo "No Chromium found: installing the package chromium" >&2
    apt-get -o Acquire::Retries=3 update -qq >&2
    apt-get -o Acquire::Retries=3 install -qq -y --no-install-recommends chromium fonts-dejavu-core >&2
    find_chromium && exit
fi

cat >&2 <<'TEXT'
The browser tests need Chromium or Google Chrome, and none was found
(looked for: chromium, chromium-browser, google-chrome, google-chrome-stable).
Get it with one of
    sudo apt-get install chromium          (Debian)
    sudo dnf install chromium              (Fedora)
    brew install --cask google-chrome      (macOS)
or point to one: make test CHROMIUM=/path/to/chromium
TEXT
exit 1
