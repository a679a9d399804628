# make serve       build what has changed and serve; ARGS="--config camfleet.toml" and the like
# make test        all tests, with the real clients; ARGS="tests/unit -k digest" for some of them
# make bench-micro the benchmarks of single steps
# make lint        ruff and mypy
# make dist        sdist and wheel in dist/
#
# Nothing has to be there but make. Debian packages that are missing are installed when that is possible without asking
# (root, or sudo without a password); else the one line to run is printed. The rest goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# The first Python that is new enough. Looked for when it is used: apt may just have installed it.
PYTHON ?= $(shell for python in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Folders too: their time changes when a file comes or goes.
SOURCES := pyproject.toml setup.py $(shell find core supervisor workers bench -name __pycache__ -prune -o -print)

.PHONY: serve test bench-micro lint dist clean debian-build debian-test

serve: .make/installed
	exec $(BIN)/camfleet serve $(ARGS)

test: debian-test .make/installed-test
	$(BIN)/python -m pytest $(ARGS)

bench-micro: .make/installed-test
	$(BIN)/python -m pytest bench/micro --benchmark-only $(ARGS)

lint: .make/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p camfleet.core -p camfleet.supervisor -p camfleet.workers -p camfleet.bench

dist: | $(BIN)/python
	rm -rf dist build/lib*
	$(BIN)/python -m pip install --quiet 'build>=1.2,<2'
	$(BIN)/python -m build

clean:
	rm -rf .make build dist *.egg-info

# ---- the package in .venv: a normal install, again whenever a source is newer

.make/installed: $(SOURCES) | $(BIN)/python
	$(call install,.)

.make/installed-test: $(SOURCES) | $(BIN)/python
	$(call install,.[test])
	@touch .make/installed

# setuptools copies into build/lib and never deletes there: a module that is gone would stay in the package.
define install
@echo "Building camfleet ..."
@rm -rf build/lib* build/bdist*
@$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(1)'
@mkdir -p .make && touch $@
endef

$(BIN)/python: | debian-build
	@test -n "$(PYTHON)" || { echo "camfleet needs Python 3.11 or newer" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# ---- Debian packages: each beside the thing itself, so that one from elsewhere is as good

define look
missing=; need() { sh -c "$$2" >/dev/null 2>&1 || missing="$$missing $$1"; };
endef

define settle
test -z "$$missing" && exit; \
apt="apt-get install -y --no-install-recommends$$missing"; \
if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then sudo=; \
elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then sudo=sudo; \
else printf 'Missing:%s\nRun this, then make again:\n\n    sudo %s\n\n' "$$missing" "$$apt" >&2; exit 1; fi; \
$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive $$apt
endef

define build_needs
need python3 'test -n "$(PYTHON)"'; \
need python3-venv '$(or $(PYTHON),false) -c "import ensurepip, venv"'; \
need python3-dev 'test -f "$$($(or $(PYTHON),false) -c "import sysconfig; print(sysconfig.get_path(\"include\"))")/Python.h"'; \
need gcc 'command -v gcc'; \
need libc6-dev 'echo "#include <stdlib.h>" | gcc -E -'; \
need libssl-dev 'echo "#include <openssl/evp.h>" | gcc -E -';
endef

define test_needs
need ffmpeg 'command -v ffmpeg && command -v ffprobe'; \
need gstreamer1.0-tools 'command -v gst-launch-1.0 && command -v gst-inspect-1.0'; \
need gstreamer1.0-plugins-base 'gst-inspect-1.0 videoconvert'; \
need gstreamer1.0-plugins-good 'gst-inspect-1.0 rtspsrc'; \
need gstreamer1.0-plugins-bad 'gst-inspect-1.0 h264parse'; \
need gstreamer1.0-libav 'gst-inspect-1.0 avdec_h264'; \
need gstreamer1.0-rtsp 'gst-inspect-1.0 rtspclientsink'; \
need glib-networking 'ls /usr/lib/*/gio/modules/libgiognutls.so || ls /usr/lib*/gio/modules/libgiognutls.so'; \
need gnutls-bin 'command -v gnutls-cli'; \
need openssl 'command -v openssl';
endef

debian-build:
	@$(look) $(build_needs) $(settle)

debian-test:
	@$(look) $(build_needs) $(test_needs) $(settle)
