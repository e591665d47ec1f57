#!/usr/bin/env bash
# Print the path of a Chromium for the browser tests. Where there is none, install Debian's (as root, through apt), else
# download Playwright's own; where neither works, report what is missing and fail: browser tests are never skipped silently.
set -euo pipefail
cd "$(dirname "$0")/.."

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

# The one that Playwright downloads, if it is there and starts (it may lack shared libraries).
find_playwrights() {
    local path
    path=$(.venv/bin/python - 2>/dev/null <<'PYTHON'
from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
PYTHON
    ) && "$path" --version >/dev/null 2>&1 && echo "$path"
}

find_playwrights && exit

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    echo "No Chromium found: installing the package chromium" >&2
    apt-get -o Acquire::Retries=3 update -qq >&2 &&
        apt-get -o Acquire::Retries=3 install -qq -y --no-install-recommends chromium fonts-dejavu-core >&2 || true
    find_chromium && exit
fi

if [ -x .venv/bin/python ]; then
    echo "No Chromium found: downloading Playwright's own" >&2
    .venv/bin/python -m playwright install chromium >&2 || true
    find_playwrights && exit
fi

cat >&2 <<'TEXT'
The browser tests need Chromium or Google Chrome, and none was found
(looked for: chromium, chromium-browser, google-chrome, google-chrome-stable), and Playwright's own could not be
downloaded or does not start (shared libraries: .venv/bin/python -m playwright install-deps chromium).
Get it with one of
    sudo apt-get install chromium          (Debian)
    sudo dnf install chromium              (Fedora)
    brew install --cask google-chrome      (macOS)
or point to one: make test CHROMIUM=/path/to/chromium
TEXT
exit 1
