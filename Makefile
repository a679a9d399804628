# make serve       build what has changed and serve; ARGS="--config camfleet.toml" and the like
# make test        all tests, with the real clients; ARGS="tests/unit -k digest" for some of them
# make soak        ten minutes of FFmpeg and GStreamer through KeyUpdates twice a second
# make soak-slow   200 readers, 20 of them slow and 5 that never read
# make soak-certificates  30 changes of certificates in a minute, under handshakes as fast as they come
# make soak-churn  half an hour of readers that come and go
# make scan-tls    what testssl.sh and sslyze find, into docs/tls-scan.md; 12 minutes
# make bench-micro the benchmarks of single steps
# make bench-compare  the same of this commit and of its base, as ratios
# make bench       camfleet beside a floor and gst-rtsp-server, into bench/results/side-by-side.md; some of it, to the
#                  screen: ARGS="--servers floor,camfleet --readers 400 --tls"
# make bench-glass how old testlive's pictures are when a client has decoded them
# make bench-density how many cameras a machine carries, into bench/results/density.md; ARGS="film" for some, to the screen
# make bench-screen  what a 1080p screen costs as a camera, and how old its pictures are
# make bench-memory  what a reader and a camera keep of the memory
# make bench-setup how many RTSPS sessions a second come in, into bench/results/setup-rate.md
# make bench-camera what one camera and its readers cost, into bench/results/one-camera.md
# make lint        ruff and mypy
# make dist        sdist and wheel in dist/
#
# Nothing has to be there but make. Debian packages that are missing are installed when that is possible without asking
# (root, or sudo without a password); else the one line to run is printed. The rest goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
ARGS ?=

# The first Python that is new enough. Looked for when it is used: apt may just have installed it.
PYTHON ?= $(shell for python in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Folders too: their time changes when a file comes or goes. "bench/." since `bench` is a target.
SOURCES := pyproject.toml setup.py $(shell find core supervisor workers bench/. -name __pycache__ -prune -o -print)

# CAMFLEET_DEBUG=1 builds with bounds checks, elsewhere; setup.py reads it too.
STATE := .make/$(if $(filter 1,$(CAMFLEET_DEBUG)),debug,release)

.NOTPARALLEL:
.PHONY: serve test soak bench bench-compare bench-micro bench-camera bench-density bench-glass bench-memory bench-screen soak-slow soak-churn soak-certificates scan-tls lint dist clean debian-build debian-bench debian-test debian-scan bench-setup

serve: $(STATE)/installed
	exec $(BIN)/camfleet serve $(ARGS)

# Most tests wait more than they work: two at a time, module by module. Those that measure come after them, alone.
test: debian-test $(STATE)/installed .make/test-requirements
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone"; status=$$?; \
	$(BIN)/python -m pytest -m alone && exit $$status
else
	$(BIN)/python -m pytest $(ARGS)
endif

soak: debian-test $(STATE)/installed .make/test-requirements
	CAMFLEET_SOAK_S=600 $(BIN)/python -m pytest tests/interop/test_key_update.py $(ARGS)

soak-slow: debian-test $(STATE)/installed .make/test-requirements
	CAMFLEET_SLOW_READERS=200 $(BIN)/python -m pytest tests/process/test_slow_readers.py $(ARGS)

soak-churn: debian-test $(STATE)/installed .make/test-requirements
	CAMFLEET_CHURN_S=1800 $(BIN)/python -m pytest tests/process/test_churn.py $(ARGS)

soak-certificates: debian-test $(STATE)/installed .make/test-requirements
	CAMFLEET_CERTIFICATES_S=60 $(BIN)/python -m pytest tests/process/test_certificate_changes.py -s $(ARGS)

scan-tls: debian-scan $(STATE)/installed .make/test-requirements .make/sslyze/bin/sslyze
	$(BIN)/python -m tests.interop.tls_scan --sslyze .make/sslyze/bin/sslyze $(ARGS)

# In an environment of its own, because it wants another version of cryptography.
.make/sslyze/bin/sslyze: | $(BIN)/python
	$(PYTHON) -m venv .make/sslyze
	.make/sslyze/bin/python -m pip install --quiet --disable-pip-version-check 'sslyze>=6.3,<7'

bench-micro: $(STATE)/installed .make/test-requirements
	$(BIN)/python -m pytest bench/micro --benchmark-only $(ARGS)

bench-compare: $(STATE)/installed .make/test-requirements
	$(BIN)/python -m camfleet.bench.compare $(ARGS)

bench: debian-bench $(STATE)/installed
	$(BIN)/python -m camfleet.bench.macro --clip .make/clip.mp4 $(or $(ARGS),--out bench/results --limits)

bench-setup: $(STATE)/installed
	$(BIN)/python -m camfleet.bench.macro.setup_rate $(ARGS)

bench-camera: $(STATE)/installed
	$(BIN)/python -m camfleet.bench.macro.one_camera

bench-glass: $(STATE)/installed
	$(BIN)/python -m camfleet.bench.macro.glass_to_glass

bench-density: debian-bench $(STATE)/installed
	$(BIN)/python -m camfleet.bench.macro.density $(ARGS)

bench-screen: debian-bench $(STATE)/installed
	$(BIN)/python -m camfleet.bench.macro.screen

bench-memory: $(STATE)/installed
	$(BIN)/python -m camfleet.bench.macro.memory

lint: $(STATE)/installed .make/test-requirements
	$(BIN)/python -m pytest tests/rules $(ARGS)

dist: | $(BIN)/python
	rm -rf dist
	$(BIN)/python -m pip install --quiet 'build>=1.2,<2'
	$(BIN)/python -m build

clean:
	rm -rf .make build dist *.egg-info

# ---- the package in .venv: a normal install, again whenever a source is newer; only what has changed is compiled

$(STATE)/installed: $(SOURCES) .make/build-requirements
	@echo "Building camfleet ..."
	@$(PIP) install --no-build-isolation .
	@rm -rf .make/debug .make/release && mkdir $(@D) && touch $@

# Without isolation, so that the next build asks no index. Another recipe compiles everything again.
.make/build-requirements: pyproject.toml setup.py | $(BIN)/python
	@rm -rf build
	@$(call require,["build-system"]["requires"])

.make/test-requirements: pyproject.toml | $(BIN)/python
	@$(call require,["project"]["optional-dependencies"]["test"])

# Installs a list of pyproject.toml; the target is the list.
require = mkdir -p .make && $(BIN)/python -c 'import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))$(1), sep="\n")' > $@.new && \
	$(PIP) install --requirement $@.new && mv $@.new $@

$(BIN)/python: | debian-build
	@test -n "$(PYTHON)" || { echo "camfleet needs Python 3.11 or newer" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# ---- Debian packages: each beside the thing itself, so that one from elsewhere is as good

define look
missing=; may=yes; sudo=; command -v apt-get >/dev/null || may=; \
if test "$$(id -u)" != 0; then sudo=sudo; sudo -n true 2>/dev/null || may=; fi; \
need() { sh -c "$$2" >/dev/null 2>&1 || missing="$$missing $$1"; }; \
wish() { test -z "$$may" || need "$$@"; };
endef

define settle
test -z "$$missing" && exit; \
apt="apt-get install -y --no-install-recommends$$missing"; \
test -n "$$may" || { printf 'Missing:%s\nRun this, then make again:\n\n    sudo %s\n\n' "$$missing" "$$apt" >&2; exit 1; }; \
$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive $$apt
endef

define build_needs
need python3 'test -n "$(PYTHON)"'; \
need python3-venv '$(or $(PYTHON),false) -c "import ensurepip, venv"'; \
need python3-dev 'test -f "$$($(or $(PYTHON),false) -c "import sysconfig; print(sysconfig.get_path(\"include\"))")/Python.h"'; \
need gcc 'command -v gcc'; \
need libc6-dev 'echo "#include <stdlib.h>" | gcc -E -'; \
need libssl-dev 'echo "#include <openssl/evp.h>" | gcc -E -'; \
wish fonts-dejavu-core 'test -f /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf'; \
wish libipsec-mb-dev 'test "$$(uname -m)" != x86_64 || echo "#include <intel-ipsec-mb.h>" | gcc -E -';
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
need python3-gi '/usr/bin/python3 -c "import gi"'; \
need gir1.2-gstreamer-1.0 '/usr/bin/python3 -c "import gi; gi.require_version(\"Gst\", \"1.0\")"'; \
need gir1.2-gst-rtsp-server-1.0 \
	'/usr/bin/python3 -c "import gi; gi.require_version(\"GstRtspServer\", \"1.0\")"'; \
need gnutls-bin 'command -v gnutls-cli'; \
need openssl 'command -v openssl'; \
need iproute2 'command -v ip'; \
need xvfb 'command -v Xvfb'; \
need git 'command -v git';
endef

define bench_needs
need util-linux 'command -v taskset'; \
need xvfb 'command -v Xvfb'; \
need gstreamer1.0-tools 'command -v gst-inspect-1.0'; \
need gstreamer1.0-plugins-base 'gst-inspect-1.0 app'; \
need gstreamer1.0-plugins-good 'gst-inspect-1.0 rtph264pay && gst-inspect-1.0 multifilesrc && gst-inspect-1.0 qtdemux'; \
need gstreamer1.0-plugins-bad 'gst-inspect-1.0 h264parse'; \
need glib-networking 'ls /usr/lib/*/gio/modules/libgiognutls.so || ls /usr/lib*/gio/modules/libgiognutls.so'; \
need python3-gi '/usr/bin/python3 -c "import gi"'; \
need gir1.2-gst-rtsp-server-1.0 \
	'/usr/bin/python3 -c "import gi; gi.require_version(\"GstRtspServer\", \"1.0\")"';
endef

define scan_needs
need testssl.sh 'command -v testssl';
endef

debian-build:
	@$(look) $(build_needs) $(settle)

debian-bench:
	@$(look) $(build_needs) $(bench_needs) $(settle)

debian-test:
	@$(look) $(build_needs) $(test_needs) $(settle)

debian-scan:
	@$(look) $(build_needs) $(scan_needs) $(settle)
