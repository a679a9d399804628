"""One camera: its sources, encoders, RTSP sessions and, after adoption, its readers' sockets."""

import os

# The libraries read these while they are being loaded, so they stand before every import of PyAV and NumPy. The wheel's
# GnuTLS and ALSA look for their configuration under the prefix of the machine that built them, a folder inside the
# world-writable /tmp: any local user could create it, and an ALSA configuration can name libraries to load.
os.environ.setdefault("GNUTLS_SYSTEM_PRIORITY_FILE", "/dev/null")
os.environ.setdefault("ALSA_CONFIG_PATH", "/usr/share/alsa/alsa.conf")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's pool would be a thread before the fork
